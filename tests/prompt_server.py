"""Runs `rbee` as often as it is asked, each time in a child that has the program loaded already.

stdin   {"id": 1, "arguments": ["tenant", "list"], "env": {…}, "cwd": "…", "files": [stdin, stdout, stderr]}
stdout  {"id": 1, "pid": 4711}, and {"id": 1, "code": 0} when it has ended
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import sys
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

import rbee_cli.main
from rbee_cli.catalog import COMMANDS, GROUPS, make_app

FLAGS = (os.O_RDONLY, os.O_WRONLY | os.O_TRUNC, os.O_WRONLY | os.O_TRUNC)


def main() -> None:
    _load()
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    answers = os.dup(1)
    with selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        waiting = b""
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    number, pid = key.data
                    selector.unregister(key.fileobj)
                    os.close(key.fd)
                    _, status = os.waitpid(pid, 0)
                    _say(answers, {"id": number, "code": os.waitstatus_to_exitcode(status)})
                    continue
                piece = requests.read(1 << 16)
                if not piece:
                    return
                *lines, waiting = (waiting + piece).split(b"\n")
                for line in lines:
                    asked = json.loads(line)
                    pid = os.fork()
                    if pid == 0:
                        _run(asked)
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (asked["id"], pid))
                    _say(answers, {"id": asked["id"], "pid": pid})


def _load() -> None:
    """What commands load when they are called, as well."""
    for name in ("rbee_cli.client", "rbee_cli.output", "rbee_cli.waiting", "httpcore", "typer._adapters"):
        with contextlib.suppress(ImportError):
            import_module(name)
    CliRunner().invoke(make_app(COMMANDS, GROUPS), ["--help"])


def _run(asked: dict[str, Any]) -> None:
    code = 1
    try:
        os.setsid()
        for number, path in enumerate(asked["files"]):
            file = os.open(path, FLAGS[number])
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(asked["env"])
        os.chdir(asked["cwd"])
        sys.argv = [str(Path(sys.executable).with_name("rbee")), *asked["arguments"]]
        rbee_cli.main.run()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _say(answers: int, what: dict[str, Any]) -> None:
    os.write(answers, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
