"""What was used of quantities, by the books: for counters that were lost, and for limits that were set today.

A quantity is counted in whole numbers: seconds as milliseconds. The units are those of `tenants.domain.limits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from gdpr.ids import month_of
from gdpr.pool import Pool, colony_connection
from hive_agent.protocol import CHARGED_OUTCOMES

QUERY = """
    SELECT tenant_id, sum(coalesce((usage->>'prompt_tokens')::bigint, 0)
                          + coalesce((usage->>'completion_tokens')::bigint, 0))
    FROM billing_usageevent
    WHERE month = %s AND task_id >= %s AND outcome = ANY(%s)
    GROUP BY tenant_id
"""

# What of a task's usage makes up a unit, and how many of what is counted are one of it.
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "tokens": ("prompt_tokens", "completion_tokens"),
    "images": ("images",),
    "audio_seconds": ("audio_ms",),
    "video_seconds": ("video_ms",),
    "gpu_seconds": ("engine_ms",),
}
SCALES: Final = {"audio_seconds": 1000, "video_seconds": 1000, "gpu_seconds": 1000}

_OUTCOMES = [str(outcome) for outcome in CHARGED_OUTCOMES]
_SUMS = {
    unit: " + ".join(f"coalesce((usage->>'{part}')::bigint, 0)" for part in parts)
    for unit, parts in PARTS.items()
}
_SUMS |= {"requests": "1", "spend_micros": "amount_micros"}
_OWNERS = {"project": "project_id = %s::uuid", "key": "key_id = %s::uuid", "subject": "subject = %s"}


class Wanted(NamedTuple):
    """A quantity: of which owner, which unit, since when (Unix ms, within the running month)."""

    level: str
    owner: str
    unit: str
    since_ms: int


def quantities_of(usage: Mapping[str, int]) -> dict[str, int]:
    """Of one task that is charged."""
    used = {unit: sum(max(0, usage.get(part, 0)) for part in parts) for unit, parts in PARTS.items()}
    return used | {"requests": 1}


async def tokens_used_since(pool: Pool, since_ms: int) -> dict[str, int]:
    """By tenant, as hex. `since_ms` is Unix time within the running month; tasks count by when they were admitted."""
    first = _first_id(since_ms)
    async with colony_connection(pool) as connection:
        cursor = await connection.execute(QUERY, [month_of(first), first, _OUTCOMES])
        return {tenant.hex: int(tokens) for tenant, tokens in await cursor.fetchall()}


async def quantities_used(
    pool: Pool, tenant_id: str, wanted: Sequence[Wanted], *, without: Sequence[str]
) -> list[int]:
    """Of each that is wanted, leaving out the tasks `without`: who asks counts them itself."""
    query, parameters = used_query(tenant_id, wanted, without=without)
    async with colony_connection(pool) as connection:
        cursor = await connection.execute(query, parameters)
        row = await cursor.fetchone()
    assert row is not None
    return [int(used) for used in row]


def used_query(
    tenant_id: str, wanted: Sequence[Wanted], *, without: Sequence[str] = ()
) -> tuple[str, list[Any]]:
    """One row, one column for each that is wanted."""
    columns: list[str] = []
    parameters: list[Any] = []
    for each in wanted:
        conditions = ["task_id >= %s::uuid"]
        parameters.append(str(_first_id(each.since_ms)))
        if owner := _OWNERS.get(each.level):
            conditions.append(owner)
            parameters.append(each.owner)
        columns.append(f"coalesce(sum({_SUMS[each.unit]}) FILTER (WHERE {' AND '.join(conditions)}), 0)")
    first = _first_id(min(each.since_ms for each in wanted))
    query = (
        f"SELECT {', '.join(columns)} FROM billing_usageevent WHERE tenant_id = %s::uuid AND month = %s"  # noqa: S608
        " AND task_id >= %s::uuid AND outcome = ANY(%s) AND NOT task_id = ANY(%s::uuid[])"
    )
    return query, [*parameters, tenant_id, month_of(first), str(first), _OUTCOMES, list(without)]


def _first_id(since_ms: int) -> UUID:
    return UUID(int=(since_ms << 80) | (0x7 << 76) | (0b10 << 62))
