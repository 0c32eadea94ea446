"""What Stripe tells, applied so that its order does not matter: an event says only that something changed, and what it came to
is asked of Stripe when it is applied.

Events of one subject (a payment with its refunds and disputes, a subscription with its invoices) are applied by one process
at a time, so nobody writes down what was true before somebody else asked.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from billing import stripe_gateway as gateway
from billing.domain import reversals, subscriptions
from billing.domain.connect import match_seller
from billing.domain.payments import PaymentRefused
from billing.domain.stripe_outbox import WORK
from billing.domain.stripe_payments import book_payment
from billing.enums import EventState
from billing.stripe_models import StripeCursor, StripeEvent
from billing.stripe_types import EventHead, StripeFailure, StripeNotSetUp, StripeUnavailable
from gdpr.chores import hint_after_commit
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.alerts import raise_alert

LEASE: Final = timedelta(seconds=120)  # longer than the calls for one subject take
RETRY_S: Final = (5, 30, 120, 600, 1800, 3600)
ATTEMPTS_MAX: Final = 12  # of what Stripe or the books refuse
KEPT: Final = timedelta(days=90)
TOLD_FOR: Final = timedelta(days=30)  # Stripe's list goes back no further
FIRST: Final = timedelta(
    days=1
)  # read of it by who never read it: what was before has nothing to do with rbee
OVERLAP: Final = timedelta(minutes=10)  # Stripe's list may be late
CURSOR: Final = "events"

logger = logging.getLogger(__name__)

# One claim at a time, so that two do not take the same subject.
_LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('billing.claim_stripe_events', 0))"
_CLAIM: Final = """
    UPDATE billing_stripeevent SET lease_until = %(until)s, attempts = attempts + 1
    WHERE state = 'received' AND subject = (
        SELECT subject FROM billing_stripeevent due
        WHERE state = 'received' AND next_at <= %(now)s AND NOT EXISTS (
            SELECT 1 FROM billing_stripeevent busy
            WHERE busy.subject = due.subject AND busy.state = 'received' AND busy.lease_until > %(now)s)
        ORDER BY next_at LIMIT 1)
    RETURNING event_id
"""


class Kind(NamedTuple):
    """`ask` Stripe, outside of a transaction; `apply` what it said, inside of one: whether it is of ours."""

    ask: Callable[[StripeEvent], Any]
    apply: Callable[[Any], bool]


def receive_event(head: EventHead) -> bool:
    """One INSERT. False when it is known."""
    return receive_events([head]) == 1


def receive_events(heads: Iterable[EventHead]) -> int:
    rows = [
        StripeEvent(
            event_id=head.event_id,
            type=head.type,
            object_id=head.object_id,
            subject=head.subject,
            created_at=head.created_at,
            state=EventState.RECEIVED if head.type in KINDS else EventState.IGNORED,
        )
        for head in heads
    ]
    with colony_tx("Stripe told of something"):
        before = StripeEvent.objects.filter(event_id__in=[row.event_id for row in rows]).count()
        StripeEvent.objects.bulk_create(rows, ignore_conflicts=True)
        if any(row.state == EventState.RECEIVED for row in rows):
            hint_after_commit(WORK)
    return len(rows) - before


def apply_due() -> int:
    """Until nothing is due, or Stripe is away. Returns how many events ended."""
    ended = 0
    while events := _claim():
        try:
            ended += _apply(events)
        except (StripeUnavailable, StripeNotSetUp) as error:
            _put_off(events, error, is_refusal=False)
            return ended
        except (StripeFailure, PaymentRefused) as error:
            ended += _put_off(events, error, is_refusal=True)
        except (OperationalError, InterfaceError):
            raise  # the database is away: leases run out
        except Exception as error:
            logger.exception("an event of Stripe's could not be applied")
            ended += _put_off(events, error, is_refusal=True)
    return ended


def fill_gaps(now: datetime | None = None) -> int:
    """From Stripe's own list, what no webhook brought. Returns how many that were."""
    began = now or timezone.now()
    with colony_tx("the cursor of Stripe's events"):
        cursor = StripeCursor.objects.filter(name=CURSOR).first()
    since = began - FIRST
    if cursor is not None:
        if cursor.read_until < began - TOLD_FOR:
            _tell_of_a_gap()
        since = max(began - TOLD_FOR, cursor.read_until - OVERLAP)
    found = receive_events(gateway.list_events(since=since, types=sorted(LISTED)))
    with colony_tx("the cursor of Stripe's events"):
        StripeCursor.objects.update_or_create(
            name=CURSOR, defaults={"read_until": began, "read_at": timezone.now()}
        )
    return found


def forget_old() -> None:
    with colony_tx("events of Stripe that are over"):
        StripeEvent.objects.exclude(state=EventState.RECEIVED).filter(
            received_at__lt=timezone.now() - KEPT
        ).delete()  # fmt: skip


def _claim() -> list[StripeEvent]:
    """All that came of one subject: what is asked after they came, answers all of them."""
    with colony_tx("claim events of Stripe"), connection.cursor() as cursor:
        cursor.execute(_LOCK)
        now = timezone.now()
        cursor.execute(_CLAIM, {"now": now, "until": now + LEASE})
        ids = [row[0] for row in cursor.fetchall()]
        return list(StripeEvent.objects.filter(event_id__in=ids).order_by("created_at", "event_id"))


def _apply(events: list[StripeEvent]) -> int:
    asked: dict[tuple[Kind, str], list[StripeEvent]] = {}
    for event in events:
        asked.setdefault((KINDS[event.type], event.object_id), []).append(event)
    for (kind, _), group in asked.items():
        said = kind.ask(group[0])
        with colony_tx("apply what Stripe told"):
            held = StripeEvent.objects.select_for_update().filter(
                event_id__in=[event.event_id for event in group],
                lease_until=group[0].lease_until,
                lease_until__gt=timezone.now(),
            )
            if len(held) != len(group):
                return 0  # it took too long, and another process has it
            state = EventState.APPLIED if kind.apply(said) else EventState.IGNORED
            StripeEvent.objects.filter(event_id__in=[event.event_id for event in group]).update(
                state=state, lease_until=None, error=""
            )  # fmt: skip
    return len(events)


def _put_off(events: list[StripeEvent], error: Exception, *, is_refusal: bool) -> int:
    """Those of them that are not applied. Given up when they were refused too often."""
    given_up = 0
    with colony_tx("put events of Stripe off"):
        for event in events:
            late_s = RETRY_S[min(event.attempts, len(RETRY_S)) - 1]
            is_over = is_refusal and event.attempts >= ATTEMPTS_MAX
            changed = StripeEvent.objects.filter(
                event_id=event.event_id, lease_until=event.lease_until, state=EventState.RECEIVED
            ).update(
                lease_until=None,
                next_at=timezone.now() + timedelta(seconds=late_s),
                error=str(error)[:200],
                state=EventState.FAILED if is_over else EventState.RECEIVED,
            )  # fmt: skip
            if changed and is_over:
                given_up += 1
                raise_alert(
                    tenant_id=None,
                    kind="stripe_event_failed",
                    object_ref=f"stripe_event:{event.event_id}",
                    message=f"An event of Stripe's ({event.type}) could not be applied.",
                )
    return given_up


def _tell_of_a_gap() -> None:
    with colony_tx("a gap in Stripe's events"):
        raise_alert(
            tenant_id=None,
            kind="stripe_gap",
            object_ref="stripe:events",
            message="Stripe's events of the last 30 days were not read in time; reconcile what came before.",
        )


class _Reversed(NamedTuple):
    """A payment may be told of later than what became of it."""

    paid: Any
    what: Any


def _ask_refunds(event: StripeEvent) -> _Reversed | None:
    if not event.subject.startswith("pi_"):
        return None
    return _Reversed(gateway.read_payment(event.subject), gateway.list_refunds(event.subject))


def _ask_dispute(event: StripeEvent) -> _Reversed | None:
    disputed = gateway.read_dispute(event.object_id)
    if not disputed.payment_reference:
        return None
    return _Reversed(gateway.read_payment(disputed.payment_reference), disputed)


def _apply_reversed(match: Callable[[Any, Any], None]) -> Callable[[_Reversed | None], bool]:
    def apply(said: _Reversed | None) -> bool:
        payment = book_payment(said.paid) if said else None
        if said is None or payment is None:
            return False
        with tenant_tx(payment.tenant_id):
            match(payment, said.what)
        return True

    return apply


def _ask_session(event: StripeEvent) -> Any:
    return gateway.read_session(event.object_id)


def _apply_payment(said: Any) -> bool:
    return book_payment(said) is not None


def _ask_invoice(event: StripeEvent) -> Any:
    paid = gateway.read_invoice(event.object_id)
    subscribed = gateway.read_subscription(paid.subscription_id) if paid.subscription_id else None
    return paid, subscribed


def _apply_invoice(said: Any) -> bool:
    paid, subscribed = said
    if subscribed is None:
        return False
    return subscriptions.match_subscription(subscribed) | (book_payment(paid) is not None)


def _tell_of_meter(event: StripeEvent) -> bool:
    raise_alert(
        tenant_id=None,
        kind="meter_refused",
        object_ref=f"stripe_meter:{event.object_id}",
        message="Stripe could not count some of the usage that it was told of.",
    )
    return True


_PAYMENT = Kind(lambda event: gateway.read_payment(event.object_id), _apply_payment)
_SESSION = Kind(_ask_session, _apply_payment)
_REFUNDS = Kind(_ask_refunds, _apply_reversed(reversals.match_refunds))
_DISPUTE = Kind(_ask_dispute, _apply_reversed(reversals.match_dispute))
_INVOICE = Kind(_ask_invoice, _apply_invoice)
_SUBSCRIPTION = Kind(
    lambda event: gateway.read_subscription(event.object_id), subscriptions.match_subscription
)
_SELLER = Kind(lambda event: gateway.read_seller(event.object_id), match_seller)
_METER = Kind(lambda event: event, _tell_of_meter)

LISTED: Final[Mapping[str, Kind]] = {
    "checkout.session.completed": _SESSION,
    "checkout.session.async_payment_succeeded": _SESSION,
    "payment_intent.succeeded": _PAYMENT,
    "payment_intent.payment_failed": _PAYMENT,
    "payment_intent.canceled": _PAYMENT,
    "charge.refunded": _REFUNDS,
    "refund.created": _REFUNDS,
    "refund.updated": _REFUNDS,
    "refund.failed": _REFUNDS,
    "charge.dispute.created": _DISPUTE,
    "charge.dispute.updated": _DISPUTE,
    "charge.dispute.closed": _DISPUTE,
    "charge.dispute.funds_withdrawn": _DISPUTE,
    "charge.dispute.funds_reinstated": _DISPUTE,
    "customer.subscription.created": _SUBSCRIPTION,
    "customer.subscription.updated": _SUBSCRIPTION,
    "customer.subscription.deleted": _SUBSCRIPTION,
    "invoice.paid": _INVOICE,
    "invoice.payment_failed": _INVOICE,
    "account.updated": _SELLER,
}
KINDS: Final[Mapping[str, Kind]] = {
    **LISTED,
    # Thin ones, that Stripe's list does not have.
    "v1.billing.meter.error_report_triggered": _METER,
    "v1.billing.meter.no_meter_found": _METER,
}
