"""Breaches of personal data: from when the operator knows of one, it has 72 hours to tell the authority (Art. 33(1)), tells the
customers whose data it is without delay (Art. 33(2)), and keeps a record of all of them (Art. 33(5))."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from gdpr.access_models import Breach, BreachFact
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from inference.domain.breach_facts import gather_facts
from inference.domain.errors import InvalidInput, StateConflict
from tenants.domain.alerts import raise_alert
from tenants.domain.outbox import moment_text

CLOCK: Final = timedelta(hours=72)


def open_breach(
    *, title: str, since: datetime, until: datetime | None, aware_at: datetime | None, actor: Actor
) -> Breach:
    """Starts the clock at `aware_at`, and gathers the facts. `since` and `until`: when data was exposed, as far as is known.
    Raises InvalidInput."""
    now = timezone.now()
    aware_at, until = aware_at or now, until or now
    if aware_at > now:
        raise InvalidInput("Nobody knows of it before now.", param="aware_at")
    if not since < until <= now:
        raise InvalidInput("It begins before it ends, and ends by now.", param="since")
    with colony_tx("a breach is opened"):
        breach = Breach.objects.create(
            title=title, aware_at=aware_at, window_begins_at=since, window_ends_at=until, opened_by=str(actor)
        )
        facts = gather_facts(since, until)
        BreachFact.objects.create(breach=breach, actor=str(actor), data=facts)
        record(
            "breach.opened",
            actor=actor,
            object_ref=_ref(breach),
            details={
                "aware_at": moment_text(aware_at),
                "notify_by": moment_text(notify_by(breach)),
                "tenants": len(facts["tenants"]),
            },
        )
        raise_alert(
            tenant_id=None,
            kind="breach",
            object_ref=_ref(breach),
            message=f"The authority has to be told by {moment_text(notify_by(breach))}: rbee breach show {breach.id}",
        )
    return breach


def add_fact(breach: Breach, text: str, *, actor: Actor, again: bool = False) -> BreachFact:
    """`again`: also gathers once more what rbee knows. Raises StateConflict for one that is closed."""
    with colony_tx("a fact of a breach"):
        breach = _locked(breach)
        data = gather_facts(breach.window_begins_at, breach.window_ends_at) if again else {}
        fact = BreachFact.objects.create(breach=breach, actor=str(actor), text=text, data=data)
        record("breach.fact_added", actor=actor, object_ref=_ref(breach), details={"gathered": again})
    return fact


def close_breach(breach: Breach, conclusion: str, *, notified_at: datetime | None, actor: Actor) -> Breach:
    """`notified_at`: when the authority was told; None: it was not, for the reason in `conclusion`. Raises InvalidInput and
    StateConflict."""
    with colony_tx("a breach is closed"):
        breach = _locked(breach)
        if notified_at is not None and not breach.aware_at <= notified_at <= timezone.now():
            raise InvalidInput("It was told after it was known, and by now.", param="notified_at")
        breach.closed_at, breach.notified_at, breach.conclusion = timezone.now(), notified_at, conclusion
        breach.save(update_fields=["closed_at", "notified_at", "conclusion"])
        record(
            "breach.closed",
            actor=actor,
            object_ref=_ref(breach),
            details={
                "notified_at": moment_text(notified_at) if notified_at else None,
                "in_time": notified_at is not None and notified_at <= notify_by(breach),
            },
        )
    return breach


def notify_by(breach: Breach) -> datetime:
    return breach.aware_at + CLOCK


def left_s(breach: Breach) -> int:
    """Of the 72 hours; less than nothing when they are over."""
    return int((notify_by(breach) - timezone.now()).total_seconds())


def _locked(breach: Breach) -> Breach:
    found = Breach.objects.select_for_update().get(id=breach.id)
    if found.closed_at is not None:
        raise StateConflict("This breach is closed; open another for what became known since.")
    return found


def _ref(breach: Breach) -> str:
    return f"breach:{breach.id.hex}"
