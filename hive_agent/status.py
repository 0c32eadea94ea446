"""What runs in the folder of a hive, for its operator."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

from hive_agent.credentials import load_credentials
from hive_agent.folder import Folder
from hive_agent.shared_state import RunnerState, SharedFile, WorkerTable
from hive_agent.spool import Spool


def describe(folder: Folder) -> Iterator[str]:
    """Raises NotJoined."""
    credentials = load_credentials(folder)
    yield f"hive {credentials.name} ({credentials.hive}) of {credentials.queen_url}"
    yield "agent: runs" if is_running(folder) else "agent: does not run"
    if folder.spool.exists():
        spool = Spool(folder.spool)
        counts = spool.counts()
        spool.shut()
        yield (
            f"spool: {counts.get('open', 0)} running, {counts.get('closed', 0)} receipts to send, "
            f"{counts.get('refused', 0)} refused"
        )
    table = SharedFile(folder.workers, WorkerTable).read()
    state = SharedFile(folder.runner, RunnerState).read()
    for worker in table.workers if table else []:
        gauges = state.workers.get(worker.id) if state else None
        yield (
            f"worker {worker.model}: {worker.engine}, {'ready' if worker.is_ready else 'not ready'}, "
            f"{gauges.in_flight if gauges else 0} of {worker.capacity} in flight"
        )


def is_running(folder: Folder) -> bool:
    try:
        with folder.agent_lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False
