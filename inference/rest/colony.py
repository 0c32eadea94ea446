"""Hives and models as people look at them: what the database wants, beside what heartbeats say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from billing.models import Price
from hive_agent import protocol
from inference.domain.attestations import is_attested
from inference.domain.catalog import prices_in_force
from inference.domain.errors import RedisUnreachable
from inference.domain.heartbeats import Seen, read_heartbeats
from inference.domain.hives import joined_hives
from inference.enums import Capability, HiveState
from inference.models import Hive, Model, Worker

WORKER_FIELDS = (
    "status", "in_flight", "queue_depth", "capacity", "vram_mib", "ttft_ms", "uptime_s", "error", "progress",
)  # fmt: skip


class Colony:
    """One look at all hives. Redis being away shows them as offline: `is_redis_up` tells the difference."""

    def __init__(self) -> None:
        self.hives = joined_hives()
        self.is_redis_up = True
        try:
            self.seen = read_heartbeats(self.hives)
        except RedisUnreachable:
            self.is_redis_up, self.seen = False, dict[UUID, Seen]()
        self.workers = list(Worker.objects.select_related("hive", "model").order_by("id"))
        self._reports = {
            report.id: report for seen in self.seen.values() for report in seen.heartbeat.workers
        }

    def hive(self, hive: Hive) -> dict[str, Any]:
        seen = self.seen.get(hive.id)
        heartbeat = seen.heartbeat if seen else None
        return {
            "id": str(hive.id),
            "object": "hive",
            "name": hive.name,
            "region": hive.region,
            "region_attested": is_attested(hive),
            "region_until": hive.region_until,
            "labels": hive.labels,
            "state": seen.state if seen else HiveState.OFFLINE,
            "heartbeat_age_s": seen.age_s if seen else None,
            "epoch": heartbeat.epoch if heartbeat else None,
            "software": heartbeat.software if heartbeat else hive.software,
            "draining": heartbeat.draining if heartbeat else False,
            "cpu_pct": heartbeat.cpu_pct if heartbeat else None,
            "rss_mib": heartbeat.rss_mib if heartbeat else None,
            "joined_at": hive.joined_at,
            "devices": [_as_dict(device) for device in heartbeat.devices] if heartbeat else hive.devices,
            "workers": [self._worker(worker) for worker in self.workers if worker.hive_id == hive.id],
        }

    def models(self, models: Sequence[Model]) -> list[dict[str, Any]]:
        prices = prices_in_force(models)
        placed = defaultdict(list)
        for worker in self.workers:
            placed[worker.model_id].append(worker)
        return [
            _model(model, prices.get(model.name), map(self._worker, placed[model.id])) for model in models
        ]

    def counts(self, models: Sequence[Model]) -> dict[str, int]:
        reports = self._reports.values()
        return {
            "hives": len(self.hives),
            "hives_online": sum(seen.state == HiveState.ONLINE for seen in self.seen.values()),
            "workers": len(self.workers),
            "workers_ready": sum(report.status == protocol.WorkerStatus.READY for report in reports),
            "models": len(models),
            "in_flight": sum(report.in_flight for report in reports),
        }

    def _worker(self, worker: Worker) -> dict[str, Any]:
        report = self._reports.get(worker.id.hex) or _NOT_REPORTED
        return {
            "id": worker.id.hex,
            "hive": worker.hive.name,
            "model": worker.model.name,
            "engine": worker.model.engine,
            "capability": worker.model.capability,
            "slot": worker.slot,
            **{name: getattr(report, name) for name in WORKER_FIELDS},
        }


def _model(model: Model, price: Price | None, workers: Iterable[dict[str, Any]]) -> dict[str, Any]:
    placements = list(workers)
    return {
        "id": str(model.id),
        "object": "model",
        "name": model.name,
        "source": model.source,
        "engine": model.engine,
        "capability": model.capability,
        "type": Capability(model.capability).model_type,
        "context_tokens": model.context_tokens,
        "options": model.options,
        "published": model.published,
        "created_at": model.created_at,
        "prices": price.prices if price else None,
        "currency": price.currency if price else None,
        "is_free": price.is_free if price else None,
        "hives": sorted({worker["hive"] for worker in placements}),
        "workers": placements,
        "ready_workers": sum(worker["status"] == protocol.WorkerStatus.READY for worker in placements),
    }


def _as_dict(message: protocol.Message) -> dict[str, Any]:
    """Messages travel as arrays; people read names."""
    return dict(msgspec.structs.asdict(message))


_NOT_REPORTED = protocol.WorkerReport(
    id="", model="", engine="", status=protocol.WorkerStatus.AVAILABLE, capability="", devices=[], in_flight=0,
    queue_depth=0, capacity=0, vram_mib=0, ttft_ms=0, uptime_s=0, pid=0,
)  # fmt: skip
