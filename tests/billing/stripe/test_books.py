"""Our books against Stripe's own list."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing import stripe_gateway as gateway
from billing.domain.reconciliation import reconcile
from billing.domain.reversals import match_refunds
from billing.domain.task_explanation import explain_difference
from billing.models import Payment
from billing.reconciliation_models import Difference
from billing.stripe_models import Reversal, StripeCustomer
from billing.stripe_types import Paid, Refunded, StripeRefused, StripeUnavailable
from gdpr.scope import colony_tx
from inference.domain.reconcile import outside
from tests.billing.stripe.test_payments import matched
from tests.factories.stripe import make_customer, make_payment, paid, refunded
from tests.factories.tenants import TESTER

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe_on")]

# On which no other test books anything.
AT = datetime.now(UTC).replace(hour=11, minute=0, second=0, microsecond=0) - timedelta(days=90)


class Stripe:
    """What it has: of the day, and of whenever."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.payments: list[Paid] = []
        self.refunds: list[Refunded] = []
        self.earlier: dict[str, Paid] = {}
        monkeypatch.setattr(gateway, "list_payments", self._within(lambda: self.payments))
        monkeypatch.setattr(gateway, "list_refunds_made", self._within(lambda: self.refunds))
        monkeypatch.setattr(gateway, "list_refunds", lambda payment: [])
        monkeypatch.setattr(gateway, "read_payment", self._read)

    def _within(self, found: Callable[[], list[Any]]) -> Callable[..., list[Any]]:
        def listed(*, since: datetime, until: datetime) -> list[Any]:
            return found() if since <= AT < until else []

        return listed

    def _read(self, reference: str) -> Paid:
        if reference not in self.earlier:
            raise StripeRefused("No such payment.", "resource_missing", 404)
        return self.earlier[reference]


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch) -> Stripe:
    return Stripe(monkeypatch)


@pytest.fixture
def customer() -> StripeCustomer:
    return make_customer()


def differences() -> list[tuple[str, str, str]]:
    return [(each.kind, each.expected, each.found) for each in rows()]


def rows() -> list[Difference]:
    report = reconcile(AT.date(), outside(), waiting={}, actor=TESTER)
    with colony_tx("tests"):
        return list(Difference.objects.select_related("reconciliation").filter(reconciliation=report))


def booked(stripe: Stripe, customer: StripeCustomer, amount: int = 1000) -> Payment:
    said = paid(customer, amount)
    stripe.payments.append(said)
    payment = make_payment(customer, amount, reference=said.reference)
    with colony_tx("tests"):
        Payment.objects.filter(id=payment.id).update(paid_at=AT)
    return payment


def refund(stripe: Stripe, payment: Payment, amount: int, **fields: Any) -> Refunded:
    said = refunded(amount, payment_reference=payment.reference, **fields)
    stripe.refunds.append(said)
    matched(match_refunds, payment, [said])
    with colony_tx("tests"):
        Reversal.objects.filter(payment=payment).update(created_at=AT)
    return said


def test_what_is_the_same_on_both_sides_is_no_difference(stripe: Stripe, customer: StripeCustomer) -> None:
    payment = booked(stripe, customer)
    refund(stripe, payment, 400)
    stripe.payments += [
        paid(customer, status="processing"),
        paid(customer, customer_id="cus_of_another_shop"),
    ]
    stripe.refunds += [refunded(5, payment_reference="pi_of_another_shop"), refunded(5, status="failed")]

    assert differences() == []


def test_payment_that_was_begun_the_day_before_is_asked_for(stripe: Stripe, customer: StripeCustomer) -> None:
    payment = booked(stripe, customer)
    stripe.earlier[payment.reference] = stripe.payments.pop()

    assert differences() == []


def test_payment_that_is_not_booked_is_found(stripe: Stripe, customer: StripeCustomer) -> None:
    stripe.payments.append(paid(customer, 1210))

    (found,) = rows()

    assert (found.kind, found.expected, found.found) == ("stripe_payment", "12100000 EUR", "none")
    assert found.tenant_id == customer.tenant_id
    with colony_tx("tests"):
        assert explain_difference(found, outside())["payments"] == []


def test_payment_that_stripe_does_not_know_or_knows_otherwise_is_found(
    stripe: Stripe, customer: StripeCustomer
) -> None:
    booked(stripe, customer)
    del stripe.payments[:]
    assert differences() == [("stripe_payment", "none", "10000000 EUR")]
    other = booked(stripe, make_customer())
    stripe.payments[:] = [paid(customer, 999, reference=other.reference)]
    assert sorted(differences()) == [
        ("stripe_payment", "9990000 EUR", "10000000 EUR"),
        ("stripe_payment", "none", "10000000 EUR"),
    ]


def test_refund_that_only_one_side_has_is_found(stripe: Stripe, customer: StripeCustomer) -> None:
    payment = booked(stripe, customer)
    said = refund(stripe, payment, 400)
    stripe.refunds[:] = [refunded(300, payment_reference=payment.reference)]

    assert sorted(differences()) == [
        ("stripe_refund", "3000000 EUR", "none"),
        ("stripe_refund", "none", "4000000 EUR"),
    ]
    stripe.refunds[:] = [refunded(400, id=said.id, status="failed", payment_reference=payment.reference)]
    assert differences() == [("stripe_refund", "none", "4000000 EUR")]


def test_stripe_that_does_not_answer_is_a_line_of_the_report(
    stripe: Stripe, customer: StripeCustomer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(**_: Any) -> list[Paid]:
        raise StripeUnavailable("Stripe does not answer; try again.")

    monkeypatch.setattr(gateway, "list_payments", away)

    (found,) = rows()

    assert (found.kind, found.found) == ("stripe_away", "Stripe does not answer; try again.")
    with colony_tx("tests"):
        assert explain_difference(found, outside())["kind"] == "stripe_away"
