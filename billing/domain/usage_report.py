"""What was used and what it cost, added up: by buckets of time, and within a bucket by what the caller groups by.

A task counts when it was admitted, which its identifier tells, and when it is charged: as limits and bills count. Buckets
begin on full minutes, hours and days of UTC; the first and the last are cut to the time that was asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection

from gdpr.ids import month_of
from gdpr.scope import tenant_tx
from hive_agent.protocol import CHARGED_OUTCOMES

GROUPS: Final[Mapping[str, str]] = {
    "project": "project_id",
    "key": "key_id",
    "model": "model",
    "endpoint": "endpoint",
    "currency": "currency",
}

_OUTCOMES = [str(outcome) for outcome in CHARGED_OUTCOMES]
_MS = "('x' || translate(left(task_id::text, 13), '-', ''))::bit(48)::bigint"  # of its UUIDv7


class Span(msgspec.Struct, frozen=True):
    """Unix seconds, the end excluded."""

    start_s: int
    end_s: int
    width_s: int

    def first(self, count: int) -> Span:
        """As much of it as makes up `count` buckets."""
        end_s = self.start_s // self.width_s * self.width_s + count * self.width_s
        return Span(self.start_s, min(self.end_s, end_s), self.width_s)

    def buckets(self) -> Iterator[tuple[int, int]]:
        start_s = self.start_s
        while start_s < self.end_s:
            end_s = min(self.end_s, (start_s // self.width_s + 1) * self.width_s)
            yield start_s, end_s
            start_s = end_s


class Row(NamedTuple):
    groups: dict[str, Any]  # by the names of `GROUPS`
    requests: int
    amount_micros: int
    sums: dict[str, int]  # by the units of usage that were asked for


class Only(msgspec.Struct, frozen=True):
    """None: all of them."""

    endpoints: Sequence[str] | None = None
    projects: Sequence[UUID] | None = None
    keys: Sequence[UUID] | None = None
    models: Sequence[str] | None = None


def add_up(
    tenant_id: UUID, span: Span, *, units: Sequence[str], group_by: Sequence[str], only: Only
) -> dict[int, list[Row]]:
    """By the start of the bucket; buckets without a task are left out. `units`: names of quantities in the program's own
    words, such as prompt_tokens; `group_by`: some of `GROUPS`."""
    columns = [GROUPS[name] for name in group_by]
    sums = [f"coalesce(sum((usage->>'{unit}')::bigint), 0)" for unit in units]
    bucket = f"greatest(({_MS} / 1000) / %s * %s, %s)"
    first, last = _id_at(span.start_s), _id_at(span.end_s)
    filters, wanted = _filters(only)
    query = (
        f"SELECT {', '.join([f'{bucket} AS bucket', *columns])}, count(*), sum(amount_micros)"  # noqa: S608
        f"{''.join(f', {each}' for each in sums)} FROM billing_usageevent"
        " WHERE tenant_id = %s AND month BETWEEN %s AND %s AND task_id >= %s AND task_id < %s AND outcome = ANY(%s)"
        f"{filters} GROUP BY {', '.join(['bucket', *columns])} ORDER BY {', '.join(['bucket', *columns])}"
    )
    parameters: list[Any] = [
        span.width_s,
        span.width_s,
        span.start_s,
        tenant_id,
        month_of(first),
        month_of(last),
    ]
    parameters += [first, last, _OUTCOMES, *wanted]
    found: dict[int, list[Row]] = defaultdict(list)
    with tenant_tx(tenant_id), connection.cursor() as cursor:
        cursor.execute(query, parameters)
        for start_s, *values in cursor.fetchall():
            groups = dict(zip(group_by, values, strict=False))
            requests, amount, *quantities = values[len(columns) :]
            named = dict(zip(units, map(int, quantities), strict=True))
            found[int(start_s)].append(Row(groups, requests, int(amount), named))
    return found


def _filters(only: Only) -> tuple[str, list[Any]]:
    given = [
        (f" AND {column} = ANY(%s)", list(wanted))
        for column, wanted in (
            ("endpoint", only.endpoints),
            ("project_id", only.projects),
            ("key_id", only.keys),
            ("model", only.models),
        )
        if wanted is not None
    ]
    return "".join(text for text, _ in given), [wanted for _, wanted in given]


def _id_at(time_s: int) -> UUID:
    """Below every identifier that was made then."""
    return UUID(int=(time_s * 1000 << 80) | (0x7 << 76) | (0b10 << 62))
