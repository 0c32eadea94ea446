from datetime import date

import pytest
from django.apps import apps

from gdpr.domain import portable, vault
from gdpr.domain.portable import Table, schema_of, tables_of
from gdpr.holding import Identity, Whose
from gdpr.models import VaultItem
from gdpr.scope import tenant_tx
from tests.factories.billing import make_event, make_price
from tests.factories.tenants import make_project, make_tenant

pytestmark = pytest.mark.django_db
SUBJECT = "ab" * 16


def details_of(identity: Identity) -> Table:
    return next(table for table in tables_of(identity) if table.label == "gdpr.VaultItem")


def test_what_is_kept_under_a_key_is_told_in_words() -> None:
    tenant = make_tenant()
    table = details_of(Identity(Whose.TENANT, tenant_id=tenant.id))
    with tenant_tx(tenant.id):
        item = vault.keep(tenant.id, SUBJECT, "source", b'{"address":"192.0.2.7"}')
        rows, _ = table.page(None)

    assert [(row["id"], row["details"]) for row in rows] == [(str(item), {"address": "192.0.2.7"})]
    assert set(rows[0]) == set(schema_of(table)["items"]["properties"]) == set(table.keys())
    assert not set(rows[0]) & {"ciphertext", "salt", "key_id"}


def test_what_nobody_can_read_is_told_as_nothing() -> None:
    tenant = make_tenant()
    with tenant_tx(tenant.id):
        vault.keep(tenant.id, SUBJECT, "source", b'{"address":"192.0.2.7"}')
        vault.keep(tenant.id, "cd" * 16, "source", b"{}")
        VaultItem.objects.filter(subject=SUBJECT).update(ciphertext=b"y" * 40)
        rows, _ = details_of(Identity(Whose.TENANT, tenant_id=tenant.id)).page(None)

    assert [row["details"] for row in rows] == [None, {}]


def test_every_opener_is_of_a_column_that_is_there() -> None:
    table = details_of(Identity(Whose.SUBJECT, tenant_id=make_tenant().id, subject=SUBJECT))

    assert table.opener is not None
    assert apps.get_model(table.label)._meta.get_field(table.opener.column)


def test_pages_are_all_rows_in_order_over_months(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portable, "AT_ONCE", 3)
    project, other, price = make_project(), make_project(), make_price()
    days = [date(2026, month, day) for month in (9, 10, 11) for day in (1, 7, 12, 28)]
    made = [make_event(project, price, day).task_id for day in days]
    make_event(other, price, days[5])
    identity = Identity(Whose.TENANT, tenant_id=project.tenant_id)
    table = next(table for table in tables_of(identity) if table.label == "billing.UsageEvent")

    with tenant_tx(project.tenant_id):
        pages, after = [], None
        while (page := table.page(after))[0]:
            pages.append([row["task_id"] for row in page[0]])
            after = page[1]

    assert [len(page) for page in pages] == [3, 3, 3, 3]
    assert [task for page in pages for task in page] == [str(task_id) for task_id in made]
