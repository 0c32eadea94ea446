"""The runner's side of the spool: a thread that gathers what came while the disk was busy into one commit."""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hive_agent.spool import Attempt, Spool

log = logging.getLogger(__name__)

UPDATE_INTERVAL_S = 0.25  # progress of running tasks need not be committed by itself more often


class SpoolFailed(Exception):
    """The disk is full or broken."""


@dataclass(slots=True)
class _Job:
    work: Callable[[Spool], bool]
    done: asyncio.Future[bool]


class SpoolWriter:
    def __init__(self, path: Path, clock_ms: Callable[[], int]) -> None:
        self.path = path
        self.clock_ms = clock_ms
        self.loop = asyncio.get_running_loop()
        self.jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.updates: dict[tuple[str, int], Attempt] = {}
        self.thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self.thread.start()

    async def open(self, attempt: Attempt) -> bool:
        """On disk when it returns; False when this attempt was begun here before. Raises SpoolFailed."""
        return await self._submit(lambda spool: spool.open(attempt))

    def update(self, attempt: Attempt) -> None:
        """Soon on disk: its usage and its first token."""
        self.updates[attempt.key] = attempt

    async def close(self, attempt: Attempt, payload: bytes) -> None:
        """On disk when it returns. Raises SpoolFailed."""
        self.updates.pop(attempt.key, None)

        def work(spool: Spool) -> bool:
            spool.close(attempt.key, payload, self.clock_ms())
            return True

        await self._submit(work)

    async def stop(self) -> None:
        self.jobs.put(None)
        await asyncio.to_thread(self.thread.join)

    async def _submit(self, work: Callable[[Spool], bool]) -> bool:
        job = _Job(work, self.loop.create_future())
        self.jobs.put(job)
        return await job.done

    def _run(self) -> None:
        spool = Spool(self.path)
        is_running = True
        while is_running:
            jobs: list[_Job] = []
            try:
                first = self.jobs.get(timeout=UPDATE_INTERVAL_S)
                while first is not None:
                    jobs.append(first)
                    first = self.jobs.get_nowait()
                is_running = False
            except queue.Empty:
                pass
            self._commit(spool, jobs)
        spool.shut()

    def _commit(self, spool: Spool, jobs: list[_Job]) -> None:
        updates, self.updates = self.updates, {}
        if not jobs and not updates:
            return
        try:
            with spool.transaction():
                results = [job.work(spool) for job in jobs]
                for attempt in list(updates.values()):
                    spool.update(attempt, self.clock_ms())
        except sqlite3.Error as error:
            log.error("spool: %s", error)
            self._answer(jobs, error)
        else:
            self._answer(jobs, results)

    def _answer(self, jobs: list[_Job], results: list[bool] | sqlite3.Error) -> None:
        def answer() -> None:
            for number, job in enumerate(jobs):
                if job.done.done():
                    continue
                if isinstance(results, list):
                    job.done.set_result(results[number])
                else:
                    job.done.set_exception(SpoolFailed(str(results)))

        if jobs:
            self.loop.call_soon_threadsafe(answer)
