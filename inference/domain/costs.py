"""What the hives say for costs: which GPUs are there and whose workers run on them, and what their labels say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from billing.domain.gpu_costs import cards
from billing.domain.gpu_hours import SeenGpu, note_gpus
from billing.domain.gpu_rates import Cards
from hive_agent import protocol
from inference.domain.errors import InvalidInput
from inference.domain.heartbeats import read_heartbeats
from inference.domain.hives import hive_named, joined_hives
from inference.enums import HiveState
from inference.models import Hive


def note_present_gpus() -> int:
    """How many there are at this minute. Raises RedisUnreachable."""
    seen = [
        gpu
        for hive_id, each in read_heartbeats(joined_hives()).items()
        if each.state == HiveState.ONLINE
        for gpu in gpus_of(hive_id, each.heartbeat)
    ]
    note_gpus(seen, datetime.now(UTC))
    return len(seen)


def gpus_of(hive_id: UUID, heartbeat: protocol.Heartbeat) -> Iterator[SeenGpu]:
    """Of a machine without one: its CPU, when a worker runs on it."""
    workers = defaultdict(list)
    for report in heartbeat.workers:
        for index in report.devices:
            workers[index].append(report.id)
    for device in heartbeat.devices:
        if device.kind != "cpu" or device.index in workers:
            yield SeenGpu(hive_id, device.index, workers[device.index])


def cards_of_colony() -> Cards:
    labels: Mapping[UUID, Mapping[str, Any]] = dict(Hive.objects.values_list("id", "labels"))
    return cards(labels)


def hive_names() -> dict[UUID, str]:
    """Also of those that were removed."""
    return dict(Hive.objects.values_list("id", "name"))


def target_of(text: str) -> tuple[UUID | None, int | None]:
    """`all`, `HIVE` or `HIVE:GPU`. Raises InvalidInput, NotFound."""
    if text == "all":
        return None, None
    name, colon, index = text.partition(":")
    if colon and not (index.isascii() and index.isdigit() and len(index) < 5):
        raise InvalidInput(f"a GPU is named like gpu-node-01:0, not {text!r}", param="target")
    return hive_named(name).id, int(index) if colon else None
