"""Payments, refunds and disputes, in any order and number of tellings: the ledger says the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.domain import ledger
from billing.domain.payments import PaymentRefused
from billing.domain.reversals import close_dispute, fail_refund, match_dispute, match_refunds, refund_payment
from billing.domain.stripe_payments import book_payment
from billing.enums import PaymentStatus, TransferKind
from billing.models import LedgerTransfer, Payment
from billing.stripe_models import Reversal, StripeCustomer, StripeRequest
from gdpr.scope import colony_tx, tenant_tx
from tests.factories.stripe import balance_of, disputed, make_customer, make_payment, paid, refunded
from tests.factories.tenants import TESTER, make_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe_on")]

CENT = 10_000


def spend(customer: StripeCustomer, cents: int) -> None:
    with tenant_tx(customer.tenant_id):
        ledger.post(
            customer.tenant_id,
            "EUR",
            [ledger.Transfer(kind=TransferKind.RATING, debit=ledger.tenant_account(customer.tenant_id),
                             credit=ledger.REVENUE_USAGE, amount_micros=cents * CENT)],
        )  # fmt: skip


def account(name: str, tenant_id: UUID) -> int:
    """Of what was booked for one tenant: what the account got, less what it gave; in cents."""
    with colony_tx("tests"):
        rows = LedgerTransfer.objects.filter(tenant_id=tenant_id)
        got = rows.filter(credit_account=name).aggregate(total=Sum("amount_micros"))["total"] or 0
        gave = rows.filter(debit_account=name).aggregate(total=Sum("amount_micros"))["total"] or 0
    assert (got - gave) % CENT == 0
    return (got - gave) // CENT


def matched(match: Callable[[Payment, Any], None], payment: Payment, said: Any) -> None:
    with tenant_tx(payment.tenant_id):
        match(payment, said)


def fresh(payment: Payment) -> Payment:
    with tenant_tx(payment.tenant_id):
        return Payment.objects.get(id=payment.id)


def test_payment_is_booked_once_with_its_tax_apart() -> None:
    customer = make_customer()
    said = paid(customer, 1210, tax=210)

    assert {book_payment(said).id for _ in range(3)} == {book_payment(said).id}  # type: ignore[union-attr]
    assert balance_of(customer) == 1000 * CENT
    assert account("tax:NL", customer.tenant_id) == 210
    assert account("clearing:stripe", customer.tenant_id) == -1210


def test_payment_that_is_open_failed_or_of_nobody_here_books_nothing() -> None:
    customer = make_customer()

    assert book_payment(paid(customer, status="processing")) is None
    assert book_payment(paid(customer, status="requires_payment_method")) is None
    assert book_payment(paid(customer, customer_id="cus_of_another_shop")) is None
    assert book_payment(paid(customer, customer_id="")) is None
    assert balance_of(customer) == 0


def test_payment_of_another_amount_under_one_reference_is_refused() -> None:
    customer = make_customer()
    said = paid(customer, 1000)
    book_payment(said)

    with pytest.raises(PaymentRefused):
        book_payment(paid(customer, 2000, reference=said.reference))


def test_card_that_was_saved_is_kept_for_later() -> None:
    customer = make_customer()
    make_payment(customer, payment_method_id="pm_saved")

    with tenant_tx(customer.tenant_id):
        assert StripeCustomer.objects.get().payment_method_id == "pm_saved"


def test_subscription_that_is_paid_is_no_money_to_spend() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1210, tax=210, subscription_id="sub_1", metadata={})

    assert balance_of(customer) == 0
    assert account("revenue:subscription", customer.tenant_id) == 1000
    matched(match_refunds, payment, [refunded(1210)])
    assert (balance_of(customer), account("revenue:subscription", customer.tenant_id)) == (0, 0)
    assert fresh(payment).status == PaymentStatus.REFUNDED


def test_payment_for_what_another_sells_leaves_the_platform_its_fee() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1000, metadata={"rbee_kind": "topup", "rbee_shared": "3500"})

    assert balance_of(customer) == 1000 * CENT
    assert account("fee:platform", customer.tenant_id) == 350
    assert account("clearing:stripe", customer.tenant_id) == -350  # what Stripe holds for the platform
    reversal = refund_payment(payment, 200 * CENT, reason="", actor=TESTER)
    assert account("fee:platform", customer.tenant_id) == 280
    with tenant_tx(customer.tenant_id):
        assert StripeRequest.objects.get(key=f"refund:{reversal.id.hex}").body["is_shared"] is True


def test_refund_takes_the_money_at_once_and_asks_stripe_once() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1210, tax=210)
    reversal = refund_payment(payment, 605 * CENT, reason="too much", actor=TESTER)

    assert balance_of(customer) == 500 * CENT
    assert account("tax:NL", customer.tenant_id) == 105
    with tenant_tx(customer.tenant_id):
        request = StripeRequest.objects.get()
        assert (request.operation, request.body["amount"], request.state) == ("refund", 605, "pending")
    # Stripe tells of it before it has answered, and more than once.
    said = refunded(605, metadata={"rbee_reversal": str(reversal.id)})
    for _ in range(2):
        matched(match_refunds, payment, [said])
    with tenant_tx(customer.tenant_id):
        assert [(one.state, one.reference) for one in Reversal.objects.all()] == [("succeeded", said.id)]
    assert balance_of(customer) == 500 * CENT


def test_refund_of_what_is_spent_is_refused_and_changes_nothing() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1000)
    spend(customer, 700)

    with pytest.raises(PaymentRefused, match="used"):
        refund_payment(payment, None, reason="", actor=TESTER)
    for amount in (0, -1, 1001 * CENT, CENT // 2):
        with pytest.raises(PaymentRefused):
            refund_payment(payment, amount, reason="", actor=TESTER)
    assert balance_of(customer) == 300 * CENT
    assert fresh(payment).refunded_micros == 0
    refund_payment(payment, 300 * CENT, reason="", actor=TESTER)
    assert balance_of(customer) == 0


def test_refund_that_stripe_refuses_is_given_back() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1210, tax=210)
    reversal = refund_payment(payment, None, reason="", actor=TESTER)
    assert balance_of(customer) == 0

    for _ in range(2):
        with tenant_tx(customer.tenant_id):
            fail_refund(reversal.id)
    assert balance_of(customer) == 1000 * CENT
    assert account("tax:NL", customer.tenant_id) == 210
    assert (fresh(payment).status, fresh(payment).refunded_micros) == (PaymentStatus.SUCCEEDED, 0)


def test_refund_made_at_stripe_takes_what_is_there_and_never_more() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1000)
    spend(customer, 900)
    matched(match_refunds, payment, [refunded(400)])

    assert balance_of(customer) == 0
    assert account("disputes", customer.tenant_id) == -300
    assert account("clearing:stripe", customer.tenant_id) == -600


def test_dispute_takes_what_is_there_and_gives_back_what_it_took() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1210, tax=210)
    spend(customer, 400)
    said = disputed(payment, 1210)
    matched(match_dispute, payment, said)

    assert (balance_of(customer), account("disputes", customer.tenant_id)) == (0, -400)
    assert fresh(payment).status == PaymentStatus.DISPUTED
    with pytest.raises(PaymentRefused):
        refund_payment(payment, None, reason="", actor=TESTER)
    won = disputed(payment, 1210, id=said.id, status="won")
    for late in (won, said, won):
        matched(match_dispute, payment, late)
    assert (balance_of(customer), account("disputes", customer.tenant_id)) == (600 * CENT, 0)
    assert account("tax:NL", customer.tenant_id) == 210
    assert fresh(payment).status == PaymentStatus.SUCCEEDED


def test_dispute_that_is_lost_stays_lost() -> None:
    customer = make_customer()
    payment = make_payment(customer)
    said = disputed(payment, 1000)
    for status in ("needs_response", "lost", "under_review"):
        matched(match_dispute, payment, disputed(payment, 1000, id=said.id, status=status))

    assert balance_of(customer) == 0
    with tenant_tx(customer.tenant_id):
        reversal = Reversal.objects.get()
    assert (reversal.state, reversal.is_closed) == ("succeeded", False)
    assert close_dispute(reversal, actor=TESTER).is_closed


def test_inquiry_takes_nothing() -> None:
    customer = make_customer()
    payment = make_payment(customer)
    for status in ("warning_needs_response", "warning_under_review", "warning_closed"):
        matched(match_dispute, payment, disputed(payment, 1000, id="dp_inquiry", status=status))

    assert balance_of(customer) == 1000 * CENT


def test_who_pays_afterwards_owes_what_was_disputed() -> None:
    customer = make_customer(prepaid=False)
    payment = make_payment(customer)
    spend(customer, 1000)
    matched(match_dispute, payment, disputed(payment, 1000))

    assert balance_of(customer) == -1000 * CENT
    assert account("disputes", customer.tenant_id) == 0


def test_refund_of_money_that_came_by_bank_asks_nobody() -> None:
    from billing.domain.payments import receive_payment
    from billing.enums import PaymentMethod

    tenant = make_tenant()
    payment, _ = receive_payment(
        tenant.id, method=PaymentMethod.BANK, reference="RF18", amount_micros=7_000_000, currency="EUR", actor=TESTER
    )  # fmt: skip
    reversal = refund_payment(payment, None, reason="", actor=TESTER)

    assert reversal.state == "succeeded"
    assert balance_of(tenant) == 0
    with tenant_tx(tenant.id):
        assert not StripeRequest.objects.exists()


@given(
    parts=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    tax=st.integers(0, 300),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_parts_of_a_refund_add_up_to_the_whole_to_the_micro_unit(
    parts: list[int], tax: int, order: Any
) -> None:
    customer = make_customer()
    total = sum(parts)
    tax = min(tax, total - 1)
    payment = make_payment(customer, total, tax=tax)
    known = [refunded(part) for part in parts]
    order.shuffle(known)
    for count in range(1, len(known) + 1):
        matched(match_refunds, payment, known[:count])

    with colony_tx("tests"):
        sums = Reversal.objects.filter(payment=payment).aggregate(Sum("amount_micros"), Sum("tax_micros"))
    assert sums == {"amount_micros__sum": total * CENT, "tax_micros__sum": tax * CENT}
    assert balance_of(customer) == 0
    assert account("clearing:stripe", customer.tenant_id) == 0
