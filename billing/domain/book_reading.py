"""How the books are read and what is found in them, for all that compare them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db import connection

from billing.domain.receipt_check import Outside
from billing.enums import DifferenceKind

CHUNK: Final = 2000


class Found(NamedTuple):
    kind: DifferenceKind
    object_ref: str
    expected: str
    found: str
    tenant_id: UUID | None = None
    task_id: UUID | None = None


class Booked(NamedTuple):
    """When. The books are compared by the day on which they were written: a receipt may come days after its task."""

    since: datetime
    until: datetime

    @classmethod
    def on(cls, day: date) -> Booked:
        since = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return cls(since, since + timedelta(days=1))


Figures = dict[str, int]
Comparison = Callable[[Booked, Outside, Figures], Iterator[Found]]


def stream(query: str, parameters: Mapping[str, Any] | None = None) -> Iterator[tuple[Any, ...]]:
    """By a cursor in the database, `CHUNK` rows at a time."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(query, parameters)
        while rows := cursor.fetchmany(CHUNK):
            yield from rows


def count(figures: Figures, name: str, more: int = 1) -> None:
    figures[name] = figures.get(name, 0) + more
