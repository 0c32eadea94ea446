"""What the database itself refuses, whatever the program does."""

from datetime import UTC, date, datetime
from uuid import uuid4

import psycopg
import pytest
from django.apps import apps
from django.db import connection, models
from django.db.utils import DatabaseError, DataError, IntegrityError, ProgrammingError

from gdpr.domain.audit import record
from gdpr.domain.partitions import add_months, make_partitions
from gdpr.ids import month_of, uuid7
from gdpr.models import AppendOnly, AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from rbee_cli.up.postgres import Postgres
from tenants.models import ApiKey
from tests.factories.tenants import TESTER, make_key, make_project, make_tenant

# With a column of each.
APPEND_ONLY = {
    "billing_difference": "id",
    "billing_gpucost": "id",
    "billing_invoiceline": "id",
    "billing_ledgertransfer": "month",
    "billing_listprice": "id",
    "billing_price": "id",
    "billing_priceterms": "id",
    "billing_pricewithdrawal": "version_id",
    "billing_receiptkey": "id",
    "billing_reconciliation": "id",
    "billing_tenantdiscount": "id",
    "billing_usageevent": "month",
    "gdpr_auditentry": "month",
    "gdpr_breachfact": "id",
    "gdpr_consent": "id",
    "gdpr_consenttext": "id",
}


def test_append_only_tables_are_those_of_append_only_models() -> None:
    found = [model._meta.db_table for model in apps.get_models() if issubclass(model, AppendOnly)]

    assert sorted(found) == sorted(APPEND_ONLY)


@pytest.mark.parametrize("table", list(APPEND_ONLY))
@pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}", "TRUNCATE {0}"])
def test_application_role_cannot_change_a_book(committed_db: None, table: str, statement: str) -> None:
    for scope in (tenant_tx(uuid4()), colony_tx("tests")):
        with pytest.raises(ProgrammingError, match="permission denied"), scope, connection.cursor() as cursor:
            cursor.execute(statement.format(table, APPEND_ONLY[table]))


@pytest.mark.parametrize("statement", ["UPDATE {} SET event = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_triggers_refuse_changes_by_the_owner(committed_db: None, postgres: Postgres, statement: str) -> None:
    with colony_tx("tests"):
        record("model.added", actor=TESTER)
    partition = datetime.now(UTC).strftime("gdpr_auditentry_%Y_%m")
    with psycopg.connect(postgres.owner_url) as owner:
        owner.execute("ALTER TABLE gdpr_auditentry NO FORCE ROW LEVEL SECURITY")
        owner.execute(f"ALTER TABLE {partition} NO FORCE ROW LEVEL SECURITY")
        for table in ("gdpr_auditentry", partition):
            with (
                pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"),
                owner.transaction(),
            ):
                owner.execute(statement.format(table))
        owner.rollback()


def test_forced_security_hides_rows_from_the_owner_too(committed_db: None, postgres: Postgres) -> None:
    make_project()
    with psycopg.connect(postgres.owner_url) as owner:
        for table in ("tenants_tenant", "tenants_project", "gdpr_auditentry"):
            assert owner.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_models_of_books_refuse_changes_before_the_database(committed_db: None) -> None:
    with colony_tx("tests"):
        entry = record("model.added", actor=TESTER)
    with pytest.raises(TypeError, match="append-only"):
        entry.save()
    with pytest.raises(TypeError, match="append-only"):
        entry.delete()


def test_application_role_reaches_no_partition_directly(committed_db: None) -> None:
    partition = datetime.now(UTC).strftime("gdpr_auditentry_%Y_%m")
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        colony_tx("tests"),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SELECT * FROM {partition}")


def test_application_role_is_no_member_by_default(committed_db: None) -> None:
    """It owns nothing, passes no security, and sees other tenants only after it took the role."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole, pg_has_role(current_user, 'rbee_colony', 'USAGE'),"
            " pg_has_role(current_user, 'rbee_colony', 'MEMBER') FROM pg_roles WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False, False, False, False, True)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole")
        assert cursor.fetchone() == (0,)


def test_every_table_of_a_tenant_has_forced_security(committed_db: None) -> None:
    missing = [model._meta.db_table for model in tenant_models() if not is_protected(model._meta.db_table)]

    assert missing == []
    assert {"tenants_apikey", "billing_usageevent", "inference_policy"} <= {
        m._meta.db_table for m in tenant_models()
    }


def test_reference_within_a_tenant_names_the_tenant(committed_db: None) -> None:
    """Otherwise a row could point into another tenant: foreign keys are checked outside of row-level security."""
    tables = [model._meta.db_table for model in tenant_models() if model._meta.label != "tenants.Tenant"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.conname FROM pg_constraint c JOIN pg_attribute a"
            " ON a.attrelid = c.conrelid AND a.attname = 'tenant_id'"
            " WHERE c.contype = 'f' AND c.conrelid::regclass::text = ANY(%s) AND c.confrelid::regclass::text = ANY(%s)"
            " AND NOT EXISTS (SELECT 1 FROM pg_constraint w WHERE w.contype = 'f' AND w.conrelid = c.conrelid"
            " AND w.confrelid = c.confrelid AND w.conkey @> c.conkey AND a.attnum = ANY(w.conkey))",
            [tables, tables],
        )
        assert cursor.fetchall() == []


def test_every_partition_has_forced_security(committed_db: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
        partitions = [row[0] for row in cursor.fetchall()]
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' AND relrowsecurity AND relforcerowsecurity"
        )
        assert sorted(partitions) == sorted(row[0] for row in cursor.fetchall())
    assert len(partitions) >= 3 * 4


@pytest.mark.django_db
def test_child_of_another_tenants_row_is_refused() -> None:
    mine, theirs = make_project(), make_project()
    key = ApiKey(
        tenant_id=mine.tenant_id, project=theirs, kid="k" * 12, mac=b"m" * 32, last4="", name="x", scopes=[]
    )

    with pytest.raises(IntegrityError, match="same_tenant"), tenant_tx(mine.tenant_id):
        key.save(force_insert=True)


def test_row_in_the_wrong_month_is_refused(committed_db: None) -> None:
    with pytest.raises(DatabaseError, match="gdpr_auditentry_month"), colony_tx("tests"):
        insert_entry(month=add_months(month_of(uuid7()), 1))


def test_entry_is_written_without_a_place(committed_db: None) -> None:
    with pytest.raises(ProgrammingError, match="row-level security"), colony_tx("tests"):
        insert_entry(seq=5)


def test_row_of_a_month_without_a_partition_is_refused(committed_db: None) -> None:
    past = datetime(2020, 5, 5, tzinfo=UTC)
    with pytest.raises(DatabaseError, match="no partition"), colony_tx("tests"):
        insert_entry(id=uuid7(int(past.timestamp() * 1e9)), month=date(2020, 5, 1))


def test_partitions_are_made_once_and_ahead(committed_db: None) -> None:
    make_partitions()
    assert make_partitions() == 0

    this_month = datetime.now(UTC).date().replace(day=1)
    with connection.cursor() as cursor:
        for table in ("gdpr_auditentry", "billing_usageevent", "billing_ledgertransfer"):
            for months in (-1, 0, 1, 2):
                name = table + add_months(this_month, months).strftime("_%Y_%m")
                cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
                assert cursor.fetchone() == (True,), name


@pytest.mark.parametrize("months", [-60, 12])
def test_partitions_far_from_today_are_refused(committed_db: None, months: int) -> None:
    month = add_months(datetime.now(UTC).date().replace(day=1), months)
    with pytest.raises(DataError, match="24 months back"), connection.cursor() as cursor:
        cursor.execute("SELECT rbee_make_partitions(%s, %s)", [month, month])


def test_add_months_crosses_years() -> None:
    assert [add_months(date(2026, 11, 1), months) for months in (-11, 0, 1, 2, 14)] == [
        date(2025, 12, 1), date(2026, 11, 1), date(2026, 12, 1), date(2027, 1, 1), date(2028, 1, 1),
    ]  # fmt: skip


def test_connection_that_served_a_tenant_serves_nobody_afterwards(committed_db: None) -> None:
    """A setting that was local to a transaction stays behind as an empty string, which is no UUID."""
    with tenant_tx(make_tenant().id):
        pass
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('app.tenant', true), current_setting('role')")
        assert cursor.fetchone() == ("", "none")
        cursor.execute("SELECT count(*) FROM tenants_tenant")
        assert cursor.fetchone() == (0,)


def test_key_of_a_removed_scope_is_not_seen_by_sign_in_of_others(committed_db: None) -> None:
    mine, _ = make_key()
    with tenant_tx(make_tenant().id):
        assert not ApiKey._base_manager.filter(id=mine.id).exists()


def insert_entry(**columns: object) -> None:
    entry_id = uuid7()
    facts = {"id": entry_id, "month": month_of(entry_id), "event": "e", "actor": "a", "at": datetime.now(UTC),
             "leaf": b"l" * 32}  # fmt: skip
    AuditEntry(**{**facts, **columns}).save()


def tenant_models() -> list[type[models.Model]]:
    """All that have a column tenant_id, and the tenant itself."""
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.label == "tenants.Tenant"
        or any(field.column == "tenant_id" for field in model._meta.concrete_fields)
    ]


def is_protected(table: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relrowsecurity AND relforcerowsecurity AND (SELECT count(*) FROM pg_policy WHERE polrelid = c.oid) >= 2"
            " FROM pg_class c WHERE relname = %s",
            [table],
        )
        return cursor.fetchone() == (True,)
