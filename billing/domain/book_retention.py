"""Books whose term is over: usage by whole months, invoices with their lines. The database has the same term and refuses
to let go of what is younger, whoever asks."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime
from typing import Final

from django.db import OperationalError, connection

from billing.models import Invoice, UsageEvent
from gdpr.data_map import holding_of
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx

AT_ONCE: Final = 1_000
_ACTOR: Final = Actor.system("retention")

# A task's month is that of its beginning: what was booked after the term began keeps its month.
_MONTHS_OVER: Final = """
    SELECT month FROM billing_usageevent WHERE month < %(cutoff)s
    GROUP BY month HAVING max(settled_at) < %(cutoff)s ORDER BY month
"""
# Credit notes are younger than what they credit, so they go first; one that stays keeps its invoice.
_FORGET_INVOICES: Final = """
    DELETE FROM billing_invoice WHERE id IN (
        SELECT i.id FROM billing_invoice i WHERE i.issued_at < %(cutoff)s AND NOT EXISTS (
            SELECT 1 FROM billing_invoice c WHERE c.credits_id = i.id AND c.issued_at >= %(cutoff)s)
        ORDER BY i.id DESC LIMIT %(most)s)
"""

_log = logging.getLogger(__name__)


def forget_books(now: datetime | None = None) -> tuple[int, int]:
    """How many months of usage and how many invoices went."""
    now = now or datetime.now(UTC)
    return _forget_usage(now), _forget_invoices(now)


def _forget_usage(now: datetime) -> int:
    holding = holding_of(UsageEvent)
    cutoff = holding.retention.cutoff(now)
    with colony_tx("months of usage that are over"), connection.cursor() as cursor:
        cursor.execute(_MONTHS_OVER, {"cutoff": cutoff})
        months: list[date] = [row[0] for row in cursor.fetchall()]
    dropped = 0
    for month in months:
        try:
            with colony_tx("a month of usage that is over"), connection.cursor() as cursor:
                cursor.execute("SELECT rbee_drop_usage_month(%s)", [month])
                record(
                    "retention.applied", actor=_ACTOR, object_ref=f"table:{holding.table}",
                    details={"month": month.isoformat(), "rule": holding.held.keep},
                )  # fmt: skip
            dropped += 1
        except OperationalError as error:  # the table is busy: the month waits for the next night
            _log.warning("months of usage are not dropped yet: %s", type(error).__name__)
            break
    return dropped


def _forget_invoices(now: datetime) -> int:
    holding = holding_of(Invoice)
    given = {"cutoff": holding.retention.cutoff(now), "most": AT_ONCE}
    total = 0
    while True:
        with colony_tx("invoices that are over"), connection.cursor() as cursor:
            cursor.execute(_FORGET_INVOICES, given)
            gone = int(cursor.rowcount)
            if gone:
                record(
                    "retention.applied", actor=_ACTOR, object_ref=f"table:{holding.table}",
                    details={"rows": gone, "rule": holding.held.keep},
                )  # fmt: skip
        total += gone
        if gone < AT_ONCE:
            return total
