import pytest
from django.apps import apps

from gdpr.domain import vault
from gdpr.domain.portable import Table, schema_of, tables_of
from gdpr.holding import Identity, Whose
from gdpr.models import VaultItem
from gdpr.scope import tenant_tx
from tests.factories.tenants import make_tenant

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
