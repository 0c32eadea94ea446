"""Stopping everything within five seconds, in an order that loses nothing.

The hive goes first, while the queen can still book its last receipts; then who numbers audit entries, once there come no
more; the databases go last. Whoever does not go in
time is killed: receipts are in the hive's spool, and PostgreSQL recovers from its log.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence

from rbee_cli.up.keeper import Keeper

# Parts that stop side by side, and how long they are given.
ORDER: tuple[tuple[tuple[str, ...], float], ...] = (
    (("hive", "celery-beat", "celery-worker"), 2.4),
    (("queen",), 1.2),
    (("audit-sequencer",), 0.6),
    (("redis", "postgres"), 0.8),
)


def stop_all(keeper: Keeper, is_in_a_hurry: Callable[[], bool]) -> list[str]:
    """Returns the names of what had to be killed."""
    killed = []
    for names, patience_s in ORDER:
        killed += _stop(keeper, names, patience_s, is_in_a_hurry)
    return killed


def _stop(
    keeper: Keeper, names: Sequence[str], patience_s: float, is_in_a_hurry: Callable[[], bool]
) -> list[str]:
    processes = [process for name in names if (process := keeper.process(name))]
    for process in processes:
        process.ask_to_stop()
    deadline = time.monotonic() + patience_s
    while any(process.is_running for process in processes):
        if is_in_a_hurry() or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    late = [process for process in processes if process.is_running]
    for process in late:
        if process.name == "postgres":
            process.ask_to_stop(signal.SIGQUIT)  # without a checkpoint; its sessions end with it
            process.wait(0.3)
        process.kill()
    return [process.name for process in late]
