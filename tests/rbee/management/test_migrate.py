import threading
from collections.abc import Iterator

import psycopg
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connections

from rbee.roles import grant_tables, make_colony_role
from rbee_cli.up.postgres import Postgres
from tests.services import root_url


@pytest.fixture
def owner(committed_db: None) -> Iterator[None]:
    yield
    connections["owner"].close()


def test_migrate_again_changes_nothing(owner: None, postgres: Postgres) -> None:
    before = rights(postgres)

    call_command("migrate", verbosity=0)

    assert rights(postgres) == before
    assert before["billing_usageevent", "rbee_app"] == {"INSERT", "SELECT"}
    assert before["tenants_tenant", "rbee_app"] == {"INSERT", "SELECT", "UPDATE", "DELETE"}
    assert before["django_migrations", "rbee_app"] == {"SELECT"}
    assert before["gdpr_auditsequence", "rbee_app"] == {"SELECT"}
    assert {role for _, role in before} == {"rbee_app", "rbee_colony", "rbee_sequencer"}
    assert {table: found for (table, role), found in before.items() if role == "rbee_sequencer"} == {
        "gdpr_auditentry": {"SELECT"},  # and to update one of its columns
        "gdpr_auditsequence": {"SELECT", "INSERT", "UPDATE"},
    }


def test_models_and_migrations_agree(owner: None) -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


def test_two_that_migrate_wait_for_each_other(owner: None, postgres: Postgres) -> None:
    failures: list[BaseException] = []

    def migrate() -> None:
        try:
            call_command("migrate", verbosity=0)
        except BaseException as error:
            failures.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert failures == []


def test_another_application_role_gets_the_same_rights(owner: None, postgres: Postgres) -> None:
    with psycopg.connect(postgres.owner_url, autocommit=True) as admin:
        admin.execute("CREATE ROLE \"other App\" LOGIN PASSWORD 'x'")
        try:
            make_colony_role(connections["owner"], "other App")
            grant_tables(connections["owner"], "other App")
            found = rights(postgres)
            assert found["gdpr_auditentry", "other App"] == {"INSERT", "SELECT"}
            inherits = admin.execute("SELECT pg_has_role('other App', 'rbee_colony', 'USAGE')").fetchone()
            assert inherits == (False,)
        finally:
            admin.execute('REVOKE ALL ON ALL TABLES IN SCHEMA public FROM "other App"')
            admin.execute('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA public FROM "other App"')
            admin.execute('DROP ROLE "other App"')


def test_application_role_that_may_number_audit_entries_is_refused(owner: None, postgres: Postgres) -> None:
    with psycopg.connect(root_url(postgres), autocommit=True) as root:
        root.execute("GRANT rbee_sequencer TO rbee_app")
        try:
            with pytest.raises(ImproperlyConfigured, match="REVOKE rbee_sequencer FROM rbee_app"):
                make_colony_role(connections["owner"], "rbee_app")
        finally:
            root.execute("REVOKE rbee_sequencer FROM rbee_app")


def test_owner_as_application_role_is_refused(owner: None) -> None:
    with pytest.raises(ImproperlyConfigured, match="both name the role rbee_owner"):
        make_colony_role(connections["owner"], "rbee_owner")


def test_application_role_that_does_not_exist_is_named(owner: None) -> None:
    with pytest.raises(ImproperlyConfigured, match="CREATE ROLE nobody_here LOGIN"):
        make_colony_role(connections["owner"], "nobody_here")


def test_superuser_as_application_role_is_refused(owner: None) -> None:
    with pytest.raises(ImproperlyConfigured, match="superuser or has BYPASSRLS"):
        make_colony_role(connections["owner"], "postgres")


def test_migrate_names_a_database_that_does_not_answer(owner: None) -> None:
    before = connections["owner"].settings_dict["PORT"]
    connections["owner"].close()
    connections["owner"].settings_dict["PORT"] = 1
    try:
        with pytest.raises(CommandError, match="RBEE_DATABASE_OWNER_URL does not answer"):
            call_command("migrate", verbosity=0)
    finally:
        connections["owner"].settings_dict["PORT"] = before


def test_migrate_of_another_alias_is_refused(owner: None) -> None:
    with pytest.raises(CommandError, match="leave --database out"):
        call_command("migrate", database="default", verbosity=0)


def rights(postgres: Postgres) -> dict[tuple[str, str], set[str]]:
    """What others than the owner may do to tables."""
    found: dict[tuple[str, str], set[str]] = {}
    with psycopg.connect(postgres.owner_url) as admin:
        for table, role, right in admin.execute(
            "SELECT table_name, grantee, privilege_type FROM information_schema.role_table_grants"
            " WHERE table_schema = 'public' AND grantee <> 'rbee_owner'"
        ):
            found.setdefault((table, role), set()).add(right)
    return found
