"""What keys cost their tenant, by the books: tasks that run are not in it yet."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from django.db import connection

from billing.domain.quantities import Wanted, used_query
from gdpr.scope import tenant_tx


class Spent(NamedTuple):
    """In micro-units, in this day and month of UTC."""

    day: int
    month: int


def spent_by_keys(tenant_id: UUID | str, key_ids: Sequence[UUID]) -> dict[UUID, Spent]:
    if not key_ids:
        return {}
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    wanted = [
        Wanted("key", str(key_id), "spend_micros", int(since.timestamp()) * 1000)
        for key_id in key_ids
        for since in (midnight, midnight.replace(day=1))
    ]
    query, parameters = used_query(str(tenant_id), wanted)
    with tenant_tx(tenant_id), connection.cursor() as cursor:
        cursor.execute(query, parameters)
        sums = [int(used) for used in cursor.fetchone()]
    return {
        key_id: Spent(day, month) for key_id, day, month in zip(key_ids, sums[::2], sums[1::2], strict=True)
    }
