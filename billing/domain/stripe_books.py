"""Our payments and refunds of a day against Stripe's own list. Stripe is asked before the comparison's transaction begins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from billing import stripe_gateway as gateway
from billing.domain.book_reading import Booked, Figures, Found, count
from billing.domain.receipt_check import Outside
from billing.domain.stripe_money import to_micros
from billing.enums import DifferenceKind, PaymentMethod, PaymentStatus, ReversalKind, ReversalState
from billing.models import Payment
from billing.stripe_models import Reversal, StripeCustomer
from billing.stripe_types import AtStripe, Paid, Refunded, StripeFailure, StripeRefused
from gdpr.scope import colony_tx

TOLD_AFTER: Final = timedelta(minutes=10)  # what is younger may not have been told of yet
OF_INVOICE: Final = "in_"
NOT_REFUNDED: Final = ("failed", "canceled")
NOT_PAID: Final = (PaymentStatus.PENDING, PaymentStatus.FAILED)
NONE: Final = "none"


def read_stripe(booked: Booked, *, now: datetime) -> AtStripe | None:
    """What it made in that time, and of ours what it made at another. None: it is not set up."""
    if not gateway.is_set_up():
        return None
    since, until = booked.since, min(booked.until, now - TOLD_AFTER)
    try:
        payments = {paid.reference: paid for paid in gateway.list_payments(since=since, until=until)}
        refunds = {refunded.id: refunded for refunded in gateway.list_refunds_made(since=since, until=until)}
        paid_here, refunded_here = _booked_here(since, until)
        for reference in paid_here - payments.keys():
            if paid := _read(reference):
                payments[reference] = paid
        for payment in {refunded_here[each] for each in refunded_here.keys() - refunds.keys()}:
            refunds |= {refunded.id: refunded for refunded in gateway.list_refunds(payment)}
    except StripeFailure as failure:
        return AtStripe({}, {}, failure=str(failure))
    return AtStripe(payments, refunds, frozenset({*paid_here, *refunded_here}))


def compare_stripe(booked: Booked, outside: Outside, figures: Figures) -> Iterator[Found]:
    """Each payment and refund that Stripe has is booked once at its amount, and there is no other."""
    stripe = outside.stripe
    if stripe is None:
        return
    if stripe.failure:
        yield Found(
            DifferenceKind.STRIPE_AWAY, "stripe", f"Stripe's list of {booked.since:%Y-%m-%d}", stripe.failure
        )
        return
    yield from _compare_payments(stripe, figures)
    yield from _compare_refunds(stripe, figures)


def _compare_payments(stripe: AtStripe, figures: Figures) -> Iterator[Found]:
    references = {*stripe.payments, *stripe.asked}
    here = {payment.reference: payment for payment in _payments(references)}
    owners = _owners({paid.customer_id for paid in stripe.payments.values()})
    for reference in sorted(references & {*stripe.payments, *here}):
        paid, payment = stripe.payments.get(reference), here.get(reference)
        tenant_id = payment.tenant_id if payment else owners.get(paid.customer_id) if paid else None
        if tenant_id is None:
            continue  # of another shop
        there, ours = _paid_there(paid), _paid_here(payment)
        count(figures, "stripe_payments", there != NONE)
        if there != ours:
            yield Found(DifferenceKind.STRIPE_PAYMENT, f"stripe:{reference}", there, ours, tenant_id)


def _compare_refunds(stripe: AtStripe, figures: Figures) -> Iterator[Found]:
    refunded = stripe.refunds
    payments = {
        payment.reference: payment
        for payment in _payments({one.payment_reference for one in refunded.values()})
    }
    here = {reversal.reference: reversal for reversal in _reversals({*refunded, *stripe.asked})}
    for refund_id in sorted({*refunded} | {reference for reference in here if reference}):
        there, reversal = refunded.get(refund_id), here.get(refund_id)
        payment = payments.get(there.payment_reference) if there else None
        if reversal is None and payment is None:
            continue
        tenant_id = reversal.tenant_id if reversal else payment.tenant_id if payment else None
        said, ours = _refunded_there(there), _refunded_here(reversal)
        count(figures, "stripe_refunds", said != NONE)
        if said != ours:
            yield Found(DifferenceKind.STRIPE_REFUND, f"stripe:{refund_id}", said, ours, tenant_id)


def _booked_here(since: datetime, until: datetime) -> tuple[set[str], dict[str, str]]:
    """References of payments; those of refunds with those of their payments."""
    with colony_tx("what Stripe is to have"):
        payments = Payment.objects.filter(method=PaymentMethod.STRIPE, paid_at__gte=since, paid_at__lt=until)
        reversals = Reversal.objects.filter(
            kind=ReversalKind.REFUND,
            payment__method=PaymentMethod.STRIPE,
            created_at__gte=since,
            created_at__lt=until,
        ).exclude(reference=None)
        return set(payments.values_list("reference", flat=True)), {
            str(refund): payment
            for refund, payment in reversals.values_list("reference", "payment__reference")
        }


def _read(reference: str) -> Paid | None:
    try:
        if reference.startswith(OF_INVOICE):
            return gateway.read_invoice(reference)
        return gateway.read_payment(reference)
    except StripeRefused:
        return None


def _payments(references: Iterable[str]) -> Iterable[Payment]:
    return Payment.objects.filter(method=PaymentMethod.STRIPE, reference__in=list(references))


def _reversals(references: Iterable[str]) -> Iterable[Reversal]:
    return Reversal.objects.filter(kind=ReversalKind.REFUND, reference__in=list(references))


def _owners(customers: Iterable[str]) -> dict[str, UUID]:
    found = StripeCustomer.objects.filter(customer_id__in=list(customers))
    return dict(found.values_list("customer_id", "tenant_id"))


def _paid_there(paid: Paid | None) -> str:
    if paid is None or paid.status != "succeeded" or not paid.amount:
        return NONE
    return _amount(to_micros(paid.amount, paid.currency), paid.currency)


def _paid_here(payment: Payment | None) -> str:
    if payment is None or payment.status in NOT_PAID:
        return NONE
    return _amount(payment.amount_micros, payment.currency)


def _refunded_there(refunded: Refunded | None) -> str:
    if refunded is None or refunded.status in NOT_REFUNDED:
        return NONE
    return _amount(to_micros(refunded.amount, refunded.currency), refunded.currency)


def _refunded_here(reversal: Reversal | None) -> str:
    if reversal is None or reversal.state == ReversalState.FAILED:
        return NONE
    return _amount(reversal.amount_micros, reversal.currency)


def _amount(micros: int, currency: str) -> str:
    return f"{micros} {currency}"
