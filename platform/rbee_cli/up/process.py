"""A child process: its own session, a log file, an end tied to ours, and a stop that always ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rbee_cli.up.accounts import Account

LOG_BYTES = 10 * 1024 * 1024

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


class Process:
    """Start it from a thread that outlives it. `death_signal` is what it gets when that thread is gone (Linux)."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        death_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.argv = [str(part) for part in argv]
        self.log = log
        self.env = dict(env)
        self.cwd = cwd
        self.account = account
        self.stop_signal = stop_signal
        self.death_signal = death_signal
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_begins_at = 0

    def start(self) -> None:
        rotate(self.log)
        with self.log.open("ab") as output:
            self._log_begins_at = output.tell()
            self._popen = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self.env,
                cwd=self.cwd,
                start_new_session=True,  # Ctrl-C at the terminal is ours to pass on, in order
                umask=0o077,
                user=self.account.uid if self.account else None,
                group=self.account.gid if self.account else None,
                extra_groups=[] if self.account else None,
                preexec_fn=_die_with(self.death_signal),  # noqa: PLW1509 -- calls one function bound before the fork
            )

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    def poll(self) -> int | None:
        """The exit code, or None while it runs. What it leaves behind in its process group ends with it."""
        if self._popen is None:
            return -1
        if self._popen.returncode is None and self._has_exited():
            self._kill_group()  # while the zombie still holds the number of the group
        return self._popen.poll()

    @property
    def is_running(self) -> bool:
        return self.poll() is None

    def ask_to_stop(self, with_signal: signal.Signals | None = None) -> None:
        if self._popen is not None and self.is_running:
            self._popen.send_signal(with_signal or self.stop_signal)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended within `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while self.is_running:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)
        return True

    def kill(self) -> None:
        if self._popen is not None and self.is_running:
            self._kill_group()
            self._popen.wait()

    def stop(self, timeout_s: float = 5) -> None:
        self.ask_to_stop()
        if not self.wait(timeout_s):
            self.kill()

    def last_lines(self, count: int = 12) -> str:
        """The end of what this run of the process wrote."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                begins_at = self._log_begins_at if self._log_begins_at <= size else 0
                file.seek(max(begins_at, size - 16_384))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-count:])

    def _has_exited(self) -> bool:
        if not hasattr(os, "waitid"):
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _kill_group(self) -> None:
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass


def rotate(log: Path, limit_bytes: int = LOG_BYTES) -> None:
    """Keep one older log. The file is copied and emptied, not renamed: its writer appends to it and goes on."""
    try:
        if log.stat().st_size < limit_bytes:
            return
        with log.open("r+b") as file:
            log.with_suffix(".log.1").write_bytes(file.read())
            file.truncate(0)
    except FileNotFoundError:
        return


def _die_with(death_signal: signal.Signals) -> Callable[[], None] | None:
    if _prctl is None:
        return None
    prctl, number, parent = _prctl, int(death_signal), os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died between the fork and the line above
            os._exit(1)

    return in_child
