"""The hives and their workers as this process sees them, from the heartbeats in Redis.

Silence is counted while this queen could hear: neither Redis being away nor a process that was stopped makes a hive look
dead. A hive that is silent for SILENT_S gets no task; one that is silent for LOST_S loses those that it holds, unless
most of the colony fell silent with it: then the queen suspects itself and moves nothing for SUSPECT_S.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from hive_agent.protocol import (
    HEARTBEAT_EXPIRY_S,
    LOST_S,
    SILENT_S,
    VERSION,
    Endpoint,
    Heartbeat,
    WorkerStatus,
    decode_heartbeat,
)
from inference.domain.worker import HiveInfo, WorkerView
from inference.transport.resp import RedisDown, RedisError, RedisPipe

__all__ = ["Colony", "HiveInfo", "HiveView", "LoadHives", "WorkerView"]

POLL_INTERVAL_S = 0.5
EXTRA_LOOK_INTERVAL_S = 0.1
RELOAD_INTERVAL_S = 30.0
SUSPECT_S = 60.0
SUSPECT_MIN_HIVES = 3

CAPABILITIES = {Endpoint.CHAT: "text-gen", Endpoint.COMPLETIONS: "text-gen"}

LoadHives = Callable[[], Awaitable[Mapping[str, HiveInfo]]]  # by id
OnLost = Callable[[str], None]  # id of a hive that is gone
OnEpoch = Callable[[str, int], None]  # id of a hive whose process was replaced, and the new one's epoch

_log = logging.getLogger(__name__)


class HiveView:
    """`epoch` is 0 until it was heard."""

    def __init__(self, info: HiveInfo) -> None:
        self.info = info
        self.epoch = 0
        self.is_draining = False
        self.is_lost = False
        self.silent_s = 0.0
        self.state: bytes | None = None  # the heartbeat as it was read
        self.heartbeat: Heartbeat | None = None
        self.workers: dict[str, WorkerView] = {}

    @property
    def is_silent(self) -> bool:
        return self.silent_s > SILENT_S or not self.epoch

    def hear(self, heartbeat: Heartbeat) -> None:
        self.heartbeat = heartbeat
        self.epoch = heartbeat.epoch
        self.is_draining = heartbeat.draining
        self.is_lost = False
        self.silent_s = 0.0
        self.refresh()

    def refresh(self) -> None:
        """The workers, from what the operator and the hive said last."""
        if self.heartbeat is None:
            return
        before, self.workers = self.workers, {}
        for report in self.heartbeat.workers:
            worker = before.get(report.id)
            if worker is None:
                worker = WorkerView(self.info, self.heartbeat, report)
            else:
                worker.update(self.info, self.heartbeat, report)
            self.workers[report.id] = worker


class Colony:
    """One per queen process. `on_lost` and `on_epoch` are called from its loop, after its own view is up to date."""

    def __init__(self, pipe: RedisPipe, load_hives: LoadHives) -> None:
        self.pipe = pipe
        self.hives: dict[str, HiveView] = {}
        self.on_lost: list[OnLost] = []
        self.on_epoch: list[OnEpoch] = []
        self.on_look: list[Callable[[], None]] = []
        self.is_suspicious = False
        self._load_hives = load_hives
        self._by_model: dict[str, list[tuple[HiveView, WorkerView]]] = {}
        self._must_reload = False
        self._loaded_at = 0.0
        self._polled_at = 0.0
        self._looked_at = 0.0
        self._refreshing = asyncio.Lock()
        self._poller: asyncio.Task[None] | None = None
        self._extra_look: asyncio.Task[None] | None = None

    @property
    def workers(self) -> list[WorkerView]:
        return [worker for hive in self.hives.values() for worker in hive.workers.values()]

    async def start(self) -> None:
        """Load the hives, look once, and go on looking. Raises what `load_hives` raises."""
        await self._reload()
        await self._look()
        self._poller = asyncio.create_task(self._poll(), name="colony")

    async def stop(self) -> None:
        if self._poller:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)

    def reload_hives(self) -> None:
        """At the next look: something about the hives was changed by the operator."""
        self._must_reload = True

    def hive(self, hive_id: str) -> HiveView | None:
        return self.hives.get(hive_id)

    def candidates(self, model: str, endpoint: str) -> list[WorkerView]:
        """Who may get a task for `model` at once."""
        capability = CAPABILITIES[Endpoint(endpoint)]
        return [
            worker
            for hive, worker in self._by_model.get(model, ())
            if worker.status == WorkerStatus.READY
            and worker.in_flight < worker.capacity
            and worker.capability == capability
            and not hive.is_silent
            and not hive.is_draining
        ]

    def of_model(self, model: str) -> Sequence[tuple[HiveView, WorkerView]]:
        """Who has it, whether or not it may get a task."""
        return self._by_model.get(model, ())

    async def look_for(self, model: str) -> None:
        """Look at once, unless a worker that is ready for `model` is known: one may have become so since the last look.
        Callers at the same time share a look."""
        if any(worker.status == WorkerStatus.READY for _, worker in self._by_model.get(model, ())):
            return
        if self._extra_look is None or self._extra_look.done():
            if time.monotonic() - self._looked_at < EXTRA_LOOK_INTERVAL_S:
                return
            self._extra_look = asyncio.create_task(self._refresh(), name="colony look")
        await asyncio.shield(self._extra_look)

    def loading(self, model: str) -> list[WorkerView]:
        """Who will be ready for it without anybody's doing."""
        return [
            worker
            for hive, worker in self._by_model.get(model, ())
            if worker.status == WorkerStatus.LOADING and not hive.is_silent
        ]

    def has_room(self, model: str) -> bool:
        """Somebody serves it and could take a task at once."""
        return any(
            worker.status == WorkerStatus.READY
            and worker.in_flight < worker.capacity
            and not hive.is_silent
            and not hive.is_draining
            for hive, worker in self._by_model.get(model, ())
        )

    def busy(self, model: str) -> list[WorkerView]:
        """Who serves it, and has as many tasks as it takes at once."""
        return [
            worker
            for hive, worker in self._by_model.get(model, ())
            if worker.status == WorkerStatus.READY
            and worker.in_flight >= worker.capacity
            and not hive.is_silent
            and not hive.is_draining
        ]

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            await self._refresh()

    async def _refresh(self) -> None:
        async with self._refreshing:
            if self._must_reload or time.monotonic() - self._loaded_at > RELOAD_INTERVAL_S:
                try:
                    await self._reload()
                except Exception as error:  # noqa: BLE001 -- what is known of the hives stays in use
                    _log.warning("the hives cannot be loaded: %s", type(error).__name__)
            await self._look()
            self._looked_at = time.monotonic()

    async def _reload(self) -> None:
        self._must_reload = False
        self._loaded_at = time.monotonic()
        infos = await self._load_hives()
        removed = self.hives.keys() - infos.keys()
        self.hives = {hive_id: self._view(info) for hive_id, info in infos.items()}
        self._index()
        for hive_id in removed:
            self._tell_lost(hive_id)

    def _view(self, info: HiveInfo) -> HiveView:
        known = self.hives.get(info.id)
        if known is None:
            return HiveView(info)
        if known.info != info:
            known.info = info
            known.refresh()
        return known

    async def _look(self) -> None:
        hives = list(self.hives.values())
        if not hives:
            return
        try:
            states = await self.pipe.call("MGET", *(f"{hive.info.prefix}state" for hive in hives))
            ages_s = await self._ages_s([hive for hive in hives if not hive.epoch])
        except (RedisDown, RedisError):
            self._polled_at = 0.0
            return
        deaf_for_s = self._heard_for_s()
        replaced = []
        for hive, state in zip(hives, states, strict=True):
            heartbeat = None if state is None or state == hive.state else _decoded(hive, state)
            if heartbeat is None:
                hive.silent_s += deaf_for_s
                continue
            if hive.epoch and heartbeat.epoch != hive.epoch:
                replaced.append(hive)
            hive.state = state
            hive.hear(heartbeat)
            hive.silent_s = ages_s.get(hive.info.id, 0.0)
        self._index()
        for hive in replaced:
            for listener in self.on_epoch:
                listener(hive.info.id, hive.epoch)
        self._find_lost(hives)
        for look in self.on_look:
            look()

    async def _ages_s(self, hives: Iterable[HiveView]) -> dict[str, float]:
        """Of the heartbeats of hives that this process has not heard yet: they may be what a dead one left behind."""
        calls = {hive.info.id: self.pipe.call("PTTL", f"{hive.info.prefix}state") for hive in hives}
        left_ms = {hive_id: await call for hive_id, call in calls.items()}
        return {hive_id: HEARTBEAT_EXPIRY_S - left / 1000 for hive_id, left in left_ms.items() if left >= 0}

    def _heard_for_s(self) -> float:
        """Since the look before; not more than a look takes, however long this process was stopped."""
        now = time.monotonic()
        since_s = min(now - self._polled_at, 2 * POLL_INTERVAL_S) if self._polled_at else 0.0
        self._polled_at = now
        return since_s

    def _find_lost(self, hives: list[HiveView]) -> None:
        alive = [hive for hive in hives if hive.epoch and not hive.is_lost]
        silent = [hive for hive in alive if hive.silent_s > SILENT_S]
        most = len(alive) >= SUSPECT_MIN_HIVES and len(silent) > len(alive) / 2
        if most and not self.is_suspicious:
            _log.error("%d of %d hives fell silent at once: nothing is moved", len(silent), len(alive))
        self.is_suspicious = most
        for hive in silent:
            if hive.silent_s > (SUSPECT_S if most else LOST_S):
                hive.is_lost = True
                _log.warning("hive %s is lost", hive.info.name)
                self._tell_lost(hive.info.id)

    def _tell_lost(self, hive_id: str) -> None:
        for listener in self.on_lost:
            listener(hive_id)

    def _index(self) -> None:
        by_model: dict[str, list[tuple[HiveView, WorkerView]]] = {}
        for hive in self.hives.values():
            for worker in hive.workers.values():
                if worker.model:
                    by_model.setdefault(worker.model, []).append((hive, worker))
        self._by_model = by_model


def _decoded(hive: HiveView, state: bytes) -> Heartbeat | None:
    """None for what is not understood, or speaks of another hive."""
    try:
        heartbeat = decode_heartbeat(state)
    except msgspec.MsgspecError as error:
        _log.warning("the heartbeat of hive %s is not understood: %s", hive.info.name, error)
        return None
    if heartbeat.version > VERSION or heartbeat.hive != hive.info.id:
        _log.warning("the heartbeat of hive %s is of another version or hive", hive.info.name)
        return None
    return heartbeat
