"""Partitions of the monthly tables, made before they are needed. A month that is missing all the same is made by who
meets it: settlement of a task from before this installation, or after beat stood still for two months."""

from __future__ import annotations

from datetime import UTC, date, datetime

from django.db import DEFAULT_DB_ALIAS, connections

MONTHS_AHEAD = 2
MONTHS_BACK = 1  # a task admitted before midnight of the first day settles after it


def make_partitions(*, today: date | None = None, using: str = DEFAULT_DB_ALIAS) -> int:
    """Returns how many were made."""
    this_month = (today or datetime.now(UTC).date()).replace(day=1)
    with connections[using].cursor() as cursor:
        cursor.execute(
            "SELECT rbee_make_partitions(%s, %s)",
            [add_months(this_month, -MONTHS_BACK), add_months(this_month, MONTHS_AHEAD)],
        )
        made: int = cursor.fetchone()[0]
        return made


def add_months(month: date, months: int) -> date:
    years, index = divmod(month.month - 1 + months, 12)
    return date(month.year + years, index + 1, 1)
