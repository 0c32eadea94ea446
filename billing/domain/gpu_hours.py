"""In which minutes each GPU was there. A minute counts when a heartbeat was seen in it, once, however often that is noted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from billing.cost_models import GpuHour

NOTE = """
    INSERT INTO billing_gpuhour (hive_id, gpu, hour, minutes, workers)
    VALUES (%s, %s, date_trunc('hour', %s::timestamptz, 'UTC'), 1::bigint << %s, %s::jsonb)
    ON CONFLICT (hive_id, gpu, hour) DO UPDATE
    SET minutes = billing_gpuhour.minutes | excluded.minutes,
        workers = (SELECT jsonb_agg(DISTINCT name) FROM jsonb_array_elements(billing_gpuhour.workers || excluded.workers) name)
    WHERE (billing_gpuhour.minutes & excluded.minutes) = 0 OR NOT billing_gpuhour.workers @> excluded.workers
"""


class SeenGpu(NamedTuple):
    hive_id: UUID
    gpu: int
    workers: Sequence[str]  # that use it, in hex


def note_gpus(seen: Iterable[SeenGpu], at: datetime) -> None:
    rows: list[list[Any]] = [
        [each.hive_id, each.gpu, at, at.minute, json.dumps(sorted(each.workers))] for each in sorted(seen)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(NOTE, rows)


def hours_of(since: datetime, until: datetime) -> Iterable[GpuHour]:
    return GpuHour.objects.filter(hour__gte=since, hour__lt=until).iterator(2000)
