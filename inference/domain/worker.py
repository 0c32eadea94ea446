"""One worker as the queen sees it: for routing in Python, and as the record that scripts read."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import rhai_py

from hive_agent.protocol import DeviceReport, Heartbeat, WorkerReport, WorkerStatus
from rbee_policy.regions import region_is_eu

Scalar = str | int | float | bool

# What the operator may say of a hive's workers by a label of that name, with what it is when he says nothing.
OPERATOR_FIELDS: dict[str, Scalar] = {
    "tier": "",
    "dedicated_to": "",
    "pinned": False,
    "cost_per_token": 0,
    "cost_per_hour": 0,
    "electricity_price": 0,
    "power_w": 0,
    "estimated_time": 0,
    "group": "",
}
# What the hive reports, where a label of that name has the last word.
REPLACEABLE_FIELDS = ("gpu_type", "gpus", "backend", "total_vram_mb")


class HiveInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator says of a hive; never the hive itself. `region` is attested, until `region_until_s`."""

    id: str  # hex
    name: str
    prefix: str  # of its keys in Redis
    region: str = ""
    region_until_s: float = math.inf  # Unix time
    labels: Mapping[str, Scalar] = {}

    @property
    def current_region(self) -> str:
        """Empty: nobody vouches for one at this moment."""
        return self.region if time.time() < self.region_until_s else ""


class WorkerView:
    """`record` is kept up to date in place, so a script that runs sees the values it began with, and the next one
    those of now. `fields` is another dictionary after each change, so who keeps it keeps what was. `in_flight` counts at once what this queen gave and took; the hive's own count comes a second later."""

    __slots__ = (
        "_given", "_given_at_report", "_reported", "capability", "capacity", "fields", "hive", "id", "model", "prefix",
        "record", "status",
    )  # fmt: skip

    def __init__(self, info: HiveInfo, heartbeat: Heartbeat, report: WorkerReport) -> None:
        self.hive = info
        self.id = report.id
        self.prefix = info.prefix
        self._given = 0
        self._given_at_report = 0
        self._reported: int = report.in_flight
        self.fields: dict[str, Any] = {}
        self._read(report)
        self.fields = self._fields(info, heartbeat, report)
        self.record = rhai_py.Record("worker", self.fields)

    @property
    def hive_id(self) -> str:
        return self.hive.id

    @property
    def region(self) -> str:
        return self.hive.current_region

    @property
    def tier(self) -> str:
        return str(self.fields["tier"])

    @property
    def in_flight(self) -> int:
        return max(self._given, self._reported + self._given - self._given_at_report)

    @property
    def is_ready(self) -> bool:
        return self.status == WorkerStatus.READY

    def update(self, info: HiveInfo, heartbeat: Heartbeat, report: WorkerReport) -> None:
        self.hive = info
        self._read(report)
        fields = self._fields(info, heartbeat, report)
        changed = {name: value for name, value in fields.items() if self.fields[name] != value}
        if changed:
            self.fields = fields
            self.record.update(**changed)

    def give(self) -> None:
        """A task is on its way to it."""
        self._given += 1
        self._tell_load()

    def take(self) -> None:
        """That task has ended."""
        self._given -= 1
        self._given_at_report = min(self._given_at_report, self._given + self._reported)
        self._tell_load()

    def fill(self) -> None:
        """Its hive takes nothing more, whatever its last report said: other queens give it tasks too."""
        self._reported = max(self._reported, self.capacity - self._given + self._given_at_report)
        self._tell_load()

    def _read(self, report: WorkerReport) -> None:
        self.model = report.model
        self.status = report.status
        self.capability = report.capability
        self.capacity = report.capacity
        self._reported = report.in_flight
        self._given_at_report = self._given

    def _tell_load(self) -> None:
        in_flight, load = self.in_flight, self._load()
        self.fields = {**self.fields, "in_flight": in_flight, "load": load}
        self.record.update(in_flight=in_flight, load=load)

    def _load(self) -> float:
        return self.in_flight / self.capacity if self.capacity > 0 else 1.0

    def _fields(self, info: HiveInfo, heartbeat: Heartbeat, report: WorkerReport) -> dict[str, Any]:
        labels, region = info.labels, info.current_region
        devices = _devices_of(heartbeat, report)
        first = devices[0] if devices else None
        fields: dict[str, Any] = {
            "id": report.id,
            "hive": info.name,
            "instance": f"{info.name}:{first.index if first else 0}",
            "model": report.model,
            "models": [report.model] if report.model else [],
            "engine": report.engine,
            "status": report.status,
            "capability": report.capability,
            "gpu_type": first.gpu_type if first else "CPU",
            "gpu_name": first.name if first else "",
            "gpu_index": first.index if first else 0,
            "gpus": sum(1 for device in devices if device.kind != "cpu"),
            "backend": first.kind if first else "cpu",
            "region": region,
            "region_is_eu": region_is_eu(region),
            "labels": dict(labels),
            "geo": _geo(region, labels),
            "in_flight": self.in_flight,
            "queue_depth": report.queue_depth,
            "capacity": report.capacity,
            "load": self._load(),
            "load_s": 0,
            "ttft_ms": report.ttft_ms,
            "cpu_pct": heartbeat.cpu_pct,
            "rss_mb": heartbeat.rss_mib,
            "gpu_util_pct": max((device.util_pct for device in devices), default=0),
            "vram_mb": report.vram_mib,
            "vram_free_mb": sum(device.vram_free_mib for device in devices),
            "total_vram_mb": sum(device.vram_total_mib for device in devices),
            "uptime_s": report.uptime_s,
            "pid": report.pid,
        }
        fields.update({name: labels[name] for name in REPLACEABLE_FIELDS if name in labels})
        fields.update({name: labels.get(name, value) for name, value in OPERATOR_FIELDS.items()})
        return fields


def _devices_of(heartbeat: Heartbeat, report: WorkerReport) -> list[DeviceReport]:
    by_index = {device.index: device for device in heartbeat.devices}
    return [by_index[index] for index in report.devices if index in by_index]


def _geo(region: str, labels: Mapping[str, Scalar]) -> dict[str, Scalar]:
    return {
        "region": region,
        "latitude": labels.get("latitude", 0.0),
        "longitude": labels.get("longitude", 0.0),
    }
