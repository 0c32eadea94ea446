"""Usage added up, for people and spreadsheets: by buckets of time and by what is asked for, across tenants or of one.

Amounts are those of the ledger's transfers, to the micro-unit. Quantities are those that were charged for. A task counts
when it was admitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any, Final, NamedTuple
from uuid import UUID

from billing.domain.book_reading import stream
from billing.domain.gpu_books import Period, id_at
from gdpr.ids import month_of
from hive_agent.protocol import CHARGED_OUTCOMES

GROUPS: Final[Mapping[str, str]] = {
    "tenant": "tenant_id",
    "project": "project_id",
    "key": "key_id",
    "model": "model",
    "endpoint": "endpoint",
    "hive": "hive_id",
    "region": "region",
    "outcome": "outcome",
}
BUCKETS: Final = ("hour", "day", "month")
ROWS_MAX: Final = 50_000

_AT = "to_timestamp(('x' || translate(left(task_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0)"


class TooManyRows(ValueError):
    """Nobody reads so many."""


class Chosen(NamedTuple):
    """None: all of them."""

    tenant_id: UUID | None = None
    project_id: UUID | None = None
    key_id: UUID | None = None
    model: str | None = None
    outcome: str | None = None


EVERYTHING: Final = Chosen()


class Summed(NamedTuple):
    start: datetime | None  # of the bucket; None: the whole period
    groups: dict[str, Any]
    currency: str
    tasks: int
    charged_tasks: int
    amount_micros: int
    usage: dict[str, int]


def summarize(
    period: Period, *, group_by: Sequence[str] = (), bucket: str = "", chosen: Chosen = EVERYTHING
) -> list[Summed]:
    """`group_by`: some of GROUPS, `bucket`: one of BUCKETS. In a scope. Raises TooManyRows."""
    start = f"date_trunc('{bucket}', {_AT}, 'UTC')" if bucket else "NULL::timestamptz"
    columns = [start, *(GROUPS[name] for name in group_by), "currency"]
    names = [f"g{place}" for place in range(len(columns))]
    key = ", ".join(names)
    wanted = {name: value for name, value in chosen._asdict().items() if value is not None}
    query = f"""
        WITH chosen AS (
            SELECT {", ".join(f"{column} AS {name}" for column, name in zip(columns, names, strict=True))},
                   outcome = ANY(%(charged)s) AS is_charged, usage, amount_micros
            FROM billing_usageevent
            WHERE month BETWEEN %(first_month)s AND %(last_month)s AND task_id >= %(first)s AND task_id < %(last)s
                  {"".join(f" AND {name} = %({name})s" for name in wanted)}
        )
        SELECT {key}, NULL AS unit, count(*), count(*) FILTER (WHERE is_charged), sum(amount_micros)
        FROM chosen GROUP BY {key}
        UNION ALL
        SELECT {key}, unit, 0, 0, sum(quantity::bigint)
        FROM chosen CROSS JOIN LATERAL jsonb_each_text(usage) AS used (unit, quantity) WHERE is_charged
        GROUP BY {key}, unit
        ORDER BY {key}, unit NULLS FIRST
    """  # noqa: S608 -- names are ours
    first, last = id_at(period.since), id_at(period.until)
    parameters: dict[str, Any] = {
        "charged": [str(each) for each in CHARGED_OUTCOMES],
        "first": first,
        "last": last,
        "first_month": month_of(first),
        "last_month": month_of(last),
        **wanted,
    }
    found: list[Summed] = []
    for summed in _folded(stream(query, parameters), group_by):
        if len(found) >= ROWS_MAX:
            raise TooManyRows(
                f"these are more than {ROWS_MAX} rows: ask for a shorter time, or for fewer groups"
            )
        found.append(summed)
    return found


def _folded(rows: Iterator[tuple[Any, ...]], group_by: Sequence[str]) -> Iterator[Summed]:
    """The first row of each group has its counts, those that follow a unit each."""
    width = len(group_by) + 2
    for key, members in groupby(rows, key=lambda row: row[:width]):
        (_, tasks, charged, amount), *units = (row[width:] for row in members)
        start, *values, currency = key
        groups = dict(zip(group_by, values, strict=True))
        usage = {unit: int(quantity) for unit, _, _, quantity in units}
        yield Summed(start, groups, currency, tasks, charged, int(amount), usage)
