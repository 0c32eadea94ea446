"""Prompts and outputs that a tenant wants kept, on their way from a queen's memory into PostgreSQL. The hot path hands over
and goes on; every GATHER_S a thread encrypts and writes what came.

What waits is in memory only, at most WAIT_BYTES of it: when PostgreSQL or the keys are away for longer than that lasts, what
comes further is not kept, and is counted; so is what a killed queen had not written.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from django.db import DataError, IntegrityError

from inference.domain.kept_content import Gathered

GATHER_S: Final = 0.2
BATCH_BYTES: Final = 4 << 20
WAIT_BYTES: Final = 64 << 20
RETRY_S: Final = 1.0
LAST_WRITE_S: Final = 2.0
REQUEST_BYTES: Final = 512 << 10  # of one task; what is longer is cut short
ANSWER_BYTES: Final = 512 << 10

Write = Callable[[Sequence[Gathered]], Awaitable[int]]

_log = logging.getLogger(__name__)


class ContentLog:
    """One per queen process. `lost` counts what should have been kept and was not."""

    def __init__(self, write: Write, *, wait_bytes: int = WAIT_BYTES) -> None:
        self.lost = 0
        self._write = write
        self._wait_bytes = wait_bytes
        self._waiting: deque[Gathered] = deque()
        self._bytes = 0
        self._lost_told = 0
        self._writing = asyncio.Lock()

    def add(self, gathered: Gathered) -> None:
        """Never waits."""
        if self._bytes + gathered.size > self._wait_bytes:
            self.lost += 1
            return
        self._waiting.append(gathered)
        self._bytes += gathered.size

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(GATHER_S)
            # One that is under way is not broken off when this is: `stop` waits for it.
            if not await asyncio.shield(asyncio.ensure_future(self.write())):
                await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        """Writes what waits, if that is quick."""
        try:
            async with asyncio.timeout(LAST_WRITE_S):
                await self.write()
        except TimeoutError:
            pass
        self.lost += len(self._waiting)
        self._tell_lost()

    async def write(self) -> bool:
        """All that waits, in batches. False: it could not be written, and waits."""
        async with self._writing:
            self._tell_lost()
            while batch := self._next():
                try:
                    await self._write(batch)
                except (DataError, IntegrityError) as error:  # it would be the same the next time
                    self.lost += len(batch)
                    _log.error("%d prompts and outputs cannot be kept: %s", len(batch), type(error).__name__)
                except Exception as error:  # noqa: BLE001 -- whatever keeps database and keys from it
                    _log.warning("prompts and outputs are not written yet: %s", type(error).__name__)
                    return False
                for _ in batch:
                    self._bytes -= self._waiting.popleft().size
            return True

    def _next(self) -> list[Gathered]:
        batch: list[Gathered] = []
        size = 0
        for each in self._waiting:
            size += each.size
            if batch and size > BATCH_BYTES:
                break
            batch.append(each)
        return batch

    def _tell_lost(self) -> None:
        if self.lost > self._lost_told:
            _log.warning("%d prompts and outputs were not kept", self.lost - self._lost_told)
            self._lost_told = self.lost
