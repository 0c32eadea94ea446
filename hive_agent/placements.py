"""The workers of this hive, as the queen placed them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from hive_agent.celery_process import CeleryProcess
from hive_agent.errors import QueenRefused
from hive_agent.folder import Folder
from hive_agent.protocol import VERSION, DeviceReport, Forgetting, Placement, WorkerReport
from hive_agent.queen import Queen
from hive_agent.shared_state import SharedFile, WorkerTable
from hive_agent.worker import IDLE, Worker

log = logging.getLogger(__name__)


class Workers:
    def __init__(
        self, folder: Folder, queen: Queen, celery: CeleryProcess, on_change: Callable[[], None]
    ) -> None:
        self.folder = folder
        self.queen = queen
        self.celery = celery
        self.on_change = on_change
        self.is_draining = False
        self.table = SharedFile(folder.workers, WorkerTable)
        self.written: WorkerTable | None = None
        self.workers: dict[str, Worker] = {}
        self.leaving: dict[str, asyncio.Task[None]] = {}
        self.wanted: list[Placement] = []
        self.to_forget: list[Forgetting] = []

    async def refresh(self) -> None:
        """Ask the queen, and become what it says. Raises QueenUnreachable or QueenRefused."""
        answer = await self.queen.placements()
        if answer.version != VERSION:
            raise QueenRefused(
                f"the queen speaks version {answer.version} of the protocol, this hive {VERSION}", status=200
            )
        self.place(answer.placements)
        self.write_table()
        self.to_forget = answer.forget

    def place(self, placements: list[Placement]) -> None:
        self.wanted = placements
        wanted = {each.worker: each for each in placements}
        for worker_id, worker in list(self.workers.items()):
            if wanted.get(worker_id) != worker.placement and worker_id not in self.leaving:
                self._let_go(worker_id)
        for worker_id, placement in wanted.items():
            if worker_id not in self.workers and worker_id not in self.leaving:
                log.info("worker for %s: %s, %s", placement.model, placement.engine, placement.source)
                self.workers[worker_id] = Worker(placement, self.folder, self._changed)

    def reports(self, all_devices: list[DeviceReport]) -> list[WorkerReport]:
        state = self.celery.state
        gauges = state.workers if state else {}
        return [
            worker.report(gauges.get(worker_id, IDLE), all_devices, is_served=self.celery.is_serving)
            for worker_id, worker in self.workers.items()
        ]

    def write_table(self) -> None:
        table = WorkerTable(
            clock_ahead_ms=self.queen.clock_ahead_ms,
            is_draining=self.is_draining,
            workers=[entry for worker in self.workers.values() if (entry := worker.entry()) is not None],
        )
        if table != self.written:
            self.table.write(table)
            self.written = table

    def kill(self) -> None:
        for worker in self.workers.values():
            worker.kill()

    async def stop(self) -> None:
        await asyncio.gather(*(worker.stop() for worker in self.workers.values()))

    def _let_go(self, worker_id: str) -> None:
        worker = self.workers[worker_id]
        drained = asyncio.create_task(
            worker.drain(lambda: self._in_flight(worker_id)), name=f"drain {worker.placement.model}"
        )
        self.leaving[worker_id] = drained
        drained.add_done_callback(lambda _: self._gone(worker_id))

    def _gone(self, worker_id: str) -> None:
        self.workers.pop(worker_id, None)
        self.leaving.pop(worker_id, None)
        self.place(self.wanted)  # it may be wanted again, with other options
        self._changed()

    def _in_flight(self, worker_id: str) -> int:
        state = self.celery.state
        return state.workers.get(worker_id, IDLE).in_flight if state else 0

    def _changed(self) -> None:
        self.write_table()
        self.on_change()
