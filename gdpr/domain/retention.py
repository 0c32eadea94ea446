"""What a table keeps longer than it says, goes. One chore for all tables; those that have a chore of their own, because
more depends on their rows than time, are shown here and left to it (`Held.applied_by`).

Never more than is declared: a row is judged by its rule alone, one that others still refer to waits for them, and each
batch is a transaction with its own audit entry.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from django.db import connection
from psycopg import sql

from gdpr.data_map import Holding, holdings, in_order
from gdpr.domain.audit import Actor, record
from gdpr.models import AppendOnly
from gdpr.scope import colony_tx

BATCH: Final = 5_000
BATCHES_MAX: Final = 200  # of one table in one run: a day later there is another
CHORE: Final = "gdpr.apply_retention"

_SYSTEM: Final = Actor.system("retention")


class Applied(NamedTuple):
    """Of one table. `rows`: that are over, or that went; `applied_by`: empty when this chore ends them."""

    table: str
    rule: str
    cutoff: datetime
    rows: int
    applied_by: str


def rows_over(now: datetime | None = None) -> list[Applied]:
    """How much of each table is kept longer than it says. Changes nothing."""
    now = now or datetime.now(UTC)
    return [_applied(each, now, _count(each, _cutoff(each, now))) for each in _timed()]


def apply_retention(now: datetime | None = None, *, actor: Actor = _SYSTEM) -> list[Applied]:
    """What went, of the tables that this chore sees to. Rows that refer to others go before those."""
    now = now or datetime.now(UTC)
    return [
        _applied(each, now, _forget(each, _cutoff(each, now), actor))
        for each in _timed()
        if not each.held.applied_by
    ]


def _timed() -> list[Holding]:
    return in_order([each for each in holdings() if each.retention.is_timed])


def _applied(holding: Holding, now: datetime, rows: int) -> Applied:
    return Applied(
        holding.table, holding.retention.in_words(), _cutoff(holding, now), rows, holding.held.applied_by
    )


def _cutoff(holding: Holding, now: datetime) -> datetime:
    cutoff = holding.retention.cutoff(now)
    assert cutoff is not None, "only what time ends comes here"
    return cutoff


def _count(holding: Holding, cutoff: datetime) -> int:
    statement = sql.SQL("SELECT count(*) FROM {table} t WHERE {over}").format(
        table=sql.Identifier(holding.table), over=_over(holding)
    )
    with colony_tx("count what is over"), connection.cursor() as cursor:
        cursor.execute(statement, {"cutoff": cutoff})
        return int(cursor.fetchone()[0])


def _forget(holding: Holding, cutoff: datetime, actor: Actor) -> int:
    assert not issubclass(holding.model, AppendOnly), f"{holding.table} is append-only: name who applies its rule"
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT t.ctid FROM {table} t WHERE {over} LIMIT {most}))"
    ).format(table=sql.Identifier(holding.table), over=_over(holding), most=sql.Literal(BATCH))
    total = 0
    for _ in range(BATCHES_MAX):
        with colony_tx(f"retention of {holding.table}"), connection.cursor() as cursor:
            cursor.execute(statement, {"cutoff": cutoff})
            gone = int(cursor.rowcount)
            if gone:
                record("retention.applied", actor=actor, object_ref=f"table:{holding.table}", details={
                    "rows": gone, "rule": holding.retention.in_words(), "before": cutoff.isoformat(),
                })  # fmt: skip
        total += gone
        if gone < BATCH:
            break
    return total


def _over(holding: Holding) -> sql.Composable:
    """Older than its rule allows, and nothing refers to it any more."""
    column = holding.model._meta.get_field(holding.retention.column).column
    conditions: list[sql.Composable] = [sql.SQL("t.{} < %(cutoff)s").format(sql.Identifier(column))]
    if any(field.column == "month" for field in holding.model._meta.pk_fields):
        # Of a row's id, so never later than what its rule counts from: whole partitions are left out.
        conditions.append(sql.SQL("t.month < %(cutoff)s"))
    for relation in holding.model._meta.related_objects:
        field: Any = relation.field
        if field.concrete and getattr(field, "db_constraint", False) and not field.many_to_many:
            conditions.append(
                sql.SQL("NOT EXISTS (SELECT 1 FROM {child} c WHERE c.{column} = t.{key})").format(
                    child=sql.Identifier(relation.related_model._meta.db_table),
                    column=sql.Identifier(field.column),
                    key=sql.Identifier(field.target_field.column),
                )
            )
    return sql.SQL(" AND ").join(conditions)
