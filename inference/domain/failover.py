"""What becomes of a task whose hive is gone.

An attempt that began is never simply forgotten. Before another hive gets the task, or before the queen books it as failed
in the hive's place, a fence is committed: from then on the old attempt's receipt, should it come, settles nothing. So
whatever the old hive still does, the task is in the books exactly once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import date
from typing import Protocol
from uuid import UUID

from gdpr.ids import month_of
from inference.domain.envelope import Envelope

SETTLE_TRIES = 10
FIRST_PAUSE_S = 0.5
LAST_PAUSE_S = 30.0

_log = logging.getLogger(__name__)


class Fence(Protocol):
    """`billing.domain.fence.fence` with its pool given. False: the task is settled already."""

    def __call__(
        self, task_id: UUID, month: date, tenant_id: UUID, lowest_valid_attempt: int, /
    ) -> Awaitable[bool]: ...


# Books a task that nobody will report as `worker_failed`, used nothing, charged 0. The number is the attempt that the
# fence lets through, to be booked in place of the envelope's.
SettleLost = Callable[[Envelope, int], Awaitable[None]]


class Failover:
    def __init__(self, fence: Fence, settle_lost: SettleLost) -> None:
        self._fence = fence
        self._settle_lost = settle_lost
        self._background: set[asyncio.Task[None]] = set()

    async def fence(self, lost: Envelope) -> bool:
        """Nothing up to this attempt will settle any more. False: it did already. Raises what the fence raises."""
        task_id = UUID(lost.task)
        return await self._fence(task_id, month_of(task_id), UUID(lost.tenant), lost.attempt + 1)

    def settle(self, lost: Envelope) -> None:
        """Soon, and again until the database takes it: fence the attempt and book the task as failed."""
        self._spawn(self._settle(lost), name=f"settle {lost.task}")

    async def stop(self, timeout_s: float = 3.0) -> None:
        if self._background:
            await asyncio.wait(self._background, timeout=timeout_s)
        for task in self._background:
            task.cancel()

    async def _settle(self, lost: Envelope) -> None:
        pause_s = FIRST_PAUSE_S
        for _ in range(SETTLE_TRIES):
            try:
                if await self.fence(lost):
                    await self._settle_lost(lost, lost.attempt + 1)
            except Exception as error:  # noqa: BLE001 -- whatever keeps the database from taking it
                _log.warning("task %s of a lost hive is not booked yet: %s", lost.task, type(error).__name__)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LAST_PAUSE_S)
            else:
                return
        _log.error("task %s of a lost hive could not be booked", lost.task)

    def _spawn(self, work: Coroutine[object, object, None], *, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
