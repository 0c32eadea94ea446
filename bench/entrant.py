"""What is common to everything that is compared: how it is asked, and what its processes used."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".venv-bench"  # the environment of the peers

Processes = Callable[[], list[psutil.Process]]


class Unavailable(Exception):
    """This entrant cannot run on this machine; the text says why."""


@dataclass
class Entrant:
    """`processes` are on the gateway's side. `behind` are what answers it: the upstream, or hive and engine."""

    name: str
    features: str
    version: str
    port: int
    headers: dict[str, str]
    processes: Processes
    behind: Processes
    close: Callable[[], None]
    path: str = "/v1/chat/completions"
    whole_model: str = "gpt-4o-mini"
    stream_model: str = "gpt-4o-mini"
    slow: dict[str, Any] = field(default_factory=dict)  # what a request for the slow stream has otherwise
    books: Callable[[], dict[str, int]] | None = None
    notes: list[str] = field(default_factory=list)


def cpu_s(processes: Iterable[psutil.Process]) -> float:
    """User and system time, with that of children which have ended."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_kib(processes: Iterable[psutil.Process]) -> int:
    """Proportional set size, so that shared pages count once."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss // 1024
        except psutil.Error:
            continue
    return total


def tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def make_tools() -> Path:
    """The Python of the peers' environment."""
    python = TOOLS / "bin" / "python"
    if not python.exists():
        install([sys.executable, "-m", "venv", str(TOOLS)], "the environment of the peers")
    return python


def install_python(what: str, *packages: str) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    install([uv, "pip", "install", "--quiet", "--python", str(make_tools()), *packages], what)


def install(command: list[str], what: str) -> None:
    print(f"  installing {what} …", flush=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what} does not install here: {error}") from None
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}").splitlines()[-1]
        raise Unavailable(f"{what} does not install here: {last}")


def start(command: list[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=tempfile.gettempdir()
        )


def end(process: subprocess.Popen[bytes]) -> None:
    for victim in tree(process.pid):
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait(10)


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


def wait(
    done: Callable[[], bool],
    what: str,
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
    *,
    timeout_s: float = 120,
) -> None:
    """Raises Unavailable, with the end of the log."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        if done():
            return
        time.sleep(0.2)
    tail = log.read_text(errors="replace")[-800:] if log else ""
    raise Unavailable(f"waited in vain for {what} {tail}")
