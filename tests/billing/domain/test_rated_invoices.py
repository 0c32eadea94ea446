"""Terms of a month on its invoice: lines, what is booked for them, and who owes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.domain.credit_notes import credit_invoice, void_invoice
from billing.domain.currencies import to_micros
from billing.domain.invoices import close_period, invoice_so_far, month_after
from billing.domain.price_terms import give_discount
from billing.domain.prices import ensure_card
from billing.domain.rating import Included, Terms, Tier, TieredPrice
from billing.enums import BillingMode
from billing.models import Invoice, PriceTerms
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Project, Tenant
from tests.billing.domain.test_invoices import (
    LONG_AGO,
    MONTH_BEFORE,
    account,
    again,
    balance,
    bank,
    booked,
    lines_of,
    waive,
)
from tests.factories.billing import last_month, make_price, make_seller, make_terms, make_usage
from tests.factories.tenants import TESTER, make_plan, make_project, make_tenant, unique

pytestmark = pytest.mark.django_db

MILLION = 1_000_000
EURO = 1_000_000  # micro-units


@pytest.fixture
def project() -> Project:
    make_seller()
    return make_project(make_tenant(created_at=LONG_AGO), name="Chat")


def terms(project: Project, month: date | None = None, **fields: object) -> PriceTerms:
    return make_terms(project.tenant, Terms(currency="EUR", **fields), month or MONTH_BEFORE)


def use(project: Project, millions: int, month: date | None = None, model: str = "llama") -> None:
    """At one euro a million."""
    price = make_price(model, prices={"prompt_tokens": MILLION})
    make_usage(project, price, {"prompt_tokens": millions * MILLION}, month=month)


def stated(invoice: Invoice) -> list[tuple[str, int, int]]:
    return [(line.kind, line.quantity, line.amount_minor) for line in lines_of(invoice)]


def volume(*tiers: tuple[int | None, int]) -> TieredPrice:
    return TieredPrice(
        model="llama",
        unit="prompt_tokens",
        is_volume=True,
        tiers=tuple(Tier(up_to=up_to, price_micros=price) for up_to, price in tiers),
    )


def test_everything_that_terms_say_is_a_line_and_is_booked(project: Project) -> None:
    graduated = TieredPrice(
        model="llama", unit="prompt_tokens", is_volume=False,
        tiers=(Tier(up_to=10 * MILLION, price_micros=EURO), Tier(up_to=None, price_micros=EURO // 2)),
    )  # fmt: skip
    terms(
        project, tiered=(graduated,), included=(Included(model="*", unit="prompt_tokens", quantity=2 * MILLION),),
        subscription_micros=49 * EURO, minimum_micros=100 * EURO, discount_bp=1_250,
    )  # fmt: skip
    use(project, 32)

    (invoice,) = close_period(project.tenant_id, last_month())

    assert stated(invoice) == [
        ("usage", 32 * MILLION, 3_200),
        ("included", 2 * MILLION, -200),
        ("tier", 30 * MILLION, -1_000),
        ("discount", 1, -250),
        ("subscription", 1, 4_900),
        ("minimum", 1, 3_350),
    ]
    assert [line.description for line in lines_of(invoice)] == [
        "Chat: llama, input tokens",
        "Chat: llama, input tokens: included in the subscription",
        "llama, input tokens: by its tiers, in place of the price above",
        "discount of 12.5%",
        "subscription",
        "up to the agreed minimum",
    ]
    assert {(line.price_micros, line.per) for line in lines_of(invoice)[:2]} == {(EURO, MILLION)}
    assert (invoice.net_minor, invoice.rounding_micros) == (10_000, 0)
    assert booked(project.tenant_id, "subscription") == {"revenue:subscription": 49 * EURO}
    assert booked(project.tenant_id, "rating") == {"revenue:rating": (100 - 49 - 32) * EURO}
    assert balance(project.tenant_id) == -invoice.gross_minor * 10_000


def test_void_takes_back_what_was_booked_and_a_credit_note_forgives_a_line(project: Project) -> None:
    terms(project, subscription_micros=49 * EURO, discount_bp=1_000)
    use(project, 10)
    (wrong,) = close_period(project.tenant_id, last_month())

    void_invoice(wrong, reason="x", actor=TESTER)

    assert booked(project.tenant_id, "subscription") == {"revenue:subscription": 0}
    assert booked(project.tenant_id, "rating") == {"revenue:rating": 0}
    assert balance(project.tenant_id) == -10 * EURO
    (right,) = close_period(project.tenant_id, last_month())
    assert (stated(right), right.net_minor) == (stated(wrong), 5_800)
    note = credit_invoice(right, line=3, reason="an outage", actor=TESTER)
    assert note.net_minor == -4_900
    assert balance(project.tenant_id) == -(right.gross_minor + note.gross_minor) * 10_000


def test_late_task_that_reaches_another_tier_moves_the_whole_month(project: Project) -> None:
    terms(project, tiered=(volume((10 * MILLION, EURO), (None, EURO // 4)),))
    use(project, 8, MONTH_BEFORE)
    (first,) = close_period(project.tenant_id, MONTH_BEFORE)
    assert (stated(first), first.net_minor) == ([("usage", 8 * MILLION, 800)], 800)
    use(project, 4, MONTH_BEFORE)
    use(project, 4)

    (second,) = close_period(project.tenant_id, last_month())

    late = [line for line in lines_of(second) if line.month == MONTH_BEFORE]
    assert [(line.kind, line.quantity, line.amount_minor) for line in late] == [
        ("usage", 4 * MILLION, 400), ("tier", 12 * MILLION, -900)
    ]  # fmt: skip
    assert late[1].description.endswith(f"(late tier of {MONTH_BEFORE:%Y-%m})")
    assert first.net_minor + second.net_minor == 300 + 400


def test_interim_invoice_has_no_fee_and_no_minimum_and_the_months_has_the_rest(project: Project) -> None:
    terms(project, subscription_micros=49 * EURO, minimum_micros=100 * EURO, discount_bp=1_000)
    use(project, 10, month_after(last_month()))

    (interim,) = invoice_so_far(project.tenant_id)

    assert stated(interim) == [("usage", 10 * MILLION, 1_000), ("discount", 1, -100)]
    assert interim.covers[0]["terms"] is None


def test_interim_and_final_add_up_to_the_minimum(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    terms(project, minimum_micros=100 * EURO)
    use(project, 10)
    with monkeypatch.context() as patched:
        patched.setattr("billing.domain.invoices.this_month", last_month)
        (interim,) = invoice_so_far(project.tenant_id)
    assert interim.net_minor == 1_000
    use(project, 20)

    (final,) = close_period(project.tenant_id, last_month())

    assert stated(final) == [("usage", 20 * MILLION, 2_000), ("minimum", 1, 7_000)]


def test_month_without_a_task_owes_its_fee_once(project: Project) -> None:
    terms(project, subscription_micros=49 * EURO)

    (invoice,) = close_period(project.tenant_id, last_month())
    (same,) = close_period(project.tenant_id, last_month())

    assert (stated(invoice), same.id) == ([("subscription", 1, 4_900)], invoice.id)
    assert balance(project.tenant_id) == -invoice.gross_minor * 10_000


def test_fee_of_a_card_in_another_currency_is_owed_in_it() -> None:
    make_seller()
    plan = make_plan()
    ensure_card(unique("card"), currency="JPY", plan=plan, actor=TESTER)
    tenant = make_tenant(plan=plan, created_at=LONG_AGO)
    make_terms(tenant, Terms(currency="JPY", subscription_micros=900 * EURO), MONTH_BEFORE)

    (invoice,) = close_period(tenant.id, last_month())

    assert (invoice.currency, invoice.net_minor) == ("JPY", 900)


def test_late_task_is_rated_by_the_terms_of_the_first_invoice(project: Project) -> None:
    terms(project, subscription_micros=49 * EURO, discount_bp=1_000)
    use(project, 10, MONTH_BEFORE)
    (first,) = close_period(project.tenant_id, MONTH_BEFORE)
    with colony_tx("tests"):
        Tenant.objects.filter(id=project.tenant_id).update(plan=make_plan())
    use(project, 10, MONTH_BEFORE)

    (late,) = invoice_so_far(project.tenant_id)

    assert stated(late) == [("usage", 10 * MILLION, 1_000), ("discount", 0, -100)]
    for each in (first, late):
        void_invoice(each, reason="another plan was agreed", actor=TESTER)
    (anew,) = close_period(project.tenant_id, MONTH_BEFORE)
    assert stated(anew) == [("usage", 20 * MILLION, 2_000)]


def test_discount_of_the_tenant_counts_from_its_month(project: Project) -> None:
    terms(project, discount_bp=1_000)
    give_discount(project.tenant, 5_000, reason="friends", actor=TESTER)
    use(project, 10)
    use(project, 10, month_after(last_month()))

    (before,) = close_period(project.tenant_id, last_month())
    (since,) = invoice_so_far(project.tenant_id)

    assert (before.net_minor, since.net_minor) == (900, 500)


def test_first_month_of_a_tenant_is_a_part_of_one_and_who_leaves_owes_no_fee() -> None:
    make_seller()
    month = last_month()
    days = (month_after(month) - month).days
    came = datetime(month.year, month.month, days - 2, 18, tzinfo=UTC)  # on the last three days
    plan = make_plan()
    new, leaving = make_tenant(plan=plan, created_at=came), make_tenant(plan=plan, created_at=LONG_AGO)
    after = make_tenant(plan=plan)
    make_terms(new, Terms(currency="EUR", subscription_micros=days * 10 * EURO), MONTH_BEFORE)
    with colony_tx("tests"):
        Tenant.objects.filter(id=leaving.id).update(status="deleting", deletes_at=came + timedelta(days=40))

    (invoice,) = close_period(new.id, month)

    assert invoice.net_minor == 3_000
    assert close_period(leaving.id, month) == close_period(after.id, month) == []


def test_what_was_waived_is_not_given_back_again_as_included(project: Project) -> None:
    terms(project, included=(Included(model="*", unit="prompt_tokens", quantity=9 * MILLION),))
    price = make_price("llama", prices={"prompt_tokens": MILLION})
    waive(make_usage(project, price, {"prompt_tokens": 10 * MILLION}), 3 * EURO)

    (invoice,) = close_period(project.tenant_id, last_month())

    assert stated(invoice) == [
        ("usage", 10 * MILLION, 1_000),
        ("included", 9 * MILLION, -900),
        ("waived", 0, -100),
    ]
    assert (invoice.net_minor, balance(project.tenant_id)) == (0, 0)


def prepaid(project: Project, euros: int) -> UUID:
    account(project.tenant_id, mode=BillingMode.PREPAID, country="US")  # no tax
    bank(project.tenant_id, euros * EURO)
    return project.tenant_id


def test_balance_pays_the_fee_as_far_as_it_goes(project: Project) -> None:
    tenant_id = prepaid(project, 30)
    terms(project, subscription_micros=49 * EURO, discount_bp=1_000)
    use(project, 10)

    (statement,) = close_period(tenant_id, last_month())

    assert stated(statement)[2:] == [("subscription", 1, 4_900), ("forgiven", 0, -2_800)]
    assert (statement.kind, statement.net_minor, statement.asked_micros) == ("statement", 3_000, 30 * EURO)
    assert booked(tenant_id, "subscription") == {"revenue:subscription": 21 * EURO}
    assert booked(tenant_id, "rating") == {"revenue:rating": -1 * EURO}
    assert balance(tenant_id) == 0
    bank(tenant_id, 100 * EURO)
    assert close_period(tenant_id, last_month())[0].id == statement.id
    assert (again(statement).status, balance(tenant_id)) == ("paid", 100 * EURO)  # it is not asked for again


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    amounts=st.lists(st.integers(1, 3 * 10**8), min_size=1, max_size=3),
    rate=st.integers(1, 10**7),
    spare=st.integers(0, 300),
    fee=st.integers(0, 2 * 10**8),
    minimum=st.integers(0, 4 * 10**8),
    discount=st.integers(0, 10_000),
    tier=st.integers(0, 10**7),
)
def test_balance_never_falls_below_zero_and_pays_what_the_lines_say(
    amounts: list[int], rate: int, spare: int, fee: int, minimum: int, discount: int, tier: int
) -> None:
    make_seller()
    project = make_project(make_tenant(created_at=LONG_AGO))
    price = make_price("llama", prices={"prompt_tokens": rate})
    tenant_id, paid = prepaid(project, spare + 1), spare + 1
    terms(project, tiered=(volume((10**8, rate), (None, tier)),), subscription_micros=fee, minimum_micros=minimum,
          discount_bp=discount)  # fmt: skip
    used = 0
    for amount in amounts:
        euros = amount * rate // MILLION // EURO + 1
        bank(tenant_id, euros * EURO)
        paid += euros
        used += make_usage(project, price, {"prompt_tokens": amount}).amount_micros
        close_period(tenant_id, last_month())
    invoice_so_far(tenant_id)

    with tenant_tx(tenant_id):
        statements = list(Invoice.objects.filter(kind="statement"))
    for statement in statements:
        lines = lines_of(statement)
        if any(line.kind != "usage" for line in lines):
            assert statement.asked_micros == to_micros(sum(int(line.amount_picos) for line in lines))
    asked = sum(statement.asked_micros for statement in statements)
    waiting = used - sum(cover["booked_micros"] for each in statements for cover in each.covers)
    assert waiting < 10_000  # not a cent yet
    assert balance(tenant_id) == paid * EURO - asked - waiting >= 0
