"""Each night: hives' receipts = usage = ledger = balances = payments = what Stripe has. The report is to be empty.

What is not in agreement is kept, row by row, raises an alert to the operator and is told to webhooks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Final

from django.db.models import F

from billing.domain.book_reading import Booked, Figures, Found
from billing.domain.comparisons import COMPARISONS
from billing.domain.receipt_check import Outside
from billing.domain.stripe_books import read_stripe
from billing.reconciliation_models import Difference, Reconciliation
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.domain.alerts import close_alert, raise_alert
from tenants.domain.outbox import publish
from tenants.models import Alert

KEPT: Final = 1000  # differences of one report; of more it says how many
NIGHTS: Final = 7  # so far back a night that was missed is made up for
ALERT: Final = "reconciliation"


class NotYet(ValueError):
    """A day that has not begun."""


def reconcile(
    day: date, outside: Outside, *, waiting: Mapping[str, Mapping[str, int]], actor: Actor
) -> Reconciliation:
    """What was booked on that day, and all balances as they are. `waiting`: by hive, the receipts that it still has.
    Raises NotYet."""
    began_at = datetime.now(UTC)
    if day > began_at.date():
        raise NotYet(f"{day} has not begun")
    booked = Booked.on(day)
    outside = outside._replace(stripe=read_stripe(booked, now=began_at))  # no transaction waits for Stripe
    with colony_tx("reconciliation"):
        figures: Figures = {}
        found = _all_of(booked, outside, figures)
        first = list(islice(found, KEPT))
        total = len(first) + sum(1 for _ in found)
        report = Reconciliation(
            day=day, began_at=began_at, ended_at=datetime.now(UTC), differences=total, figures=figures,
            waiting={hive: dict(counts) for hive, counts in waiting.items()},
        )  # fmt: skip
        report.save()
        Difference.objects.bulk_create(Difference(reconciliation=report, **each._asdict()) for each in first)
        record(
            "books.reconciled",
            actor=actor,
            object_ref=f"reconciliation:{report.id.hex}",
            outcome="differs" if total else "ok",
            details={"day": str(day), "differences": total},
        )
        _tell(report, first)
    return report


def missed_nights(today: date) -> list[date]:
    """Of the last ones, oldest first."""
    nights = [today - timedelta(days=back) for back in range(NIGHTS, 0, -1)]
    whole = Reconciliation.objects.filter(day__in=nights, began_at__date__gt=F("day"))  # the day was over
    done = set(whole.values_list("day", flat=True))
    return [night for night in nights if night not in done]


def _all_of(booked: Booked, outside: Outside, figures: Figures) -> Iterator[Found]:
    for compare in COMPARISONS:
        yield from compare(booked, outside, figures)


def _tell(report: Reconciliation, found: Sequence[Found]) -> None:
    about = f"{ALERT}:{report.day}"
    if not report.differences:
        for alert in Alert.objects.filter(tenant=None, kind=ALERT, object_ref=about, closed_at=None):
            close_alert(alert, actor=Actor.system("reconciliation"))
        return
    kinds = ", ".join(sorted({str(each.kind) for each in found}))
    raise_alert(
        tenant_id=None,
        kind=ALERT,
        object_ref=about,
        message=f"The books of {report.day} differ in {report.differences} places ({kinds});"
        f" `rbee billing reconcile --day {report.day} --show` lists them.",
    )
    told = {"reconciliation": str(report.id), "day": str(report.day), "differences": report.differences}
    publish("billing.differs", None, told)
