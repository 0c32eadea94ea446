"""A cluster's lock file after a kill: postmaster.pid names a process that is ours, or gone, or another one's by now.

PostgreSQL itself asks only whether the number is in use, so a zombie or an unrelated process that got the number
would keep it from starting.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil

CLOCK_SLACK_S = 5  # between the start time that the kernel tells and the one that the postmaster wrote


def clear_stale_postmaster(cluster: Path, timeout_s: float = 10) -> None:
    """End a postmaster of this cluster and sessions that outlived it; remove a lock file whose holder is gone.
    To be called by who holds the lock on the data folder only."""
    lock = cluster / "postmaster.pid"
    if not lock.exists():
        return
    postmaster = _holder(lock, cluster)
    if postmaster:
        _end(postmaster, signal.SIGINT, timeout_s)
    for session in _processes_in(cluster):
        _end(session, signal.SIGKILL, timeout_s)
    lock.unlink(missing_ok=True)


def _holder(lock: Path, cluster: Path) -> psutil.Process | None:
    try:
        lines = lock.read_text().split("\n")
        process = psutil.Process(int(lines[0]))
        written_at = int(lines[2])
        if (
            process.status() == psutil.STATUS_ZOMBIE
            or abs(process.create_time() - written_at) > CLOCK_SLACK_S
        ):
            return None
        return process if _works_in(process, cluster) else None
    except (OSError, ValueError, IndexError, psutil.Error):
        return None


def _processes_in(cluster: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _works_in(process, cluster)]


def _works_in(process: psutil.Process, cluster: Path) -> bool:
    """Every process of a cluster is called postgres and has the cluster's folder as its working directory."""
    try:
        return process.name() == "postgres" and Path(process.cwd()) == cluster.resolve()
    except psutil.Error:
        return False


def _end(process: psutil.Process, with_signal: signal.Signals, timeout_s: float) -> None:
    try:
        process.send_signal(with_signal)
        if not _gone(process, timeout_s):
            process.kill()
            _gone(process, timeout_s)
    except psutil.NoSuchProcess:
        return


def _gone(process: psutil.Process, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
