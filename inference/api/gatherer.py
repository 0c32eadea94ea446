"""Many receipts, one transaction: what comes in within a moment is booked together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from billing.domain.settlement import Settlement, book
from gdpr.pool import Pool

GATHER_S: Final = 0.045
LARGEST_BATCH: Final = 500


OnBooked = Callable[[Settlement, int], None]  # what the task paid


class Gatherer:
    """`on_booked` hears of each task that is in the books, also of one that was before."""

    def __init__(self, pool: Pool, on_booked: OnBooked = lambda settlement, paid: None) -> None:
        self._pool = pool
        self._on_booked = on_booked
        self._waiting: list[tuple[Settlement, asyncio.Future[bool]]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: set[asyncio.Task[None]] = set()

    async def settle(self, settlements: list[Settlement]) -> list[bool]:
        """Whether each is in the books after the commit. Raises what the database raises: nothing is booked then."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[bool]] = [loop.create_future() for _ in settlements]
        self._waiting += zip(settlements, futures, strict=True)
        if len(self._waiting) >= LARGEST_BATCH:
            self._flush()
        elif self._timer is None and self._waiting:
            self._timer = loop.call_later(GATHER_S, self._flush)
        return list(await asyncio.gather(*futures))

    async def close(self) -> None:
        """Books what is waiting."""
        self._flush()
        await asyncio.gather(*self._flushing, return_exceptions=True)

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._waiting:
            batch, self._waiting = self._waiting, []
            task = asyncio.create_task(self._settle(batch))
            self._flushing.add(task)
            task.add_done_callback(self._flushing.discard)

    async def _settle(self, batch: list[tuple[Settlement, asyncio.Future[bool]]]) -> None:
        try:
            booked = await book(self._pool, [settlement for settlement, _ in batch])
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(
                        error if isinstance(error, Exception) else ConnectionError("shut down")
                    )
            if not isinstance(error, Exception):
                raise
            return
        for settlement, future in batch:
            paid = booked.get(settlement.task_id)
            if paid is not None:
                self._on_booked(settlement, paid)
            if not future.done():
                future.set_result(paid is not None)
