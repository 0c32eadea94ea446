from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import DatabaseError, connection, transaction

from billing.domain.book_retention import forget_books
from billing.models import Invoice, InvoiceLine, UsageEvent
from gdpr.data_map import holding_of
from gdpr.ids import month_of, uuid7
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from rbee_cli.up.postgres import Postgres
from tenants.models import Tenant
from tests.factories.tenants import make_tenant

THIS_YEAR = datetime.now(UTC).year
OVER = datetime(THIS_YEAR - 11, 12, 31, 12, tzinfo=UTC)
KEPT = datetime(THIS_YEAR - 10, 1, 1, 12, tzinfo=UTC)


def test_invoice_goes_with_its_lines_when_ten_calendar_years_are_over(committed_db: None) -> None:
    tenant = make_tenant()
    old, kept = make_invoice(tenant, OVER), make_invoice(tenant, KEPT)

    _, gone = forget_books()

    with colony_tx("tests"):
        assert gone == 1
        assert list(Invoice.objects.filter(tenant=tenant)) == [kept]
        assert [line.invoice_id for line in InvoiceLine.objects.filter(tenant=tenant)] == [kept.id]
        assert AuditEntry.objects.filter(object_ref="table:billing_invoice").latest("id").details["rows"] == 1
    assert old.id != kept.id


def test_credit_note_that_stays_keeps_its_invoice(committed_db: None) -> None:
    tenant = make_tenant()
    credited = make_invoice(tenant, OVER)
    make_invoice(tenant, KEPT, credits=credited)

    assert forget_books()[1] == 0


def test_database_lets_nobody_shorten_the_term(committed_db: None) -> None:
    """Whoever asks: the application, in any scope, for one row that is a day too young."""
    tenant = make_tenant()
    kept, old = make_invoice(tenant, KEPT), make_invoice(tenant, OVER)

    for statement in (
        f"DELETE FROM billing_invoice WHERE id = '{kept.id}'",
        f"DELETE FROM billing_invoiceline WHERE invoice_id = '{old.id}'",
        f"SELECT rbee_drop_usage_month('{KEPT.date()}')",
    ):
        with pytest.raises(DatabaseError), colony_tx("tests"), transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(statement)
    assert forget_books()[1] == 1


def test_month_of_usage_goes_when_all_of_it_is_over(committed_db: None, postgres: Postgres) -> None:
    over, late = datetime(THIS_YEAR - 11, 11, 5, tzinfo=UTC), datetime(THIS_YEAR - 11, 12, 31, tzinfo=UTC)
    with psycopg.connect(postgres.owner_url) as owner:
        for moment in (over, late):
            month = moment.date().replace(day=1)
            owner.execute(
                f"CREATE TABLE billing_usageevent_{month:%Y_%m} PARTITION OF billing_usageevent FOR VALUES IN ('{month}')"
            )
    tenant = make_tenant()
    with colony_tx("tests"):
        make_usage(tenant, over, settled_at=over + timedelta(seconds=1))
        booked_in_the_next_year = make_usage(tenant, late, settled_at=KEPT)

    months, _ = forget_books()

    with colony_tx("tests"):
        assert months == 1
        assert [row.task_id for row in UsageEvent.objects.filter(tenant=tenant)] == [booked_in_the_next_year.task_id]
    with psycopg.connect(postgres.owner_url) as owner:
        owner.execute(f"DROP TABLE billing_usageevent_{late:%Y_%m}")


def test_python_and_the_database_have_the_same_term() -> None:
    for model in (Invoice, UsageEvent):
        assert holding_of(model).retention.cutoff(datetime.now(UTC)) == datetime(THIS_YEAR - 10, 1, 1, tzinfo=UTC)


def make_invoice(tenant: Tenant, issued_at: datetime, **fields: Any) -> Invoice:
    invoice_id = uuid7(int(issued_at.timestamp() * 1e9))
    with colony_tx("tests"):
        invoice = Invoice.objects.create(
            id=invoice_id, tenant=tenant, kind="invoice", status="open", series=invoice_id.hex, sequence=1,
            number=invoice_id.hex, currency="EUR", seller={}, buyer={}, net_minor=0, tax_minor=0, gross_minor=0,
            asked_micros=0, tax_category="standard", tax_rate_bp=0, issued_at=issued_at, **fields,
        )  # fmt: skip
        InvoiceLine.objects.create(
            tenant=tenant, invoice=invoice, position=1, kind="usage", description="x", amount_picos=0, amount_minor=0
        )
    return invoice


def make_usage(tenant: Tenant, at: datetime, *, settled_at: datetime) -> UsageEvent:
    task_id = uuid7(int(at.timestamp() * 1e9))
    event = UsageEvent(
        month=month_of(task_id), task_id=task_id, tenant=tenant, project_id=uuid7(), price_id=uuid7(), attempt=1,
        request_id="x", subject="", endpoint="x", model="x", worker="x", region="", outcome="completed", usage={},
        amount_micros=0, currency="EUR", decision={}, admitted_at=at, settled_at=settled_at, receipt=b"", signature=b"",
    )  # fmt: skip
    event.save()
    return event
