"""Another queen process of a running colony, with a bug in it that a check must find."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.system import System, free_port

HOOK = """
import importlib.abc, importlib.util, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != {module!r}:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            exec({code!r}, {{"module": module}})
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def bug_in(module: str, code: str) -> str:
    """`code` runs when `module` has been loaded, and has it by that name."""
    return HOOK.format(module=module, code=code)


@contextmanager
def queen(system: System, folder: Path, bug: str = "") -> Iterator[int]:
    """Its port. `bug` runs before anything of rbee is imported."""
    port = free_port()
    environment = system.children("uvicorn")[0].environ()
    (folder / "sitecustomize.py").write_text(bug)
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), *filter(None, [environment.get("PYTHONPATH")])])
    log = folder / "queen.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "rbee.asgi:application", "--port", str(port), "--timeout-keep-alive", "75"],
            env=environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not _is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(log.read_text()[-3000:])
            time.sleep(0.1)
        yield port
    finally:
        process.kill()
        process.wait(10)


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
