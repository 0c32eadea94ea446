"""One worker: its model is found, its engine started, watched and started again, until the placement goes away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from hive_agent import devices
from hive_agent.ending import cancel_all
from hive_agent.engine_process import EngineProcess
from hive_agent.engines import load_engine
from hive_agent.engines.base import Health
from hive_agent.errors import EngineFailed, HiveError
from hive_agent.folder import Folder
from hive_agent.protocol import DeviceReport, Placement, WorkerReport, WorkerStatus
from hive_agent.shared_state import WorkerEntry, WorkerGauges
from hive_agent.sources import find_model

log = logging.getLogger(__name__)

BACKOFF_S = (0.2, 1, 2, 5, 10, 30)
STEADY_S = 60.0  # an engine that ran for this long starts its backoff anew
DRAIN_S = 30.0
IDLE = WorkerGauges(in_flight=0, ttft_ms=0)


class Worker:
    def __init__(self, placement: Placement, folder: Folder, on_change: Callable[[], None]) -> None:
        self.placement = placement
        self.folder = folder
        self.on_change = on_change
        self.status = WorkerStatus.LOADING
        self.error = ""
        self.progress = ""
        self.process: EngineProcess | None = None
        self.health: Health | None = None
        self.capacity = 0
        self.ready_at = 0.0
        self.task = asyncio.create_task(self._run(), name=f"worker {placement.model}")

    async def drain(self, in_flight: Callable[[], int], timeout_s: float = DRAIN_S) -> None:
        """Take nothing more, let what runs finish, then end the engine."""
        self._become(WorkerStatus.DRAINING)
        until = time.monotonic() + timeout_s
        while in_flight() and time.monotonic() < until:  # noqa: ASYNC110 -- read from a file of another process
            await asyncio.sleep(0.1)
        await self.stop()

    async def stop(self) -> None:
        await cancel_all([self.task])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()

    def entry(self) -> WorkerEntry | None:
        """None before the engine first started."""
        if self.process is None or self.health is None:
            return None
        return WorkerEntry(
            id=self.placement.worker,
            model=self.placement.model,
            engine=self.placement.engine,
            url=self.process.url,
            key=self.process.key,
            slots=self.health.slots,
            capacity=self.capacity,
            is_ready=self.status is WorkerStatus.READY,
        )

    def report(
        self, gauges: WorkerGauges, all_devices: list[DeviceReport], *, is_served: bool
    ) -> WorkerReport:
        """`is_served`: the process that runs tasks is up. Without it a ready engine answers nobody."""
        status = self.status
        if status is WorkerStatus.READY and not is_served:
            status = WorkerStatus.LOADING
        slots = self.health.slots if self.health else 0
        pid = self.process.pid if self.process else 0
        return WorkerReport(
            id=self.placement.worker,
            model=self.placement.model,
            engine=self.placement.engine,
            status=status,
            capability=self.placement.capability,
            devices=self._devices(all_devices),
            in_flight=gauges.in_flight,
            queue_depth=max(gauges.in_flight - slots, 0),
            capacity=self.capacity,
            vram_mib=devices.process_vram_mib(pid) if pid else 0,
            ttft_ms=gauges.ttft_ms,
            uptime_s=int(time.monotonic() - self.ready_at) if self.ready_at else 0,
            pid=pid,
            error=self.error,
            progress=self.progress,
        )

    def _devices(self, all_devices: list[DeviceReport]) -> list[int]:
        wanted = self.health.device if self.health else "cpu"
        return [each.index for each in all_devices if each.kind == wanted] or [all_devices[-1].index]

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                await self._serve()
            except HiveError as error:
                if self.ready_at and time.monotonic() - self.ready_at > STEADY_S:
                    failures = 0
                log.warning("worker %s: %s", self.placement.model, error)
                self._become(WorkerStatus.LOADING, str(error))
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1

    async def _serve(self) -> None:
        engine = load_engine(self.placement.engine)
        if problem := engine.check_options(self.placement.options):
            raise EngineFailed(problem)
        model = await find_model(self.placement.source, self._say) if engine.has_file else None
        log_file = self.folder.logs / f"engine-{self.placement.worker}.log"
        self.process = EngineProcess(engine, model, self.placement.options, log_file)
        try:
            self.health = await self.process.start()
            self.capacity = int(
                self.placement.options.get("capacity", self.health.slots * engine.tasks_per_slot)
            )
            self.ready_at = time.monotonic()
            self._become(WorkerStatus.READY)
            log.info("worker %s is ready: %s, pid %d", self.placement.model, engine.name, self.process.pid)
            await self.process.watch()
        finally:
            await self.process.stop()

    def _say(self, progress: str) -> None:
        """From any thread."""
        self.error, self.progress = "", progress

    def _become(self, status: WorkerStatus, error: str = "") -> None:
        self.status = status
        self.error, self.progress = error, ""
        self.on_change()
