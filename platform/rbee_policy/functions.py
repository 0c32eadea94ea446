"""What scripts may call. Every function answers from what its call was given, and never does I/O.

A fact that is not known is `()`, and so is one about anybody or anything that this script is not offered: a tenant's
script cannot tell another tenant, or a worker that is not for it, from one that there is not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

import rhai_py

from rbee_policy.regions import region_is_eu
from rbee_policy.world import NO_LIMIT

BYTES_PER_MIB: Final = 1 << 20


class Facts(NamedTuple):
    """`customer` is whom the task is for; without it nothing is known of quotas."""

    customer: rhai_py.Record | None = None
    knows_model: Callable[[str], bool] = lambda name: False


NO_FACTS: Final = Facts()


class _Call(threading.local):
    """Host functions run on the thread that called the script."""

    facts: Facts = NO_FACTS
    workers: Sequence[rhai_py.Record] = ()


_call = _Call()


def answer_from(facts: Facts, workers: Sequence[rhai_py.Record] = ()) -> None:
    """On this thread, until the next time: while a script runs that is offered `workers`."""
    _call.facts = facts
    _call.workers = workers


def _tenant_usage(id: str) -> int | None:  # noqa: A002 - what the reference calls it
    return _of_customer(id, "tokens_used_today")


def _tenant_remaining_quota(id: str) -> int | None:  # noqa: A002
    return _of_customer(id, "tokens_remaining_today")


def _tenant_over_quota(id: str) -> bool | None:  # noqa: A002
    used, limit = _of_customer(id, "tokens_used_today"), _of_customer(id, "daily_limit")
    return None if used is None or limit is None else limit != NO_LIMIT and used > limit


def _gpu_vram_total(id: str) -> int | None:  # noqa: A002
    return _sum_of_devices(_named(id), "total_vram_mb")


def _gpu_vram_free(id: str) -> int | None:  # noqa: A002
    return _sum_of_devices(_named(id), "vram_free_mb")


def _gpu_device_name(id: str) -> str | None:  # noqa: A002
    named = _named(id)
    return str(named[0].get("gpu_name")) or None if named else None


def _model_exists(name: str) -> bool:
    return _call.facts.knows_model(name)


def _model_vram_required(name: str) -> int | None:
    taken = [_integer(worker, "vram_mb") for worker in _call.workers if worker.get("model") == name]
    return max(taken, default=0) or None


def _model_size_bytes(name: str) -> int | None:
    vram_mib = _model_vram_required(name)
    return None if vram_mib is None else vram_mib * BYTES_PER_MIB


FUNCTIONS: Final[dict[str, Callable[..., object]]] = {
    "region_is_eu": region_is_eu,
    "tenant_usage": _tenant_usage,
    "tenant_remaining_quota": _tenant_remaining_quota,
    "tenant_over_quota": _tenant_over_quota,
    "gpu_vram_total": _gpu_vram_total,
    "gpu_vram_free": _gpu_vram_free,
    "gpu_device_name": _gpu_device_name,
    "model_exists": _model_exists,
    "model_vram_required": _model_vram_required,
    "model_size_bytes": _model_size_bytes,
}
QUOTA_FUNCTIONS: Final = ("tenant_usage", "tenant_remaining_quota", "tenant_over_quota")


# What a hive is told from, in the order in which `_hive_fields` takes it apart.
_OF_WORKERS: Final = (
    "hive", "region", "region_is_eu", "tier", "gpu_type",
    "in_flight", "capacity", "gpu_index", "gpus", "vram_free_mb", "total_vram_mb",
)  # fmt: skip
_Row = tuple[Any, ...]


def hives_of(workers: Sequence[rhai_py.Record]) -> list[rhai_py.Record]:
    """The hives of those workers, in their order, as far as these workers tell of them."""
    by_hive: dict[str, list[_Row]] = {}
    for row in rhai_py.Workers(workers).rows(*_OF_WORKERS):
        by_hive.setdefault(str(row[0]), []).append(row)
    return [rhai_py.Record("hive", _hive_fields(name, rows)) for name, rows in by_hive.items()]


def _hive_fields(name: str, rows: list[_Row]) -> dict[str, Any]:
    _, region, region_is_eu, tier, gpu_type, *_ = rows[0]
    _, _, _, _, _, in_flights, capacities, devices, gpus, free_mb, total_mb = zip(*rows, strict=True)
    in_flight, capacity = _sum(in_flights), _sum(capacities)
    return {
        "id": name,
        "name": name,
        "status": "ready",
        "region": region,
        "region_is_eu": region_is_eu,
        "tier": tier,
        "gpu_type": gpu_type,
        "gpus": _sum_once(devices, gpus),
        "workers": len(rows),
        "in_flight": in_flight,
        "capacity": capacity,
        "load": in_flight / capacity if capacity > 0 else 1.0,
        "vram_free_mb": _sum_once(devices, free_mb),
        "total_vram_mb": _sum_once(devices, total_mb),
    }


def _sum(values: Collection[Any]) -> int:
    try:
        total = sum(values)
    except TypeError:
        total = None
    return total if type(total) is int else sum(map(_whole, values))


def _sum_once(devices: Sequence[object], values: Sequence[object]) -> int:
    """Workers that share their first device share all: each device counts once."""
    return _sum(dict(zip(devices, values, strict=True)).values())


def _of_customer(name: str, field: str) -> int | None:
    customer = _call.facts.customer
    if customer is None or not name or name not in {customer.get("id"), customer.get("tenant_id")}:
        return None
    return _integer(customer, field)


def _named(name: str) -> list[rhai_py.Record]:
    """The worker of that id or instance, or all of the hive of that name."""
    for field in ("id", "instance", "hive"):
        found = [worker for worker in _call.workers if worker.get(field) == name]
        if found:
            return found
    return []


def _sum_of_devices(workers: list[rhai_py.Record], field: str) -> int | None:
    """As `_sum_once`, also of several hives."""
    by_device = {(worker.get("hive"), worker.get("gpu_index")): worker.get(field) for worker in workers}
    return _sum(by_device.values()) if by_device else None


def _integer(record: rhai_py.Record, field: str) -> int:
    return _whole(record.get(field))


def _whole(value: object) -> int:
    """A label may have put a text there, which counts nothing."""
    return int(value) if isinstance(value, int | float) else 0
