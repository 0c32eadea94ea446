"""Tasks, customers and workers that a script may meet: ordinary ones, none, a thousand, the largest, and the strangest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import rhai_py

from rbee_policy.world import KINDS, NO_LIMIT, defaults

TASK_TYPES: Final = ("text-gen", "image-gen", "audio-gen", "video-gen", "embedding")
TIERS: Final = ("free", "pro", "enterprise")
GPU_TYPES: Final = ("H100", "A100", "RTX4090", "M2 Ultra", "CPU")
REGIONS: Final = ("EU", "EU/Netherlands", "US", "")
MANY: Final = 1000
LARGEST_NUMBER: Final = 1.7e308
STRANGEST: Final = "\u202eé🐝\u0301 ${task.id} \"'\\\n{} 名前"
# Labels are the operator's own words: a script that reads one that no fixture has would break on all of them.
_LABEL: Final = re.compile(r"""\blabels\s*(?:\.\s*([A-Za-z_]\w*)\b(?!\s*\()|\[\s*"([^"\\]+)"\s*\])""")


class Offered(NamedTuple):
    record: rhai_py.Record


class Given(NamedTuple):
    """What an entry point is called with. `name` is how a finding speaks of it."""

    name: str
    task: rhai_py.Record
    customer: rhai_py.Record
    workers: list[Offered]


def fixtures(source: str) -> Iterator[Given]:
    """Each kind of task with each list of workers; customers take turns."""
    labels = dict.fromkeys((one or other for one, other in _LABEL.findall(source)), "a")
    customers = list(_customers())
    lists = [(name, [Offered(record) for record in records]) for name, records in _worker_lists(labels)]
    turn = 0
    for task_name, task in _tasks():
        for list_name, workers in lists:
            customer_name, customer = customers[turn % len(customers)]
            turn += 1
            yield Given(f"{task_name}, {customer_name}, {list_name}", task, customer, workers)


def _tasks() -> Iterator[tuple[str, rhai_py.Record]]:
    for kind in TASK_TYPES:
        yield f"a task {kind}", _record("task", type=kind)
    yield from _edges("task", "a task")


def _customers() -> Iterator[tuple[str, rhai_py.Record]]:
    for tier in TIERS:
        yield f"a customer of tier {tier}", _record("customer", tier=tier, plan=tier)
    yield (
        "a customer over its quota",
        _record("customer", daily_limit=1000, tokens_used_today=1001, tokens_remaining_today=0),
    )
    yield from _edges("customer", "a customer")


def _worker_lists(labels: dict[str, str]) -> Iterator[tuple[str, list[rhai_py.Record]]]:
    yield "no worker", []
    yield "one worker", [_record("worker", labels=labels)]
    yield "1,000 workers", [_worker(number, labels) for number in range(MANY)]
    yield "strange workers", [record for _, record in _edges("worker", "")]


def _worker(number: int, labels: dict[str, str]) -> rhai_py.Record:
    region = REGIONS[number % len(REGIONS)]
    return _record(
        "worker",
        id=f"w{number}",
        hive=f"hive-{number // 4}",
        instance=f"hive-{number // 4}:{number % 4}",
        gpu_type=GPU_TYPES[number % len(GPU_TYPES)],
        gpu_index=number % 4,
        region=region,
        region_is_eu=region.startswith("EU"),
        in_flight=number % 8,
        load=number % 8 / 8,
        vram_free_mb=number * 100,
        labels=labels,
    )


def _edges(kind: str, name: str) -> Iterator[tuple[str, rhai_py.Record]]:
    """Every field at the end of what it can be."""
    yield f"{name} of nothing", _all(kind, text="", integer=0, number=0.0)
    yield f"{name} of the largest", _all(kind, text="x" * 1000, integer=NO_LIMIT, number=LARGEST_NUMBER)
    yield f"{name} of strange texts", _all(kind, text=STRANGEST, integer=1, number=-0.0)


def _all(kind: str, *, text: str, integer: int, number: float) -> rhai_py.Record:
    values: Mapping[str, Any] = {
        "text": text,
        "integer": integer,
        "number": number,
        "bool": bool(integer),
        "list": [text],
        "map": {},
    }
    changed = {name: values[field.type] for name, field in KINDS[kind].items() if name != "geo"}
    return _record(kind, **changed)


def _record(kind: str, **fields: Any) -> rhai_py.Record:
    return rhai_py.Record(kind, defaults(kind) | fields)
