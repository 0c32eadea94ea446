"""Audit entries as the database has them, and whether they are those of the log. By SQL: no Django is needed to look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from psycopg import Connection
from psycopg.rows import class_row

from gdpr.log.entry import canonical_entry, leaf_hash
from gdpr.log.term import is_over
from gdpr.log.tiles import WIDTH, TileRefused, Tiles
from gdpr.log.verify import Problem

RANGE: Final = 16 * WIDTH  # entries compared at once
OVERDUE_S: Final = 60.0  # a row that has no place in the log by then was not seen by the sequencer

_COLUMNS = "month, id, tenant_id, event, actor, object_ref, outcome, details, request_id, at, schema_version, leaf, seq"
WAITING: Final = (
    f"SELECT {_COLUMNS} FROM gdpr_auditentry WHERE seq IS NULL AND id <> ALL(%s) ORDER BY id LIMIT %s"  # noqa: S608 -- constants
)
NUMBERED: Final = f"SELECT {_COLUMNS} FROM gdpr_auditentry WHERE seq >= %s AND seq < %s ORDER BY seq, id"  # noqa: S608


@dataclass(frozen=True, slots=True)
class Row:
    month: date
    id: UUID
    tenant_id: UUID | None
    event: str
    actor: str
    object_ref: str
    outcome: str
    details: dict[str, Any]
    request_id: str
    at: datetime
    schema_version: int
    leaf: bytes
    seq: int | None

    def entry(self) -> bytes:
        """Raises ValueError when it has no canonical form, which no writer of ours leaves behind."""
        if not isinstance(self.details, dict):
            raise ValueError(f"details are {type(self.details).__name__}")
        return canonical_entry(
            id=self.id, tenant_id=self.tenant_id, event=self.event, actor=self.actor, object_ref=self.object_ref,
            outcome=self.outcome, details=self.details, request_id=self.request_id, at=self.at,
            schema_version=self.schema_version,
        )  # fmt: skip


def waiting_rows(connection: Connection[Any], most: int, without: list[UUID]) -> list[Row]:
    with connection.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(WAITING, [without, most]).fetchall()


def numbered_rows(connection: Connection[Any], begin: int, end: int) -> list[Row]:
    with connection.cursor(row_factory=class_row(Row)) as cursor:
        return cursor.execute(NUMBERED, [begin, end]).fetchall()


def compare_rows(connection: Connection[Any], tiles: Tiles, minimum: int = 0) -> Iterator[Problem]:
    """`connection` sees the rows of all tenants. Of an entry that cannot be read `verify_log` says why; `minimum` is the
    index below which none has to be there, nor may its row be."""
    for begin in range(0, tiles.size, RANGE):
        end = min(begin + RANGE, tiles.size)
        found: dict[int, list[Row]] = {}
        for row in numbered_rows(connection, begin, end):
            found.setdefault(row.seq or 0, []).append(row)
        for index in range(begin, end):
            try:
                entry = tiles.entry(index)
            except TileRefused:
                entry = None
            held = found.get(index, [])
            if held and index < minimum:
                yield Problem(f"entry {index}", "it is below the minimum index, and the database has its row")
            yield from _compare(index, entry, held)
    yield from _beyond(connection, tiles.size)


def _compare(index: int, entry: bytes | None, rows: list[Row]) -> Iterator[Problem]:
    where = f"entry {index}"
    if len(rows) > 1:
        ids = ", ".join(str(row.id) for row in rows)
        yield Problem(where, f"{len(rows)} rows of the database have this place: {ids}")
    if not rows:
        if entry is not None and not _is_over(entry):
            yield Problem(where, "its row is missing from the database")
        return
    for row in rows:
        try:
            held = row.entry()
        except ValueError as error:
            yield Problem(where, f"its row {row.id} cannot be an audit entry: {error}")
            continue
        if entry is not None and held != entry:
            yield Problem(where, f"its row {row.id} was changed: {_difference(held, entry)}")
        elif bytes(row.leaf) != leaf_hash(held):
            yield Problem(where, f"its row {row.id} has a leaf that is not of its columns")


def _beyond(connection: Connection[Any], size: int) -> Iterator[Problem]:
    """Rows that have a place beyond what was numbered, and rows that still have none."""
    row = connection.execute("SELECT max(size) FROM gdpr_auditsequence").fetchone()
    numbered = (row[0] if row else None) or 0
    if numbered < size:
        yield Problem(
            "database", f"{numbered} entries were numbered by it, and the log has {size}: it was rolled back"
        )
    for seq, row_id in connection.execute(
        "SELECT seq, id FROM gdpr_auditentry WHERE seq >= %s OR seq < 0 ORDER BY seq LIMIT 100",
        [max(numbered, size)],
    ):
        yield Problem(f"entry {seq}", f"the row {row_id} has a place that nobody gave")
    made_before = UUID(int=int((time.time() - OVERDUE_S) * 1000) << 80)  # a UUIDv7 begins with its time
    overdue = connection.execute(
        "SELECT count(*), min(id::text) FROM gdpr_auditentry WHERE seq IS NULL AND id < %s", [made_before]
    ).fetchone()
    if overdue and overdue[0]:
        yield Problem(
            "database",
            f"{overdue[0]} rows have no place in the log, {overdue[1]} among them: does the sequencer run?",
        )


def _difference(held: bytes, entry: bytes) -> str:
    """The names of the columns only: a report is no place for what is in them."""
    try:
        one, other = msgspec.json.decode(held), msgspec.json.decode(entry)
        names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    except (msgspec.MsgspecError, AttributeError, TypeError):
        names = []
    return ", ".join(names) or "its bytes"


def _is_over(entry: bytes) -> bool:
    """Dropped with its month, as the retention has it."""
    try:
        made = datetime.fromisoformat(msgspec.json.decode(entry)["at"])
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return False
    return is_over(made, datetime.now(UTC))
