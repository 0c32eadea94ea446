"""What a period comes to beside its tasks: booked with the invoice, whatever works it out."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from billing.domain import statement_lines
from billing.domain.credit_notes import void_invoice
from billing.domain.invoices import close_period, invoice_so_far, this_month
from billing.domain.statement_lines import RatedLine
from billing.enums import BillingMode
from billing.models import Invoice
from gdpr.ids import uuid7
from tenants.models import Project
from tests.billing.domain.test_invoices import (
    account,
    again,
    balance,
    bank,
    booked,
    hundred_euros,
    lines_of,
    project,
    seller,
)
from tests.factories.billing import last_month
from tests.factories.tenants import TESTER

__all__ = ["project", "seller"]

pytestmark = pytest.mark.django_db

EURO = 10**12
Terms = Callable[..., None]


@pytest.fixture
def terms(monkeypatch: pytest.MonkeyPatch) -> Terms:
    """Call it with what is added to the lines of each month, in euros by kind."""

    def agree(**euros: int) -> None:
        flat = statement_lines._rate

        def rate(tenant_id: UUID, used: list[statement_lines.UsedQuantity]) -> list[RatedLine]:
            added = [RatedLine(kind, "", "", "", 0, 0, amount * EURO) for kind, amount in euros.items()]
            return flat(tenant_id, used) + added

        monkeypatch.setattr(statement_lines, "_rate", rate)

    return agree


def kinds(invoice: Invoice) -> dict[str, int]:
    return {line.kind: line.amount_minor for line in lines_of(invoice) if line.kind != "usage"}


def test_discount_minimum_and_subscription_are_booked_apart(project: Project, terms: Terms) -> None:
    terms(discount=-10, minimum=30, subscription=50)
    hundred_euros(project)

    (invoice,) = close_period(project.tenant_id, last_month())

    assert kinds(invoice) == {"discount": -1_000, "minimum": 3_000, "subscription": 5_000}
    assert (invoice.net_minor, balance(project.tenant_id)) == (17_000, -invoice.gross_minor * 10_000)
    assert booked(project.tenant_id, "rating") == {"revenue:rating": 20_000_000}
    assert booked(project.tenant_id, "subscription") == {"revenue:subscription": 50_000_000}

    void_invoice(invoice, reason="x", actor=TESTER)
    assert balance(project.tenant_id) == -100_000_000
    assert booked(project.tenant_id, "rating") == {"revenue:rating": 0}
    assert booked(project.tenant_id, "subscription") == {"revenue:subscription": 0}


def test_what_is_of_a_whole_month_is_not_on_an_interim_invoice(project: Project, terms: Terms) -> None:
    terms(discount=-10, minimum=30, subscription=50)
    hundred_euros(project, this_month())

    (interim,) = invoice_so_far(project.tenant_id)

    assert kinds(interim) == {"discount": -1_000}
    assert invoice_so_far(project.tenant_id) == []


def test_tenant_that_used_nothing_pays_its_subscription(project: Project, terms: Terms) -> None:
    terms(subscription=50)

    (invoice,) = close_period(project.tenant_id, last_month())
    (same,) = close_period(project.tenant_id, last_month())

    assert (invoice.id, invoice.net_minor) == (same.id, 5_000)
    assert booked(project.tenant_id, "subscription") == {"revenue:subscription": 50_000_000}


def test_balance_bears_what_it_can_and_the_rest_is_not_charged(project: Project, terms: Terms) -> None:
    tenant_id = project.tenant_id
    account(tenant_id, mode=BillingMode.PREPAID, country="NL")
    bank(tenant_id, 181_500_000, str(uuid7()))
    hundred_euros(project)
    terms(subscription=51)

    (statement,) = close_period(tenant_id, last_month())

    assert kinds(statement) == {"subscription": 5_100, "forgiven": -5_100}
    assert (statement.net_minor, balance(tenant_id)) == (10_000, 50_000_000)
    assert booked(tenant_id, "subscription") == {}


def test_discount_beyond_what_is_left_gives_back(project: Project, terms: Terms) -> None:
    hundred_euros(project, this_month())
    (first,) = invoice_so_far(project.tenant_id)
    terms(discount=-40)

    (second,) = invoice_so_far(project.tenant_id)

    assert (second.net_minor, second.gross_minor, second.status, second.due_at) == (
        -4_000,
        -4_840,
        "paid",
        None,
    )
    assert balance(project.tenant_id) == -(first.gross_minor - 4_840) * 10_000
    bank(project.tenant_id, (12_100 - 4_840) * 10_000)
    assert balance(project.tenant_id) == 0
    assert again(first).status == "paid"
