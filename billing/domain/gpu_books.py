"""Of a period, for each GPU: when it was there, when it was busy, and who used it.

Measured: presence, by heartbeats, to the minute; busy time, which is the union of the times in which tasks ran on it, so
that tasks side by side count once; `engine_ms` of each task. A task of a period is one that was admitted in it, as bills
count, and the time of its run counts where it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from billing.domain.book_reading import stream
from billing.domain.gpu_hours import hours_of
from billing.domain.gpu_rates import HOUR_MS
from billing.enums import TransferKind
from gdpr.ids import month_of

Gpu = tuple[UUID, int]  # of a hive, by its index there
HOUR: Final = timedelta(hours=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MS: Final = timedelta(milliseconds=1)
MINUTE_MS: Final = 60_000

# Tasks that failed or were not charged used a GPU all the same.
RUNS: Final = f"""
    SELECT e.task_id, e.hive_id, e.worker, e.model, e.tenant_id, e.currency, e.outcome, e.amount_micros,
           coalesce(l.late, 0), e.began_at, e.ended_at, coalesce((e.usage->>'engine_ms')::bigint, 0)
    FROM billing_usageevent e LEFT JOIN (
        SELECT transaction_id, sum(amount_micros) AS late FROM billing_ledgertransfer
        WHERE kind = '{TransferKind.LATE_USAGE}' AND booked_at >= %(since)s GROUP BY transaction_id
    ) l ON l.transaction_id = e.task_id
    WHERE e.month = ANY(%(months)s) AND e.task_id >= %(first)s AND e.task_id < %(last)s {{of_hive}}
    ORDER BY e.hive_id, e.began_at
"""  # noqa: S608 -- constants


BESIDE: Final = f"""
    SELECT tenant_id, kind, currency,
           sum(amount_micros * ((credit_account LIKE 'revenue:%%')::int - (debit_account LIKE 'revenue:%%')::int))
    FROM billing_ledgertransfer
    WHERE month = ANY(%(months)s) AND id >= %(first)s AND id < %(last)s
          AND kind NOT IN ('{TransferKind.TASK}', '{TransferKind.LATE_USAGE}')
          AND (credit_account LIKE 'revenue:%%' OR debit_account LIKE 'revenue:%%')
    GROUP BY tenant_id, kind, currency ORDER BY tenant_id, kind, currency
"""  # noqa: S608 -- constants


class Period(NamedTuple):
    """`until` is excluded, and not later than now."""

    since: datetime
    until: datetime

    def hours(self) -> Iterator[tuple[datetime, int]]:
        """Each with how much of it is in the period, in ms."""
        hour = floor_hour(self.since)
        while hour < self.until:
            yield hour, (min(hour + HOUR, self.until) - max(hour, self.since)) // MS
            hour += HOUR


class Run(NamedTuple):
    """`late_micros` of its amount are the operator's loss. `weight`: engine_ms, or where no engine told, how long it ran."""

    task_id: UUID
    hive_id: UUID | None
    worker: str
    model: str
    tenant_id: UUID
    currency: str
    outcome: str
    amount_micros: int
    late_micros: int
    began_at: datetime | None
    ended_at: datetime | None
    engine_ms: int

    @property
    def weight(self) -> int:
        if self.engine_ms > 0:
            return self.engine_ms
        return max(0, (self.ended_at - self.began_at) // MS) if self.began_at and self.ended_at else 0


class BusyTime:
    """The union of intervals that come in the order of their beginnings, by hour."""

    def __init__(self) -> None:
        self.by_hour: dict[datetime, int] = defaultdict(int)
        self._until: datetime | None = None

    def add(self, began_at: datetime, ended_at: datetime) -> None:
        since = max(began_at, self._until) if self._until else began_at
        while since < ended_at:
            hour = floor_hour(since)
            end = min(ended_at, hour + HOUR)
            # As whole ms since the epoch, so that pieces of a run add up to it.
            self.by_hour[hour] += (end - EPOCH) // MS - (since - EPOCH) // MS
            since = end
        self._until = max(ended_at, self._until) if self._until else ended_at


class Presence:
    """Where workers ran, and in which minutes GPUs were there."""

    def __init__(self, period: Period) -> None:
        self.ms: dict[Gpu, dict[datetime, int]] = defaultdict(dict)
        self._gpus: dict[tuple[UUID, str], set[int]] = defaultdict(set)
        self._hour: dict[tuple[UUID, str, datetime], set[int]] = defaultdict(set)
        for row in hours_of(floor_hour(period.since), period.until + HOUR):
            self.ms[row.hive_id, row.gpu][row.hour] = row.minutes.bit_count() * MINUTE_MS
            for worker in row.workers:
                self._gpus[row.hive_id, worker].add(row.gpu)
                self._hour[row.hive_id, worker, row.hour].add(row.gpu)

    def gpus_of(self, run: Run) -> Iterable[int]:
        """Of its worker in that hour, else in the period; the hive's first where nobody noted it."""
        assert run.hive_id is not None
        if run.began_at and (found := self._hour.get((run.hive_id, run.worker, floor_hour(run.began_at)))):
            return found
        return self._gpus.get((run.hive_id, run.worker)) or {0}


def runs(period: Period, hive_id: UUID | None = None) -> Iterator[Run]:
    """Within `colony_tx`, by hive and beginning."""
    first, last = id_at(period.since), id_at(period.until)
    parameters: dict[str, Any] = {
        "since": period.since,
        "first": first,
        "last": last,
        "months": _months(first, last),
        "hive": hive_id,
    }
    query = RUNS.format(of_hive="AND e.hive_id = %(hive)s" if hive_id else "")
    for row in stream(query, parameters):
        yield Run._make((*row[:8], int(row[8]), *row[9:]))


def revenue_beside_tasks(period: Period) -> list[tuple[UUID, str, str, int]]:
    """What came in or was let off in the period that is of no task: tenant, kind, currency, micro-units."""
    first, last = id_at(period.since), id_at(period.until)
    parameters = {"first": first, "last": last, "months": _months(first, last)}
    return [
        (tenant, kind, currency, int(micros)) for tenant, kind, currency, micros in stream(BESIDE, parameters)
    ]


def id_at(moment: datetime) -> UUID:
    """Below every identifier that was made from then on."""
    return UUID(int=((moment - EPOCH) // MS << 80) | (0x7 << 76) | (0b10 << 62))


def floor_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def share_of_hour(ms: int) -> int:
    return min(ms, HOUR_MS)


def _months(first: UUID, last: UUID) -> list[Any]:
    month, found = month_of(first), []
    while month <= month_of(last):
        found.append(month)
        month = (month + timedelta(days=31)).replace(day=1)
    return found
