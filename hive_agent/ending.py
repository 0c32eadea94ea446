"""The end of tasks that live as long as their process."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

INTERVAL_S = 0.5
TRIES = 6


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel and wait. More than once: a library may take a cancellation for a lost connection and try again. What does
    not end even so is left to the end of the process."""
    pending = set(tasks)
    for _ in range(TRIES):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=INTERVAL_S)
