"""`rbee …` as somebody types it, without the start of an interpreter: thousands of commands are run by the tests.

Where the kernel has no pidfd, each is a process of its own.
"""

from __future__ import annotations

import atexit
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def run_rbee(
    arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: str, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Raises subprocess.TimeoutExpired."""
    if hasattr(os, "pidfd_open"):
        return _server(os.getpid()).run(arguments, env=env, cwd=cwd, stdin=stdin, timeout_s=timeout_s)
    program = str(Path(sys.executable).with_name("rbee"))
    return subprocess.run(
        [program, *arguments], env=dict(env), cwd=cwd, input=stdin, capture_output=True, text=True, timeout=timeout_s,
        check=False,
    )  # fmt: skip


class _Running:
    def __init__(self) -> None:
        self.pid = 0
        self.code: int | None = None
        self.ended = threading.Event()


class _Server:
    def __init__(self) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.prompt_server"], env=kept, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )  # fmt: skip
        atexit.register(self._process.kill)
        self._running: dict[int, _Running] = {}
        self._numbers, self._lock = itertools.count(), threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def run(
        self, arguments: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: str, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        running = _Running()
        with tempfile.TemporaryDirectory(prefix="rbee-prompt-") as name:
            files = [Path(name) / each for each in ("stdin", "stdout", "stderr")]
            for file in files:
                file.write_text(stdin if file.name == "stdin" else "")
            asked = {
                "arguments": list(arguments),
                "env": dict(env),
                "cwd": str(cwd),
                "files": list(map(str, files)),
            }
            with self._lock:
                number = next(self._numbers)
                self._running[number] = running
                self._write({**asked, "id": number})
            is_over = running.ended.wait(timeout_s)
            if not is_over:
                if running.pid:  # 0 would be the group of whoever asks
                    os.killpg(running.pid, signal.SIGKILL)
                running.ended.wait(10)
            output, errors = (file.read_text() for file in files[1:])
        if not is_over:
            raise subprocess.TimeoutExpired(["rbee", *arguments], timeout_s, output, errors)
        assert running.code is not None, "the server of prompts has ended"
        return subprocess.CompletedProcess(["rbee", *arguments], running.code, output, errors)

    def _write(self, asked: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            said = json.loads(line)
            running = self._running[said["id"]]
            if "pid" in said:
                running.pid = said["pid"]
            else:
                running.code = said["code"]
                del self._running[said["id"]]
                running.ended.set()
        for running in list(self._running.values()):
            running.ended.set()


@lru_cache(maxsize=1)
def _server(pid: int) -> _Server:
    """Of this process: a fork of it has one of its own."""
    return _Server()
