import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.utils import InternalError, ProgrammingError

from gdpr.scope import OutsideScope, ScopeError, colony_tx, current_scope, tenant_tx
from tenants.models import Project
from tests.factories.tenants import make_project, make_tenant


@pytest.mark.django_db
def test_tenant_tx_sees_the_rows_of_its_tenant_only() -> None:
    mine, theirs = make_project(), make_project()

    with tenant_tx(mine.tenant_id):
        assert list(Project.objects.all()) == [mine]
    with tenant_tx(str(theirs.tenant_id)):
        assert list(Project.objects.all()) == [theirs]
    with colony_tx("tests"):
        assert {mine, theirs} <= set(Project.objects.all())


@pytest.mark.django_db
def test_manager_refuses_a_query_outside_of_a_scope() -> None:
    with pytest.raises(OutsideScope):
        Project.objects.all()
    with pytest.raises(OutsideScope), transaction.atomic():
        Project.objects.create(slug="x", name="x", tenant=make_tenant())


def test_raw_sql_sees_no_foreign_row(committed_db: None) -> None:
    mine, theirs = make_project(), make_project()

    with tenant_tx(mine.tenant_id):
        assert ids("SELECT id FROM tenants_project") == {mine.id}
        assert ids("SELECT id FROM tenants_tenant") == {mine.tenant_id}
        assert ids("SELECT id FROM tenants_project WHERE id = %s", theirs.id) == set()
    assert ids("SELECT id FROM tenants_project") == set()  # no scope, also after a connection was used by one


def test_base_manager_finds_no_foreign_row(committed_db: None) -> None:
    mine, theirs = make_project(), make_project()

    with tenant_tx(mine.tenant_id):
        assert list(Project._base_manager.all()) == [mine]
        with pytest.raises(Project.DoesNotExist):
            theirs.refresh_from_db()


def test_insert_for_another_tenant_fails(committed_db: None) -> None:
    mine, theirs = make_project(), make_project()

    with pytest.raises(ProgrammingError, match="row-level security"), tenant_tx(mine.tenant_id):
        Project(tenant_id=theirs.tenant_id, slug="x", name="x").save()


def test_update_and_delete_reach_no_foreign_row(committed_db: None) -> None:
    mine, theirs = make_project(), make_project()

    with tenant_tx(mine.tenant_id):
        assert execute("UPDATE tenants_project SET name = 'taken' WHERE id = %s", theirs.id) == 0
        assert execute("DELETE FROM tenants_project WHERE id = %s", theirs.id) == 0
    with colony_tx("tests"):
        assert Project.objects.get(id=theirs.id).name == theirs.name


@pytest.mark.django_db
def test_inner_scope_puts_back_the_outer_one() -> None:
    mine, theirs = make_project(), make_project()

    with tenant_tx(mine.tenant_id):
        with colony_tx("tests"):
            assert theirs in Project.objects.all()
        assert list(Project._base_manager.all()) == [mine]
        with pytest.raises(ZeroDivisionError), colony_tx("tests"):
            1 / 0  # noqa: B018
        assert list(Project._base_manager.all()) == [mine]
    assert current_scope() is None


@pytest.mark.django_db
def test_tenant_tx_of_another_tenant_inside_is_refused() -> None:
    with tenant_tx(uuid4()), pytest.raises(ScopeError), tenant_tx(uuid4()):
        pass


@pytest.mark.django_db
def test_colony_tx_needs_a_reason() -> None:
    with pytest.raises(ScopeError), colony_tx(""):
        pass


def test_scope_ends_with_an_error_in_the_database(committed_db: None) -> None:
    mine = make_project()

    with pytest.raises((InternalError, ProgrammingError)), tenant_tx(mine.tenant_id):
        execute("SELECT nonsense")
    assert current_scope() is None
    with tenant_tx(mine.tenant_id):
        assert list(Project.objects.all()) == [mine]


def test_threads_and_tenants_never_mix(committed_db: None) -> None:
    """Interleaved transactions of many tenants on recycled connections, some of which fail."""
    projects = [make_project() for _ in range(10)]
    wrong: list[object] = []

    def work(seed: int) -> None:
        order = random.Random(seed)
        for _ in range(60):
            mine = order.choice(projects)
            with contextlib.suppress(ConnectionError), tenant_tx(mine.tenant_id):
                found = ids("SELECT id FROM tenants_project")
                if found != {mine.id}:
                    wrong.append((mine.id, found))
                if order.random() < 0.3:
                    raise ConnectionError
            if ids("SELECT id FROM tenants_project"):
                wrong.append("rows outside of a scope")
        connection.close()

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, range(6)))

    assert wrong == []


def ids(query: str, *parameters: object) -> set[object]:
    with connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return {row[0] for row in cursor.fetchall()}


def execute(statement: str, *parameters: object) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount
