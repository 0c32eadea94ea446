"""Each layer keeps tenants apart alone: row-level security without the managers, the managers without row-level security,
and keys that name the tenant without either.

Tables are those of the models and of the catalog, whichever has more. Each check is first shown to find a bug that is
planted, in a transaction that is rolled back.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.apps import apps
from django.db import connection as django_connection
from django.db import models
from django.db.utils import ProgrammingError

from gdpr.ids import uuid7
from gdpr.scope import COLONY_ROLE, OutsideScope, TenantManager, colony_tx, tenant_tx
from rbee_cli.up.postgres import Postgres
from tenants.models import Tenant
from tests.acceptance.figures import note
from tests.acceptance.tenants.isolation import rows
from tests.acceptance.tenants.isolation.rows import Table, be, column_of, reached, taken_back
from tests.acceptance.tenants.isolation.world import World, drop, make_world, tenant_models, unmarked

# That run as their owner, and give back how many partitions they made or dropped.
COLONY_FUNCTIONS = {
    "rbee_make_partitions",
    "rbee_drop_audit_month",
    "rbee_drop_decisions",
    "rbee_drop_usage_month",
    "rbee_rewrite_table",
    "rbee_forget_subject",
}
# The sequencer sees all entries, and nobody else gives one a place: that policy only narrows.
BESIDE = {
    "gdpr_auditentry": (
        ("sequencer", "rbee_sequencer", "true", "true"),
        ("unnumbered", "?", "?", "?"),
    ),
}
Connection = psycopg.Connection[Any]


@pytest.fixture
def worlds(committed_db: None, settings) -> Iterator[tuple[World, World]]:  # type: ignore[no-untyped-def]
    """The victim's and one's own."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # nobody guesses here
    made = make_world(), make_world()
    yield made
    for world in made:
        drop(world)


@pytest.fixture
def tables(worlds: tuple[World, World]) -> list[Table]:
    assert unmarked(worlds[0]) == []
    return Table.all_of(worlds[0])


@pytest.fixture
def application(postgres: Postgres, worlds: tuple[World, World]) -> Iterator[Connection]:
    """A session in which nobody was anybody yet."""
    with psycopg.connect(postgres.app_url, autocommit=True) as connection:
        yield connection


def test_row_level_security_alone_keeps_tenants_apart(
    application: Connection, tables: list[Table], worlds: tuple[World, World]
) -> None:
    victim, own = worlds
    wrong = {
        ("never set", table.name): found
        for table in tables
        if (found := reached(application, table, victim, None))
    }
    for name, tenant in {"own": own.tenant.id, "empty": None, "nobody's": uuid7()}.items():
        with taken_back(application):
            be(application, str(tenant or ""))
            for table in tables:
                if found := reached(application, table, victim, tenant):
                    wrong[name, table.name] = found
                assert (name == "own") is bool(tenant and rows.count(application, table, tenant)), table.name
    with taken_back(application):
        be(application, str(victim.tenant.id))
        assert [table.name for table in tables if not rows.count(application, table, victim.tenant.id)] == []
    for table in tables:  # on a session that was somebody
        if found := reached(application, table, victim, None):
            wrong["left behind", table.name] = found

    note("row security: tables", len(tables))
    note("row security: attempts", len(tables) * len(rows.ATTEMPTS) * 5)
    note("row security: rows reached", len(wrong))
    assert wrong == {}


def test_a_tenant_that_is_no_uuid_is_an_error_and_shows_nothing(
    application: Connection, tables: list[Table]
) -> None:
    with application.transaction(force_rollback=True):
        be(application, "x' OR true --")
        for table in tables:
            with pytest.raises(psycopg.errors.InvalidTextRepresentation), taken_back(application):
                application.execute(f"SELECT * FROM {table.name}")


@pytest.mark.parametrize(
    "bug",
    [
        "ALTER TABLE {} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} NO FORCE ROW LEVEL SECURITY",  # seen by the owner, as whom this is asked
        "CREATE POLICY oops ON {} USING (true)",
        "CREATE POLICY oops ON {} FOR SELECT USING (current_setting('app.tenant', true) IS NOT NULL)",
    ],
)
def test_check_finds_each_table_that_is_open(
    postgres: Postgres, tables: list[Table], worlds: tuple[World, World], bug: str
) -> None:
    victim, own = worlds
    missed = []
    with psycopg.connect(postgres.owner_url) as owner:
        be(owner, str(own.tenant.id))
        for table in tables:
            assert reached(owner, table, victim, own.tenant.id) == [], table.name
            with taken_back(owner):
                owner.execute(bug.format(table.name))
                if "read" not in reached(owner, table, victim, own.tenant.id):
                    missed.append(table.name)
        owner.rollback()

    note("row security: tables opened by a planted bug and found", len(tables) - len(missed))
    assert missed == []


def test_orm_without_managers_reaches_nothing(
    worlds: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    victim, own = worlds
    monkeypatch.setattr(TenantManager, "get_queryset", models.Manager.get_queryset)
    for model in tenant_models():
        theirs = {column_of(model): victim.tenant.id}
        with tenant_tx(own.tenant.id):
            assert not model.objects.filter(**theirs).exists(), model
            assert model.objects.exists(), model
        for change in (lambda found: found.update(**theirs), lambda found: found._raw_delete(found.db)):  # noqa: B023
            # What is written once only is refused by its grants.
            with contextlib.suppress(ProgrammingError), tenant_tx(own.tenant.id):
                assert not change(model.objects.filter(**theirs)), model
        with colony_tx("a row of the victim"):
            row = model.objects.filter(**theirs).first()
        row._state.adding = True
        with pytest.raises(ProgrammingError, match="row-level security"), tenant_tx(own.tenant.id):
            row.save(force_insert=True)


def test_managers_alone_keep_tenants_apart(
    worlds: tuple[World, World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the role that sees all."""
    assert seen_by_managers(*worlds) == []

    monkeypatch.setattr(TenantManager, "get_queryset", models.Manager.get_queryset)
    assert len(seen_by_managers(*worlds)) == len(tenant_models())


def test_managers_are_the_only_way(worlds: tuple[World, World]) -> None:
    for model in tenant_models():
        assert [type(manager) for manager in model._meta.managers] == [TenantManager], model
        with pytest.raises(OutsideScope):
            model.objects.all()


def test_every_table_with_a_tenant_has_the_two_policies_and_no_other(committed_db: None) -> None:
    """Also one that no model knows."""
    found = {name: policies(name) for name in tables_with_a_tenant()}

    assert set(found) == {model._meta.db_table for model in tenant_models()}
    for name, (is_sealed, held) in found.items():
        column = "id" if name == Tenant._meta.db_table else "tenant_id"
        own = f"({column} = ( SELECT (NULLIF(current_setting('app.tenant'::text, true), ''::text))::uuid AS \"nullif\"))"
        assert is_sealed, name
        assert {(policy, roles, shown.replace("AS uuid", 'AS "nullif"'), check.replace("AS uuid", 'AS "nullif"'))
                for policy, roles, shown, check in held} == {
            ("tenant", "-", own, own), ("colony", COLONY_ROLE, "true", "true"), *BESIDE.get(name, ()),
        }, name  # fmt: skip


def test_nothing_reads_tables_as_their_owner(committed_db: None) -> None:
    """A view, or a function that runs as who made it, would pass by every policy."""
    assert {row[0] for row in query("SELECT proname FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace")
            } == COLONY_FUNCTIONS  # fmt: skip
    assert (
        query(
            "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm') AND relnamespace = 'public'::regnamespace"
        )
        == []
    )


def test_every_reference_between_tables_of_tenants_names_the_tenant(committed_db: None) -> None:
    """Foreign keys look past row-level security."""
    sealed = {model._meta.db_table for model in tenant_models()} - {Tenant._meta.db_table}
    keys = {(source, columns, target) for source, columns, target in query(FOREIGN_KEYS)}
    unique = {(table, columns) for table, columns in query(UNIQUE_KEYS)}
    missing = [
        f"{model._meta.db_table}.{field.column}"
        for model in apps.get_models(include_auto_created=True)
        for field in model._meta.concrete_fields
        if isinstance(field, models.ForeignKey)
        and field.related_model._meta.db_table in sealed
        and (model._meta.db_table, f"{field.column},tenant_id", field.related_model._meta.db_table)
        not in keys
    ]
    assert missing == []
    assert [target for _, columns, target in keys if target in sealed and columns.endswith(",tenant_id")
            and (target, "id,tenant_id") not in unique] == []  # fmt: skip
    assert len([key for key in keys if key[1].endswith(",tenant_id") and key[2] in sealed]) >= 6


def test_no_row_refers_to_one_of_another_tenant(application: Connection, worlds: tuple[World, World]) -> None:
    victim, own = worlds
    theirs, mine = ({table.name: table for table in Table.all_of(world)} for world in (victim, own))
    sealed = set(theirs) - {Tenant._meta.db_table}
    tried = 0
    for source, columns, target in query(FOREIGN_KEYS):
        column, _, tenant = columns.partition(",")
        if source not in sealed or target not in sealed or tenant != "tenant_id":
            continue
        row = fresh(source, json.loads(mine[source].rows[0])) | {
            column: json.loads(theirs[target].rows[0])["id"]
        }
        with pytest.raises(psycopg.errors.ForeignKeyViolation), taken_back(application):
            insert_at_once(application, source, row, own)
        tried += 1
    assert tried >= 6


def seen_by_managers(victim: World, own: World) -> list[str]:
    found = []
    for model in tenant_models():
        with tenant_tx(own.tenant.id):
            with django_connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL ROLE {COLONY_ROLE}")
            if model.objects.filter(**{column_of(model): victim.tenant.id}).exists():
                found.append(model._meta.label)
    return found


def insert_at_once(connection: Connection, table: str, row: dict[str, Any], own: World) -> None:
    be(connection, str(own.tenant.id))
    connection.execute(
        f"INSERT INTO {table} SELECT * FROM jsonb_populate_record(NULL::{table}, %s::jsonb)",
        [json.dumps(row)],
    )
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")


def fresh(table: str, row: dict[str, Any]) -> dict[str, Any]:
    """With names of its own, so that only what it refers to is wrong."""
    new = str(uuid7())
    changed = {name: new for name in ("id", "task_id") if name in row}
    if table == "tenants_apikey":
        changed |= {"kid": new[-12:], "mac": "\\x" + UUID(new).hex * 2}
    if table == "inference_policyversion":
        changed |= {"number": 99, "status": "draft"}
    if table == "billing_invoice":
        changed |= {"number": new, "series": new}
    if table == "billing_reversal":
        changed |= {"reference": new}
    return row | changed


def tables_with_a_tenant() -> list[str]:
    return [
        row[0]
        for row in query(
            "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition"
            " AND c.relnamespace = 'public'::regnamespace AND (c.relname = 'tenants_tenant' OR EXISTS"
            " (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped))"
        )
    ]


def policies(table: str) -> tuple[bool, list[tuple[str, str, str, str]]]:
    ((is_sealed,),) = query(
        "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE relname = %s", table
    )
    held = query(
        "SELECT p.polname, (SELECT string_agg(coalesce(r.rolname, '-'), ',') FROM unnest(p.polroles) AS role (id)"
        " LEFT JOIN pg_roles r ON r.oid = role.id), pg_get_expr(p.polqual, p.polrelid),"
        " pg_get_expr(p.polwithcheck, p.polrelid) FROM pg_policy p"
        " WHERE p.polrelid = %s::regclass AND p.polcmd = '*' AND p.polpermissive"
        " UNION ALL SELECT p.polname, '?', '?', '?' FROM pg_policy p"
        " WHERE p.polrelid = %s::regclass AND (p.polcmd <> '*' OR NOT p.polpermissive)",
        table, table,
    )  # fmt: skip
    return is_sealed, [tuple(map(str, row)) for row in held]


_COLUMNS = """
    (SELECT string_agg(a.attname, ',' ORDER BY a.attname = 'tenant_id', a.attname)
     FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))
"""
FOREIGN_KEYS = f"""
    SELECT c.conrelid::regclass::text, {_COLUMNS}, c.confrelid::regclass::text FROM pg_constraint c
    WHERE c.contype = 'f' AND c.conparentid = 0
"""
UNIQUE_KEYS = (
    f"SELECT c.conrelid::regclass::text, {_COLUMNS} FROM pg_constraint c WHERE c.contype IN ('u', 'p')"
)


def query(text: str, *parameters: Any) -> list[Any]:
    with django_connection.cursor() as cursor:
        cursor.execute(text, parameters)
        return cursor.fetchall()
