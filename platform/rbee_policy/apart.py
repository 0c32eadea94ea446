"""Running scripts in a process that they may crash: the side that waits for it.

Crashed     the process did not survive what it ran; the version that it ran is to blame
NotRun      it did not come so far, and nothing is known about the version
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import BinaryIO, Final

from rbee_policy.sandbox import CPU_S, NOTE_BYTES

WALL_S: Final = 60.0  # a machine that is busy may take that long for the CPU time that is allowed
# Somebody stops the queen, which says nothing about the script.
_STOPPED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if os.name == "posix" else ()


class Crashed(Exception):
    """`str()` of it is how it ended; `note` what ran at that moment."""

    def __init__(self, ending: str, note: str) -> None:
        super().__init__(ending)
        self.note = note


class NotRun(Exception):
    pass


def run_apart(module: str, chunks: Iterable[bytes], *, wall_s: float = WALL_S) -> bytes:
    """What `python -m module` writes when it is given `chunks`. It gets no variable of this process's environment: there
    are secrets among them. Raises Crashed and NotRun."""
    with _note_file() as note:
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, str(note.fileno())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "LC_ALL": "C.UTF-8"},
                pass_fds=(note.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            raise NotRun(f"no process could be started: {error.strerror}") from None
        overdue = threading.Event()
        timer = threading.Timer(wall_s, _give_up, (process, overdue))
        timer.start()
        try:
            answer = _talk(process, chunks)
        finally:
            timer.cancel()
            process.kill()
            process.wait()
        if process.returncode == 0:
            return answer
        ran = os.pread(note.fileno(), NOTE_BYTES, 0).rstrip(b"\0").decode("utf-8", "replace")
        if not ran or -process.returncode in _STOPPED:
            raise NotRun(f"the process ended early, with {process.returncode}")
        if overdue.is_set():
            raise Crashed(f"it did not end within {wall_s:g} s", ran)
        raise Crashed(_ending(process.returncode), ran)


def _talk(process: subprocess.Popen[bytes], chunks: Iterable[bytes]) -> bytes:
    """It answers when it has read everything, so nobody waits for the other. One that is gone reads no further."""
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdout:
        with suppress(BrokenPipeError), process.stdin:
            for chunk in chunks:
                process.stdin.write(chunk)
        answer = process.stdout.read()
    process.wait()
    return answer


def _give_up(process: subprocess.Popen[bytes], overdue: threading.Event) -> None:
    overdue.set()
    process.kill()


def _ending(returncode: int) -> str:
    if returncode > 0:
        return f"the process failed with {returncode}"
    if returncode == -signal.SIGXCPU:
        return f"it used more than {CPU_S} s of CPU time"
    if returncode == -signal.SIGKILL:
        return "the process was killed, as it is when memory runs out"
    try:
        return f"the process ended by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"the process ended by signal {-returncode}"


def _note_file() -> BinaryIO:
    """In memory where the system can do that."""
    if hasattr(os, "memfd_create"):
        file: BinaryIO = os.fdopen(os.memfd_create("note"), "r+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 -- its caller closes it
    file.truncate(NOTE_BYTES)
    return file
