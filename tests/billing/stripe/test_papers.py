"""A payment by Stripe has the papers of any other: a receipt with its tax, invoices that it pays, notes of what went back."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from billing import stripe_gateway as gateway
from billing.domain.accounts import change_account
from billing.domain.credit_notes import credit_invoice
from billing.domain.dunning import run_dunning
from billing.domain.invoices import close_period
from billing.domain.issuing import InvoiceRefused
from billing.domain.rating import Terms
from billing.domain.receipts import issue_missing_receipts, pay
from billing.domain.reversals import match_dispute, match_refunds, refund_payment
from billing.domain.stripe_customers import open_topup
from billing.domain.stripe_payments import book_payment
from billing.domain.subscriptions import match_subscription
from billing.enums import PaymentMethod
from billing.models import BillingAccount, Invoice, InvoiceLine, Seller
from billing.stripe_models import StripeCustomer
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Alert
from tests.billing.stripe.conftest import stripe_at
from tests.billing.stripe.test_payments import CENT, account, fresh, matched
from tests.factories.billing import last_month, make_price, make_seller, make_terms, make_usage
from tests.factories.stripe import (
    balance_of,
    disputed,
    make_customer,
    make_payment,
    paid,
    refunded,
    subscribed,
)
from tests.factories.tenants import TESTER, make_plan, make_project, make_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe_on", "seller")]

Figures = tuple[str, int, int]


@pytest.fixture
def seller() -> Iterator[None]:
    make_seller()
    yield
    Seller.objects.all().delete()


def papers(customer: StripeCustomer) -> list[Figures]:
    with tenant_tx(customer.tenant_id):
        return [
            (each.kind, each.net_minor, each.tax_minor)
            for each in Invoice.objects.filter(payment__isnull=False).order_by("issued_at", "sequence")
        ]


def invoiced(customer: StripeCustomer, euros: int = 100) -> Invoice:
    """Of last month, and the Dutch tax on top."""
    price = make_price(prices={"prompt_tokens": 1_000_000})
    project = make_project(customer.tenant)
    make_usage(project, price, {"prompt_tokens": euros * 1_000_000})
    (invoice,) = close_period(customer.tenant_id, last_month())
    return invoice


def status(invoice: Invoice) -> str:
    with tenant_tx(invoice.tenant_id):
        return Invoice.objects.get(id=invoice.id).status


def test_payment_before_is_a_receipt_with_the_tax_worked_out_here() -> None:
    customer = make_customer()
    said = paid(customer, 1210)

    for _ in range(2):
        book_payment(said)

    assert papers(customer) == [("receipt", 1000, 210)]
    assert balance_of(customer) == 1000 * CENT
    assert (account("tax:NL", customer.tenant_id), account("clearing:stripe", customer.tenant_id)) == (
        210,
        -1210,
    )


def test_what_stripe_says_of_the_tax_comes_first() -> None:
    customer = make_customer()
    make_payment(customer, 1190, tax=190)
    with stripe_at(stripe_tax=True):
        make_payment(customer, 500)

    assert papers(customer) == [("receipt", 1000, 190), ("receipt", 500, 0)]
    assert balance_of(customer) == 1500 * CENT


def test_money_is_there_while_the_seller_is_not_complete_and_its_receipt_follows() -> None:
    Seller.objects.all().delete()
    customer = make_customer()
    payment = make_payment(customer, 1210)
    matched(match_refunds, payment, [refunded(210)])

    assert (balance_of(customer), papers(customer)) == (1000 * CENT, [])
    with colony_tx("tests"):
        assert (
            "rbee billing seller set" in Alert.objects.get(kind="seller_incomplete", closed_at=None).message
        )
    make_seller()
    for _ in range(2):
        issue_missing_receipts()

    assert papers(customer) == [("receipt", 1210, 0), ("credit_note", -210, 0)]


def test_refund_is_credited_on_the_receipt_once_stripe_made_it() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1210)
    reversal = refund_payment(payment, 605 * CENT, reason="too much", actor=TESTER)
    assert papers(customer) == [("receipt", 1000, 210)]

    said = refunded(605, metadata={"rbee_reversal": str(reversal.id)})
    for _ in range(2):
        matched(match_refunds, payment, [said])

    assert papers(customer) == [("receipt", 1000, 210), ("credit_note", -500, -105)]
    assert account("tax:NL", customer.tenant_id) == 105
    matched(match_refunds, payment, [refunded(605, id=said.id, status="failed")])
    assert papers(customer)[2:] == [("credit_note", 500, 105)]
    assert (account("tax:NL", customer.tenant_id), balance_of(customer)) == (210, 1000 * CENT)
    matched(match_refunds, payment, [refunded(605, id=said.id, status="failed"), refunded(1210)])
    assert papers(customer)[3:] == [("credit_note", -1000, -210)]


def test_tax_goes_back_to_the_country_that_had_it() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1210)
    change_account(customer.tenant_id, {"country": "DE"}, actor=TESTER)

    matched(match_refunds, payment, [refunded(1210)])

    assert (account("tax:NL", customer.tenant_id), account("tax:DE", customer.tenant_id)) == (0, 0)
    assert fresh(payment).tax_country == "NL"


def test_dispute_is_credited_when_it_is_lost() -> None:
    customer = make_customer()
    payment = make_payment(customer, 1210)
    said = disputed(payment, 1210)

    matched(match_dispute, payment, said)
    assert papers(customer) == [("receipt", 1000, 210)]
    matched(match_dispute, payment, disputed(payment, 1210, id=said.id, status="lost"))

    assert papers(customer)[1:] == [("credit_note", -1000, -210)]


def test_payment_afterwards_pays_invoices_and_a_dispute_opens_them_again() -> None:
    customer = make_customer(prepaid=False)
    invoice = invoiced(customer)
    assert (invoice.status, invoice.gross_minor) == ("open", 12_100)
    payment = make_payment(customer, 12_100)

    assert (status(invoice), papers(customer), balance_of(customer)) == ("paid", [], 0)
    said = disputed(payment, 12_100)
    matched(match_dispute, payment, said)
    assert (status(invoice), balance_of(customer)) == ("open", -12_100 * CENT)
    matched(match_dispute, payment, disputed(payment, 12_100, id=said.id, status="won"))
    assert status(invoice) == "paid"
    matched(match_refunds, payment, [refunded(1)])
    assert status(invoice) == "open"


def test_invoice_that_is_overdue_restricts_until_it_is_paid() -> None:
    customer = make_customer(prepaid=False)
    invoice = invoiced(customer)
    assert invoice.due_at is not None

    def state_at(days: float) -> str:
        run_dunning(invoice.due_at + timedelta(days=days))  # type: ignore[operator]
        with tenant_tx(customer.tenant_id):
            return BillingAccount.objects.get().state

    assert [state_at(days) for days in (-0.1, 0.1, 7.1, 21.1)] == [
        "active",
        "past_due",
        "restricted",
        "suspended",
    ]
    make_payment(customer, 12_099)
    assert state_at(22) == "suspended"
    make_payment(customer, 1)
    assert state_at(22) == "active"


def test_subscription_has_a_receipt_and_pays_no_invoice() -> None:
    customer = make_customer(prepaid=False)
    invoice = invoiced(customer)
    payment = make_payment(customer, 12_100, subscription_id="sub_1", metadata={})

    assert (status(invoice), papers(customer)) == ("open", [("receipt", 10_000, 2_100)])
    with tenant_tx(customer.tenant_id):
        assert (
            InvoiceLine.objects.get(invoice__kind="receipt").description == "Subscription to services by API"
        )
    matched(match_refunds, payment, [refunded(12_100)])
    assert (status(invoice), account("revenue:subscription", customer.tenant_id)) == ("open", 0)


@pytest.mark.parametrize(("minimum", "asked"), [(0, 100), (200, 151)])
def test_fee_that_stripe_takes_is_not_asked_for_again(minimum: int, asked: int) -> None:
    tenant = make_tenant(plan=make_plan(), created_at=timezone.now() - timedelta(days=400))
    customer = make_customer(prepaid=False, tenant=tenant)
    terms = Terms(currency="EUR", subscription_micros=49_000_000, minimum_micros=minimum * 1_000_000)
    make_terms(tenant, terms, last_month())
    began = timezone.now() - timedelta(days=300)
    match_subscription(subscribed(customer, created_at=began, status="past_due"))

    assert invoiced(customer).net_minor == asked * 100


def test_fee_that_stripe_took_stays_off_when_the_subscription_is_over() -> None:
    """And what it takes for another month changes nothing."""
    tenant = make_tenant(plan=make_plan(), created_at=timezone.now() - timedelta(days=400))
    customer = make_customer(prepaid=False, tenant=tenant)
    make_terms(tenant, Terms(currency="EUR", subscription_micros=49_000_000), last_month())
    make_payment(customer, 5_929, subscription_id="sub_1", metadata={})

    assert invoiced(customer).net_minor == 14_900


def test_money_by_the_bank_is_a_top_up_whatever_is_noted() -> None:
    customer = make_customer()
    payment, _ = pay(
        customer.tenant_id, method=PaymentMethod.BANK, reference="RF1", amount_micros=1210 * CENT, note="subscription",
        actor=TESTER,
    )  # fmt: skip
    with tenant_tx(customer.tenant_id):
        receipt = Invoice.objects.get(payment=payment)
    credit_invoice(receipt, reason="half", gross_minor=605, actor=TESTER)
    assert (balance_of(customer), papers(customer)[1:]) == (500 * CENT, [("credit_note", -500, -105)])

    refund_payment(fresh(payment), None, reason="", actor=TESTER)

    assert papers(customer)[2:] == [("credit_note", -500, -105)]
    assert (account("tax:NL", customer.tenant_id), balance_of(customer)) == (0, 0)
    with pytest.raises(InvoiceRefused):
        credit_invoice(receipt, reason="again", actor=TESTER)


@pytest.mark.parametrize("prepaid", [True, False])
def test_stripe_works_out_no_tax_of_what_pays_invoices(
    prepaid: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = make_customer(prepaid=prepaid)
    asked: list[dict[str, Any]] = []

    def post(method: str, body: dict[str, Any], key: str, *path: str) -> dict[str, Any]:
        asked.append(body)
        return {"id": "cs_1", "url": "https://checkout.example.org"}

    monkeypatch.setattr(gateway, "_post", post)
    with stripe_at(stripe_tax=True):
        open_topup(
            customer.tenant, 25_000_000, saves_card=False, return_url="https://example.org", actor=TESTER
        )

    assert ("automatic_tax" in asked[-1]) is prepaid
    assert ("tax_behavior" in asked[-1]["line_items"][0]["price_data"]) is prepaid
