"""The holder of PostgreSQL: rows go, or lose what tells of somebody, as the data map says of each table."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from typing import Any, Final

from django.contrib.postgres.fields import ArrayField
from django.db import connection, models, transaction
from django.utils import timezone

from gdpr import data_map
from gdpr.activities import Law
from gdpr.data_map import Holding
from gdpr.domain.holders import Erased, Hold
from gdpr.holding import Action, Erasure, Identity
from gdpr.scope import colony_tx

AT_ONCE: Final = 5000  # rows
ERASED_TEXT: Final = "erased-"

Clearer = Callable[[Identity, Hold], int]

log = logging.getLogger(__name__)
_clearers: dict[str, Clearer] = {}


def register_clearer(label: str, clear: Clearer) -> None:
    """For a table that refuses changes, by the one way that it has for this."""
    _clearers[label] = clear


class Tables:
    name = "database"

    def erase(self, identity: Identity, hold: Hold) -> Erased:
        counts: dict[str, int] = {}
        kept: list[dict[str, Any]] = []
        touched: list[str] = []
        for holding, erasure in data_map.plan(identity.whose):
            hold.renew()
            changed = _erase(holding, erasure, identity, hold)
            if changed:
                counts[holding.label] = changed
                touched.append(holding.table)
            if (law := _law(erasure)) is not None and (rows := _count(holding, identity)):
                kept.append(_kept(holding, erasure, law, rows))
        for table in _with_partitions(touched):
            hold.renew()
            _rewrite(table)
        return Erased(counts, kept)

    def remains(self, identity: Identity, needles: Sequence[str]) -> list[str]:
        """By identity, not by words: another tenant may know the same person, and keeps them."""
        return [
            holding.label
            for holding, erasure in data_map.plan(identity.whose)
            if erasure.action is not Action.KEEP and _has_rest(holding, erasure, identity)
        ]


def _erase(holding: Holding, erasure: Erasure, identity: Identity, hold: Hold) -> int:
    """How many rows. Nothing of what is kept, and nothing that has been done before."""
    if erasure.action in (Action.KEEP, Action.KEY):
        return 0
    if erasure.action is Action.DELETE:
        total = _delete_scanned(holding, identity) if holding.is_scanned(identity.whose) else 0
        while deleted := _delete_some(holding, identity):
            total += deleted
            hold.renew()
        return total
    if clear := _clearers.get(holding.label):
        return clear(identity, hold)
    with colony_tx("an erasure clears"):
        rows = _uncleared(holding, erasure, identity)
        if rows is None:
            return 0
        if erasure.action is Action.CLEAR:
            return rows.update(**{name: _empty(holding, name) for name in erasure.columns})
        return _pseudonymise(rows, holding, erasure)


def _delete_some(holding: Holding, identity: Identity) -> int:
    with colony_tx("an erasure deletes"):
        found = holding.find(identity)
        if found is None:
            return 0
        ids = list(holding.rows().filter(found).values_list("pk", flat=True)[:AT_ONCE])
        if not ids:
            return 0
        # With what refers to it: an event of theirs goes with the operator's delivery of it.
        _, gone = holding.rows().filter(pk__in=ids).delete()
        return int(gone.get(holding.label, 0))


def _delete_scanned(holding: Holding, identity: Identity) -> int:
    """Sessions: who is logged in stands inside of what Django signed."""
    gone = [row.pk for row in _scanned(holding, identity)]
    if not gone:
        return 0
    _, counts = holding.rows().filter(pk__in=gone).delete()
    return int(counts.get(holding.label, 0))


def _scanned(holding: Holding, identity: Identity) -> Iterator[models.Model]:
    if not holding.is_scanned(identity.whose) or identity.id is None:
        return
    wanted = {str(identity.id), identity.id.hex}
    with transaction.atomic():
        for row in holding.rows().iterator(chunk_size=500):
            if str(row.get_decoded().get("_auth_user_id", "")) in wanted:
                yield row


def _uncleared(holding: Holding, erasure: Erasure, identity: Identity) -> models.QuerySet[Any] | None:
    """Rows of theirs that still tell something. In a scope."""
    found = holding.find(identity)
    if found is None:
        return None
    untouched = models.Q()
    for name in erasure.columns:
        field = holding.model._meta.get_field(name)
        if erasure.action is Action.PSEUDONYMISE:
            untouched |= ~models.Q(**{f"{name}__startswith": ERASED_TEXT})
        elif field.null:
            untouched |= models.Q(**{f"{name}__isnull": False})
        else:
            untouched |= ~models.Q(**{name: _empty(holding, name)})
    return holding.rows().filter(found).filter(untouched)


def _pseudonymise(rows: models.QuerySet[Any], holding: Holding, erasure: Erasure) -> int:
    """By the row's own identifier, so that unique columns stay unique."""
    total = 0
    for row in rows:
        changed = {
            name: f"{ERASED_TEXT}{str(row.pk).replace('-', '')}"[: _room(holding, name)]
            for name in erasure.columns
        }
        total += holding.rows().filter(pk=row.pk).update(**changed)
    return total


def _room(holding: Holding, name: str) -> int | None:
    return getattr(holding.model._meta.get_field(name), "max_length", None)


def _empty(holding: Holding, name: str) -> Any:
    field = holding.model._meta.get_field(name)
    if field.null:
        return None
    if isinstance(field, ArrayField):
        return []
    if isinstance(field, models.JSONField):
        default = field.get_default()
        return default if default is not None else {}
    return b"" if isinstance(field, models.BinaryField) else ""


def _has_rest(holding: Holding, erasure: Erasure, identity: Identity) -> bool:
    with colony_tx("what an erasure left"):
        if erasure.action is Action.KEY:
            return False  # the vault is asked for its keys
        if erasure.action is Action.DELETE:
            found = holding.find(identity)
            return (found is not None and holding.rows().filter(found).exists()) or any(
                True for _ in _scanned(holding, identity)
            )
        rows = _uncleared(holding, erasure, identity)
        return rows is not None and rows.exists()


def _count(holding: Holding, identity: Identity) -> int:
    with colony_tx("what an erasure keeps"):
        found = holding.find(identity)
        return 0 if found is None else holding.rows().filter(found).count()


def _law(erasure: Erasure) -> Law | None:
    return erasure.law


def _kept(holding: Holding, erasure: Erasure, law: Law, rows: int) -> dict[str, Any]:
    return {
        "what": holding.label,
        "rows": rows,
        "columns": [column.name for column in holding.columns() if column.name not in erasure.columns],
        "law": law.name,
        "text": law.text,
        "until": date(timezone.now().year + law.years, 12, 31).isoformat() if law.years else None,
    }


def _with_partitions(tables: Sequence[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'"
            " AND (c.relname = ANY(%(names)s) OR c.oid IN (SELECT i.inhrelid FROM pg_inherits i JOIN pg_class p"
            " ON p.oid = i.inhparent WHERE p.relname = ANY(%(names)s)))",
            {"names": list(tables)},
        )
        return sorted(row[0] for row in cursor.fetchall())


def _rewrite(table: str) -> None:
    """A row that was deleted lies in the table's file until something is written over it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rbee_rewrite_table(%s)", [table])
        if not cursor.fetchone()[0]:
            log.info("%s is busy or large: PostgreSQL's own vacuum empties it", table)
