"""Decisions on their way into PostgreSQL. The hot path hands over references and goes on; within GATHER_S a thread makes
rows of them, and one statement writes them all.

A decision is worth less than the task that it tells of: when more wait than QUEUE_MAX, because PostgreSQL is away or slow,
the oldest are dropped and counted, and what a killed queen had not written is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import psycopg
from psycopg_pool import PoolTimeout

from gdpr.pool import Pool, colony_connection
from inference.domain.colony import Colony
from inference.domain.decision_rows import COLUMNS, DecisionRows
from inference.domain.trace import Trace

GATHER_S: Final = 0.1
BATCH_MAX: Final = 500
QUEUE_MAX: Final = 10_000
RETRY_S: Final = 1.0
LAST_WRITE_S: Final = 2.0

# In binary: as text, bytes double and every backslash and quote is escaped.
_INSERT: Final = f"""
    INSERT INTO inference_decision ({", ".join(COLUMNS)})
    SELECT * FROM unnest({", ".join(f"%b::{kind}[]" for kind in COLUMNS.values())}) ON CONFLICT DO NOTHING
"""  # noqa: S608 -- constants
_INSERT_SNAPSHOT: Final = (
    "INSERT INTO inference_colonysnapshot (id, at, workers) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING"
)

Rows = list[tuple[Any, ...]]

_log = logging.getLogger(__name__)


class DecisionLog:
    """One per queen process. `dropped` counts what was not kept."""

    def __init__(self, pool: Pool, colony: Colony, *, queue_max: int = QUEUE_MAX) -> None:
        self.dropped = 0
        self._pool = pool
        self._colony = colony
        self._queue: deque[Trace] = deque(maxlen=queue_max)
        self._rows = DecisionRows()
        self._unwritten: tuple[Rows, Rows] = ([], [])  # snapshots, decisions
        self._dropped_told = 0
        self._writing = asyncio.Lock()

    def end(self, trace: Trace, error: BaseException | None = None) -> None:
        """How it ended; None: it has a worker. Never waits."""
        if trace.end(error):
            if len(self._queue) == self._queue.maxlen:
                self.dropped += 1
            self._queue.append(trace)

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(GATHER_S)
            while self._queue or any(self._unwritten):
                # One that is under way is not broken off when this is: `stop` waits for it.
                if not await asyncio.shield(asyncio.ensure_future(self.write())):
                    await asyncio.sleep(RETRY_S)

    async def stop(self) -> None:
        """Writes what waits, if that is quick."""
        try:
            async with asyncio.timeout(LAST_WRITE_S):
                while (self._queue or any(self._unwritten)) and await self.write():
                    pass
        except TimeoutError:
            pass
        self.dropped += len(self._queue) + len(self._unwritten[1])
        self._tell_dropped()

    async def write(self) -> bool:
        """A batch. False: PostgreSQL is away, and what was taken is tried again."""
        async with self._writing:
            if not any(self._unwritten):
                traces = [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_MAX))]
                colony = [worker.fields for worker in self._colony.workers]
                self._unwritten = await asyncio.to_thread(self._rows.rows, traces, colony)
            self._tell_dropped()
            if not self._unwritten[1]:
                return True
            try:
                await self._write(*self._unwritten)
            except (psycopg.OperationalError, PoolTimeout) as error:
                _log.warning("decisions are not written yet: %s", type(error).__name__)
                return False
            self._unwritten = ([], [])
            return True

    async def _write(self, snapshots: Rows, decisions: Rows) -> None:
        try:
            async with colony_connection(self._pool) as connection:
                for snapshot in snapshots:
                    await connection.execute(_INSERT_SNAPSHOT, snapshot)
                await connection.execute(_INSERT, [list(column) for column in zip(*decisions, strict=True)])
        except psycopg.errors.CheckViolation:
            if not await self._make_partitions():
                self._lose(decisions, "no partition")
            else:
                await self._write(snapshots, decisions)
        except (psycopg.DataError, psycopg.IntegrityError) as error:
            if len(decisions) == 1:
                self._lose(decisions, type(error).__name__)
                return
            middle = len(decisions) // 2  # one that cannot be kept must not hold back the others
            await self._write(snapshots, decisions[:middle])
            await self._write(snapshots, decisions[middle:])

    async def _make_partitions(self) -> bool:
        month = datetime.now(UTC).date().replace(day=1)
        async with self._pool.connection() as connection:
            cursor = await connection.execute("SELECT rbee_make_partitions(%s, %s)", [month, month])
            row = await cursor.fetchone()
            return bool(row and row[0])

    def _lose(self, decisions: Sequence[tuple[Any, ...]], why: str) -> None:
        self.dropped += len(decisions)
        self._rows.forget()
        _log.error("%d decisions cannot be kept: %s", len(decisions), why)

    def _tell_dropped(self) -> None:
        if self.dropped > self._dropped_told:
            _log.warning(
                "%d decisions were not kept: more came than were written", self.dropped - self._dropped_told
            )
            self._dropped_told = self.dropped
