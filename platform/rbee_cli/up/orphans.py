"""Which processes are ours, written down so that a start after a kill can end what is left of the run before.

A number alone proves nothing: it may be another process's by now. Ours are those whose start time is the one written
down, and those in a session that one of ours leads.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

import psutil

from rbee_cli.up.process import Process

START_SLACK_S = 2.0  # psutil derives start times from the boot time, which moves when the clock is set
PATIENCE_S = 4.0


def write_table(path: Path, processes: Iterable[Process]) -> None:
    rows = []
    for process in processes:
        if process.is_running:
            try:
                started_at = psutil.Process(process.pid).create_time()
            except psutil.Error:
                continue
            rows.append({"name": process.name, "pid": process.pid, "started_at": started_at})
    unfinished = path.with_suffix(".new")
    unfinished.write_text(json.dumps(rows))
    unfinished.replace(path)


def end_orphans(path: Path) -> list[str]:
    """End what the table at `path` proves to be ours, and return the names. PostgreSQL gets the signal that ends its
    sessions and writes a checkpoint. Call it holding the lock on the data folder."""
    try:
        rows = json.loads(path.read_text())
        leaders = {int(row["pid"]): (str(row["name"]), float(row["started_at"])) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return []
    found = _ours(leaders)
    for process, name in found:
        _send(process, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    _, alive = psutil.wait_procs([process for process, _ in found], timeout=PATIENCE_S)
    for process in alive:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=PATIENCE_S)
    path.unlink(missing_ok=True)
    return sorted({name for _, name in found})


def _ours(leaders: dict[int, tuple[str, float]]) -> list[tuple[psutil.Process, str]]:
    """A session keeps its number from being given to another process while it has members; so a member is ours unless
    a process that is not ours bears that number."""
    usurped = {pid for pid, (_, started_at) in leaders.items() if not _is_same_or_gone(pid, started_at)}
    found = []
    for process in psutil.process_iter():
        try:
            leader = os.getsid(process.pid)
            if leader in leaders and leader not in usurped and process.status() != psutil.STATUS_ZOMBIE:
                found.append((process, leaders[leader][0]))
        except (OSError, psutil.Error):
            continue
    return found


def _is_same_or_gone(pid: int, started_at: float) -> bool:
    try:
        return abs(psutil.Process(pid).create_time() - started_at) <= START_SLACK_S
    except psutil.Error:
        return True


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.Error:
        pass
