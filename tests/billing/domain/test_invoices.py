from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from django.db import connection, transaction
from django.db.utils import InternalError, ProgrammingError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.domain import ledger
from billing.domain.accounts import change_account
from billing.domain.credit_notes import credit_invoice, void_invoice, write_off
from billing.domain.currencies import to_micros
from billing.domain.invoices import (
    close_period,
    close_periods,
    invoice_so_far,
    invoice_thresholds,
    month_after,
    subscription_micros,
    this_month,
    upcoming,
)
from billing.domain.issuing import InvoiceRefused
from billing.domain.payments import PaymentRefused
from billing.domain.rating import Included, Terms, Tier, TieredPrice, rate, total_picos
from billing.domain.receipts import credit, issue_missing_receipts, issue_receipt, pay
from billing.domain.sellers import SellerIncomplete, change_seller
from billing.enums import BillingMode, InvoiceKind, PaymentMethod, TransferKind
from billing.models import Balance, Invoice, InvoiceLine, LedgerTransfer, Payment, Seller, UsageEvent
from gdpr.ids import month_of, uuid7
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Alert, Project, WebhookEvent
from tests.factories.billing import (
    last_month,
    make_price,
    make_seller,
    make_terms,
    make_usage,
    used_quantities,
)
from tests.factories.tenants import TESTER, make_project, make_tenant

pytestmark = pytest.mark.django_db

MONTH_BEFORE = (last_month() - timedelta(days=1)).replace(day=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
UNITS = st.sampled_from(["prompt_tokens", "completion_tokens"])


@pytest.fixture
def seller() -> Seller:
    return make_seller()


@pytest.fixture
def project(seller: Seller) -> Project:
    return make_project(name="Chat")


@st.composite
def some_terms(draw: st.DrawFn) -> Terms:
    def tiers() -> tuple[Tier, ...]:
        ends = sorted(draw(st.sets(st.integers(1, 10**9), max_size=3)))
        return tuple(Tier(up_to=end, price_micros=draw(st.integers(0, 10**7))) for end in [*ends, None])

    places = draw(st.sets(st.tuples(st.sampled_from("mn*"), UNITS), max_size=3))
    included = draw(st.sets(st.tuples(st.sampled_from("m*"), UNITS), max_size=2))
    return Terms(
        currency="EUR",
        tiered=tuple(
            TieredPrice(model=model, unit=unit, is_volume=draw(st.booleans()), tiers=tiers())
            for model, unit in sorted(places)
        ),
        included=tuple(
            Included(model=model, unit=unit, quantity=draw(st.integers(1, 10**9)))
            for model, unit in sorted(included)
        ),
        subscription_micros=draw(st.one_of(st.just(0), st.integers(1, 10**9))),
        minimum_micros=draw(st.one_of(st.just(0), st.integers(1, 10**10))),
        discount_bp=draw(st.one_of(st.just(0), st.integers(1, 10_000))),
    )


def account(tenant_id: UUID, **changes: object) -> None:
    change_account(tenant_id, changes, actor=TESTER)


def balance(tenant_id: UUID, currency: str = "EUR") -> int:
    with tenant_tx(tenant_id):
        found = Balance.objects.filter(currency=currency).first()
    return found.balance_micros if found else 0


def lines_of(invoice: Invoice) -> list[InvoiceLine]:
    with tenant_tx(invoice.tenant_id):
        return list(InvoiceLine.objects.filter(invoice=invoice))


def again(invoice: Invoice) -> Invoice:
    with tenant_tx(invoice.tenant_id):
        return Invoice.objects.get(id=invoice.id)


def bank(tenant_id: UUID, amount_micros: int, reference: str | None = None) -> Payment:
    payment, _ = pay(
        tenant_id,
        method=PaymentMethod.BANK,
        reference=reference or str(uuid7()),
        amount_micros=amount_micros,
        actor=TESTER,
    )
    return payment


def booked(tenant_id: UUID, kind: str) -> dict[str, int]:
    """By the other account, what the tenant was charged."""
    own, found = ledger.tenant_account(tenant_id), {}
    with tenant_tx(tenant_id):
        for each in LedgerTransfer.objects.filter(kind=kind):
            other = each.credit_account if each.debit_account == own else each.debit_account
            sign = 1 if each.debit_account == own else -1
            found[other] = found.get(other, 0) + sign * each.amount_micros
    return found


def hundred_euros(project: Project, month: date | None = None) -> UsageEvent:
    price = make_price(prices={"prompt_tokens": 1_000_000, "completion_tokens": 2_000_000})
    return make_usage(
        project, price, {"prompt_tokens": 20_000_000, "completion_tokens": 40_000_000}, month=month
    )


def waive(event: UsageEvent, amount_micros: int) -> None:
    """As if the task had paid so much less: the operator's loss, booked when it was settled."""
    settled = uuid7()
    with tenant_tx(event.tenant_id):
        LedgerTransfer(
            month=month_of(settled), id=settled, transaction_id=event.task_id, tenant_id=event.tenant_id,
            kind=TransferKind.LATE_USAGE, debit_account=ledger.LATE_USAGE, amount_micros=amount_micros,
            credit_account=ledger.tenant_account(event.tenant_id), currency="EUR", booked_at=event.settled_at,
        ).save()  # fmt: skip


def test_month_is_stated_line_by_line_and_the_balance_is_what_it_asks(project: Project) -> None:
    tenant_id = project.tenant_id
    account(tenant_id, country="NL", legal_name="Lumon B.V.")
    hundred_euros(project)

    (invoice,) = close_period(tenant_id, last_month())

    assert (invoice.kind, invoice.status, invoice.is_final) == ("invoice", "open", True)
    assert (invoice.net_minor, invoice.tax_minor, invoice.gross_minor) == (10_000, 2_100, 12_100)
    assert (invoice.tax_category, invoice.tax_rate_bp, invoice.tax_country) == ("standard", 2100, "NL")
    assert invoice.number == f"INV-{invoice.issued_at.year}-{invoice.sequence:06d}"
    assert invoice.due_at == invoice.issued_at + timedelta(days=14)
    assert [(line.unit, line.quantity, line.amount_minor) for line in lines_of(invoice)] == [
        ("completion_tokens", 40_000_000, 8_000),
        ("prompt_tokens", 20_000_000, 2_000),
    ]
    assert lines_of(invoice)[1].description.startswith("Chat: model-")
    assert balance(tenant_id) == -121_000_000
    assert booked(tenant_id, "tax") == {"tax:NL": 21_000_000}
    with tenant_tx(tenant_id):
        assert WebhookEvent.objects.filter(type="invoice.issued").count() == 1
        assert AuditEntry.objects.filter(event="invoice.issued").count() == 1


def test_closing_again_changes_nothing(project: Project) -> None:
    hundred_euros(project)
    (invoice,) = close_period(project.tenant_id, last_month())
    hundred_euros(project)

    (same,) = close_period(project.tenant_id, last_month())

    assert same.id == invoice.id
    assert balance(project.tenant_id) == -221_000_000


def test_halves_of_a_cent_round_to_even_and_the_rest_is_booked(project: Project) -> None:
    price = make_price(prices={"prompt_tokens": 5_000, "completion_tokens": 15_000})
    make_usage(project, price, {"prompt_tokens": 1_000_000, "completion_tokens": 1_000_000})

    (invoice,) = close_period(project.tenant_id, last_month())

    assert [line.amount_minor for line in lines_of(invoice)] == [2, 0]  # 1.5 and 0.5 cents
    assert booked(project.tenant_id, "rounding") == {}
    make_usage(project, price, {"completion_tokens": 1_700_000}, month=this_month())
    (interim,) = invoice_so_far(project.tenant_id)
    assert interim.net_minor == 3  # 2.55 cents
    assert booked(project.tenant_id, "rounding") == {"rounding": 4_500}
    assert balance(project.tenant_id) == -(invoice.gross_minor + interim.gross_minor) * 10_000


def test_tax_is_rounded_once_on_the_sum_of_the_lines(project: Project) -> None:
    for _ in range(3):
        make_usage(project, make_price(prices={"prompt_tokens": 1_020_000}), {"prompt_tokens": 1_000_000})

    (invoice,) = close_period(project.tenant_id, last_month())

    assert (invoice.net_minor, invoice.tax_minor) == (306, 64)  # line by line it were 63


def test_what_is_settled_late_is_on_the_next_invoice_and_says_so(project: Project) -> None:
    hundred_euros(project, MONTH_BEFORE)
    close_period(project.tenant_id, MONTH_BEFORE)
    late = hundred_euros(project, MONTH_BEFORE)
    make_usage(project, late.price, {"prompt_tokens": 1_000_000})

    (invoice,) = close_period(project.tenant_id, last_month())

    assert invoice.net_minor == 10_100
    assert {line.description.partition(" (")[2] for line in lines_of(invoice)} == {
        "", f"late usage of {MONTH_BEFORE:%Y-%m})"
    }  # fmt: skip
    assert [cover["tasks"] for cover in invoice.covers] == [1, 1]


def test_month_that_is_not_over_is_refused(project: Project) -> None:
    with pytest.raises(InvoiceRefused, match="not over"):
        close_period(project.tenant_id, this_month())


def test_nothing_is_issued_before_the_seller_is_complete() -> None:
    project = make_project()
    hundred_euros(project)

    with pytest.raises(SellerIncomplete, match="rbee billing seller set --legal-name"):
        close_period(project.tenant_id, last_month())
    assert balance(project.tenant_id) == -100_000_000
    assert close_periods() == 0  # nobody sells here
    change_seller({"legal_name": "GPU Farm"}, actor=TESTER)
    assert close_periods() == 1
    with colony_tx("tests"):
        assert "--address" in Alert.objects.get(kind="seller_incomplete").message
    make_seller()
    assert close_periods() == 0
    assert balance(project.tenant_id) == -121_000_000


def test_threshold_brings_an_interim_invoice_and_the_month_its_rest(project: Project) -> None:
    tenant_id = project.tenant_id
    account(tenant_id, invoice_threshold_micros=150_000_000)
    event = hundred_euros(project, last_month())
    assert invoice_thresholds() == 0
    hundred_euros(project, last_month())

    invoice_thresholds()
    invoice_thresholds()

    with tenant_tx(tenant_id):
        (interim,) = Invoice.objects.all()
    assert (interim.is_final, interim.net_minor) == (False, 20_000)
    make_usage(project, event.price, {"prompt_tokens": 1_000_000})
    (final,) = close_period(tenant_id, last_month())
    assert (final.is_final, final.net_minor) == (True, 100)
    assert balance(tenant_id) == -(24_200 + 121) * 10_000


def test_upcoming_shows_what_would_be_issued_and_keeps_nothing(project: Project) -> None:
    hundred_euros(project, this_month())

    ((draft, lines),) = upcoming(project.tenant_id)

    assert (draft.status, draft.number, draft.gross_minor, len(lines)) == ("draft", "", 12_100, 2)
    with tenant_tx(project.tenant_id):
        assert not Invoice.objects.exists()
    (issued,) = invoice_so_far(project.tenant_id)
    assert issued.gross_minor == 12_100
    assert upcoming(project.tenant_id) == []


def test_cached_tokens_are_taken_out_of_the_prompt_task_by_task(project: Project) -> None:
    price = make_price(prices={"prompt_tokens": 1_000_000, "cached_tokens": 100_000})
    make_usage(project, price, {"prompt_tokens": 3_000_000, "cached_tokens": 1_000_000})
    make_usage(project, price, {"prompt_tokens": 1_000_000, "cached_tokens": 2_000_000})

    (invoice,) = close_period(project.tenant_id, last_month())

    assert {line.unit: line.quantity for line in lines_of(invoice)} == {
        "prompt_tokens": 2_000_000, "cached_tokens": 3_000_000
    }  # fmt: skip
    assert booked(project.tenant_id, "rounding") == booked(project.tenant_id, "rating") == {}


def test_tasks_that_failed_and_what_the_operator_lost_are_not_charged(project: Project) -> None:
    event = hundred_euros(project)
    make_usage(project, event.price, {"prompt_tokens": 9_000_000}, outcome="worker_failed")
    tenant_id = project.tenant_id
    waive(event, 30_000_000)

    (invoice,) = close_period(tenant_id, last_month())

    assert invoice.net_minor == 7_000
    assert [line.kind for line in lines_of(invoice)] == ["usage", "usage", "waived"]
    assert balance(tenant_id) == -invoice.gross_minor * 10_000


def test_each_currency_has_its_invoice(project: Project) -> None:
    from billing.domain.prices import ensure_card

    hundred_euros(project)
    card = ensure_card("yen", currency="JPY", plan=project.tenant.plan, actor=TESTER)
    price = make_price(prices={"prompt_tokens": 150_400_000}, card=card)
    make_usage(project, price, {"prompt_tokens": 1_000_000})

    euros, yen = close_period(project.tenant_id, last_month())

    assert (euros.currency, yen.currency) == ("EUR", "JPY")
    assert (yen.net_minor, yen.tax_minor) == (150, 32)
    assert balance(project.tenant_id, "JPY") == -182_000_000


def test_payments_pay_the_oldest_first_in_part_and_beyond(project: Project) -> None:
    tenant_id = project.tenant_id
    for month in (MONTH_BEFORE, last_month()):
        hundred_euros(project, month)
    first, second = [close_period(tenant_id, month)[0] for month in (MONTH_BEFORE, last_month())]

    bank(tenant_id, 100_000_000)
    assert [(each.status, each.paid_micros) for each in map(again, (first, second))] == [
        ("open", 100_000_000), ("open", 0)
    ]  # fmt: skip
    bank(tenant_id, 42_000_000, "NL91 5")
    bank(tenant_id, 42_000_000, "NL91 5")  # reported twice
    assert [(each.status, each.paid_micros) for each in map(again, (first, second))] == [
        ("paid", 121_000_000), ("open", 21_000_000)
    ]  # fmt: skip
    bank(tenant_id, 200_000_000)
    assert again(second).status == "paid"
    assert balance(tenant_id) == 100_000_000
    hundred_euros(project, this_month())
    (third,) = invoice_so_far(tenant_id)
    assert (third.status, third.paid_micros) == ("open", 100_000_000)
    credit(tenant_id, 21_000_000, reason="an outage", actor=TESTER)
    assert again(third).status == "paid"
    assert balance(tenant_id) == 0
    with tenant_tx(tenant_id):
        assert WebhookEvent.objects.filter(type="invoice.paid").count() == 3
        assert WebhookEvent.objects.filter(type="payment.received").count() == 3


def test_money_that_is_taken_back_opens_what_it_paid(project: Project) -> None:
    tenant_id = project.tenant_id
    hundred_euros(project)
    (invoice,) = close_period(tenant_id, last_month())
    bank(tenant_id, 121_000_000)
    with tenant_tx(tenant_id):
        back = ledger.Transfer(
            kind=TransferKind.DISPUTE, debit=ledger.tenant_account(tenant_id), credit=ledger.CLEARING_BANK,
            amount_micros=121_000_000,
        )  # fmt: skip
        ledger.post(tenant_id, "EUR", [back])
    bank(tenant_id, 1_000_000)

    assert (again(invoice).status, again(invoice).paid_micros, again(invoice).paid_at) == (
        "open",
        1_000_000,
        None,
    )


def test_top_up_gets_its_receipt_and_the_month_a_statement_that_asks_for_nothing(project: Project) -> None:
    tenant_id = project.tenant_id
    account(tenant_id, mode=BillingMode.PREPAID, country="NL")
    payment = bank(tenant_id, 242_000_000)

    with tenant_tx(tenant_id):
        (receipt,) = Invoice.objects.all()
    assert (receipt.kind, receipt.status) == ("receipt", "paid")
    assert (receipt.net_minor, receipt.tax_minor, receipt.gross_minor) == (20_000, 4_200, 24_200)
    assert balance(tenant_id) == 200_000_000
    assert issue_receipt(payment).id == receipt.id

    hundred_euros(project)
    (statement,) = close_period(tenant_id, last_month())
    assert (statement.kind, statement.status, statement.due_at) == ("statement", "paid", None)
    assert (statement.net_minor, statement.tax_minor) == (10_000, 0)
    assert "-ST-" in statement.number
    assert balance(tenant_id) == 100_000_000


def test_receipts_that_could_not_be_issued_are_made_up_for() -> None:
    from billing.domain.payments import receive_payment

    tenant_id = make_tenant().id
    account(tenant_id, mode=BillingMode.PREPAID)
    with pytest.raises(SellerIncomplete):
        bank(tenant_id, 121_000_000)
    with tenant_tx(tenant_id):
        assert not Payment.objects.exists()
    receive_payment(tenant_id, method=PaymentMethod.STRIPE, reference="pi_1", amount_micros=121_000_000,
                    tax_micros=21_000_000, currency="EUR", actor=TESTER)  # fmt: skip
    make_seller()

    assert (issue_missing_receipts(), issue_missing_receipts()) == (1, 0)
    with tenant_tx(tenant_id):
        assert Invoice.objects.get(kind=InvoiceKind.RECEIPT).tax_minor == 2_100


def test_payment_below_the_smallest_coin_is_refused(project: Project) -> None:
    with pytest.raises(PaymentRefused, match="coin"):
        bank(project.tenant_id, 1_005_001)


def test_credit_notes_take_back_parts_lines_and_the_rest(project: Project) -> None:
    tenant_id = project.tenant_id
    hundred_euros(project)
    (invoice,) = close_period(tenant_id, last_month())

    part = credit_invoice(invoice, gross_minor=1_000, reason="slow", actor=TESTER)
    assert (part.net_minor, part.tax_minor, part.gross_minor) == (-826, -174, -1_000)
    assert (part.kind, part.credits_id, part.status) == ("credit_note", invoice.id, "paid")
    line = credit_invoice(invoice, line=2, reason="slow", actor=TESTER)
    assert (line.net_minor, line.tax_minor) == (-2_000, -420)
    assert balance(tenant_id) == -(12_100 - 1_000 - 2_420) * 10_000
    for arguments in ({"line": 1}, {"gross_minor": 8_681}, {"gross_minor": 0}, {"line": 7}):
        with pytest.raises(InvoiceRefused):
            credit_invoice(invoice, reason="too much", actor=TESTER, **arguments)
    rest = credit_invoice(invoice, reason="all of it", actor=TESTER)
    assert rest.gross_minor == -8_680
    assert (balance(tenant_id), again(invoice).status) == (0, "paid")
    assert sum(booked(tenant_id, "tax").values()) == 0
    with pytest.raises(InvoiceRefused, match=r"0\.00 EUR left"):
        credit_invoice(invoice, reason="more", actor=TESTER)


def test_credit_on_a_paid_invoice_pays_the_next(project: Project) -> None:
    tenant_id = project.tenant_id
    hundred_euros(project)
    (invoice,) = close_period(tenant_id, last_month())
    bank(tenant_id, 121_000_000)

    credit_invoice(invoice, gross_minor=12_100, reason="an outage", actor=TESTER)

    assert balance(tenant_id) == 121_000_000
    hundred_euros(project, this_month())
    (following,) = invoice_so_far(tenant_id)
    assert (following.status, balance(tenant_id)) == ("paid", 0)


def test_receipt_is_refunded_out_of_what_is_left(project: Project) -> None:
    tenant_id = project.tenant_id
    account(tenant_id, mode=BillingMode.PREPAID, country="NL")
    bank(tenant_id, 242_000_000)
    hundred_euros(project)
    with tenant_tx(tenant_id):
        receipt = Invoice.objects.get(kind=InvoiceKind.RECEIPT)

    with pytest.raises(InvoiceRefused, match="balance"):
        credit_invoice(receipt, reason="leaves", actor=TESTER)
    note = credit_invoice(receipt, gross_minor=12_100, reason="leaves", actor=TESTER)

    assert (note.net_minor, note.tax_minor, balance(tenant_id)) == (-10_000, -2_100, 0)
    with tenant_tx(tenant_id):
        assert Payment.objects.get().refunded_micros == 121_000_000


def test_void_invoice_is_invoiced_anew(project: Project) -> None:
    tenant_id = project.tenant_id
    price = make_price(prices={"prompt_tokens": 333_333})
    make_usage(project, price, {"prompt_tokens": 5_000_001})
    (wrong,) = close_period(tenant_id, last_month())
    before = balance(tenant_id)
    account(tenant_id, country="DE", legal_name="Lumon GmbH", vat_id="DE136695976")

    note = void_invoice(wrong, reason="the buyer is in Germany", actor=TESTER)
    with pytest.raises(InvoiceRefused, match="void"):
        void_invoice(wrong, reason="again", actor=TESTER)
    (right,) = close_period(tenant_id, last_month())

    assert (again(wrong).status, note.gross_minor) == ("void", -wrong.gross_minor)
    assert (right.net_minor, right.tax_minor, right.tax_category) == (wrong.net_minor, 0, "reverse_charge")
    assert "Article 196" in right.tax_note
    assert balance(tenant_id) == before + wrong.tax_minor * 10_000
    assert again(wrong).buyer["legal_name"] != "Lumon GmbH"


def test_written_off_invoice_is_paid_all_the_same_when_money_comes(project: Project) -> None:
    hundred_euros(project)
    (invoice,) = close_period(project.tenant_id, last_month())

    assert write_off(invoice, reason="bankrupt", actor=TESTER).status == "uncollectible"
    with pytest.raises(InvoiceRefused):
        write_off(invoice, reason="again", actor=TESTER)
    bank(project.tenant_id, 121_000_000)
    assert again(invoice).status == "paid"


def test_invoice_is_kept_as_it_was_issued(project: Project) -> None:
    hundred_euros(project)
    (invoice,) = close_period(project.tenant_id, last_month())

    for statement in (
        "UPDATE billing_invoice SET net_minor = 0, gross_minor = tax_minor",
        "UPDATE billing_invoice SET buyer = '{}'",
        "DELETE FROM billing_invoice",
        "UPDATE billing_invoiceline SET amount_minor = 0",
        "DELETE FROM billing_invoiceline",
    ):
        with (
            tenant_tx(project.tenant_id),
            pytest.raises((ProgrammingError, InternalError), match=r"refused|denied"),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
    assert again(invoice).net_minor == 10_000


STEP = st.one_of(
    st.tuples(st.just("use"), st.integers(0, 2), st.integers(1, 10**9)),
    st.tuples(
        st.sampled_from(["close", "so far", "void", "pay", "credit"]),
        st.integers(0, 2),
        st.integers(1, 10**9),
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(STEP, max_size=14),
    rates=st.lists(st.integers(1, 10**7), min_size=2, max_size=2),
    terms=some_terms(),
)
def test_each_task_is_stated_once_and_the_balance_is_what_is_open(
    steps: list[tuple[str, int, int]], rates: list[int], terms: Terms
) -> None:
    make_seller()
    project = make_project(make_tenant(created_at=LONG_AGO))
    make_terms(project.tenant, terms, MONTH_BEFORE)
    tenant_id, months = project.tenant_id, [MONTH_BEFORE, last_month(), this_month()]
    prices = [
        make_price(model, prices={"prompt_tokens": rate, "completion_tokens": rate // 3 + 1})
        for model, rate in zip(("m", "n"), rates, strict=True)
    ]
    paid = given_back = 0
    for step, choice, amount in steps:
        invoices = standing(tenant_id)
        try:
            if step == "use":
                usage = {"prompt_tokens": amount, "completion_tokens": amount // 7}
                make_usage(project, prices[amount % 2], usage, month=months[choice])
            elif step == "close":
                close_period(tenant_id, months[choice % 2])
            elif step == "so far":
                invoice_so_far(tenant_id)
            elif step == "void" and invoices:
                void_invoice(invoices[choice % len(invoices)], reason="x", actor=TESTER)
            elif step == "credit" and invoices:
                note = credit_invoice(invoices[choice % len(invoices)], gross_minor=amount % 900 + 1, reason="x",
                                      actor=TESTER)  # fmt: skip
                given_back -= note.gross_minor * 10_000
            elif step == "pay":
                bank(tenant_id, amount // 10_000 * 10_000 + 10_000)
                paid += amount // 10_000 * 10_000 + 10_000
        except InvoiceRefused:
            pass
    for month in months:  # one that is worth an invoice, so that nothing waits
        make_usage(project, prices[0], {"prompt_tokens": 10**12}, month=month)
    for month in months[:2]:
        close_period(tenant_id, month)
    invoice_so_far(tenant_id)

    invoices = standing(tenant_id)
    check_months(tenant_id, invoices, terms, months)
    check_ledger(tenant_id, invoices)
    asked = sum(invoice.gross_minor for invoice in invoices) * 10_000
    assert balance(tenant_id) == paid + given_back - asked
    if not given_back and all(invoice.gross_minor >= 0 for invoice in invoices):
        assert sum(invoice.paid_micros for invoice in invoices) == min(paid, asked)
        is_paid = [invoice.status == "paid" for invoice in invoices if invoice.gross_minor]
        assert is_paid == sorted(is_paid, reverse=True)  # the oldest first


def standing(tenant_id: UUID) -> list[Invoice]:
    with tenant_tx(tenant_id):
        found = Invoice.objects.filter(kind="invoice").exclude(status="void")
        return list(found.order_by("issued_at"))


def check_months(tenant_id: UUID, invoices: list[Invoice], terms: Terms, months: list[date]) -> None:
    """What was used of each month, and what it comes to by its terms, against what all invoices together say."""
    with tenant_tx(tenant_id):
        events = list(UsageEvent.objects.all())
        lines = list(InvoiceLine.objects.filter(invoice__in=invoices))
    for month in months:
        here = [event for event in events if event.month == month]
        covers = [cover for each in invoices for cover in each.covers if cover["month"] == month.isoformat()]
        said = [line for line in lines if line.month == month]
        assert sum(cover["tasks"] for cover in covers) == len(here)
        assert sum(cover["booked_micros"] for cover in covers) == sum(event.amount_micros for event in here)
        for unit in ("prompt_tokens", "completion_tokens"):
            used = sum(line.quantity for line in said if (line.kind, line.unit) == ("usage", unit))
            assert used == sum(event.usage.get(unit, 0) for event in here)
        if month == this_month():
            terms = msgspec.structs.replace(terms, subscription_micros=0, minimum_micros=0)
        whole = rate(terms, used_quantities(tenant_id, "EUR", month, month_after(month)))
        for kind in {line.kind for line in [*whole, *said]}:
            stated = sum(int(line.amount_picos) for line in said if line.kind == kind)
            assert stated == total_picos(line for line in whole if line.kind == kind), kind


def check_ledger(tenant_id: UUID, invoices: list[Invoice]) -> None:
    """Each invoice: what is booked beside its tasks is its lines less what they were charged, to the micro-unit."""
    for invoice in invoices:
        lines = lines_of(invoice)
        charged = sum(cover["booked_micros"] - cover["waived_micros"] for cover in invoice.covers)
        if any(line.kind != "usage" for line in lines):
            assert invoice.rating_micros == to_micros(sum(int(line.amount_picos) for line in lines)) - charged
        else:
            assert invoice.rating_micros == 0
        assert charged + invoice.rating_micros + invoice.rounding_micros == invoice.net_minor * 10_000
        assert abs(invoice.rounding_micros) <= 5_000 * len(lines) + sum(
            cover["tasks"] for cover in invoice.covers
        )
    beside = [sum(booked(tenant_id, kind).values()) for kind in ("rating", "subscription")]
    assert sum(beside) == sum(invoice.rating_micros for invoice in invoices)
    assert beside[1] == sum(subscription_micros(lines_of(invoice)) for invoice in invoices)
    assert booked(tenant_id, "rounding").get("rounding", 0) == sum(each.rounding_micros for each in invoices)
