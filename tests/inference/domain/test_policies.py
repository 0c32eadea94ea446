from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from inference.domain import policies
from inference.domain.errors import InvalidInput, NotFound
from inference.domain.vetting import Vetted
from inference.models import PolicyVersion
from tests.factories.tenants import TESTER, make_tenant

ROUTE = "fn route_task(task, workers) { workers.first() }"


def test_code_of_a_rejection_must_be_one_that_clients_can_get() -> None:
    policies.compile_policy('fn should_admit(task, customer) { reject("no", "model_not_allowed") }')
    policies.compile_policy(
        '// reject("no", "nonsense")\nfn should_admit(task, customer) { reject("a, \\"b\\"") }'
    )
    with pytest.raises(InvalidInput) as refused:
        policies.compile_policy('fn should_admit(task, customer) {\n  reject("no", "model_not_alowed")\n}')

    assert refused.value.message == (
        "line 2, column 3: reject() knows no code 'model_not_alowed'; did you mean 'model_not_allowed'?"
    )


def test_all_that_is_wrong_with_a_script_is_told() -> None:
    with pytest.raises(InvalidInput) as refused:
        policies.compile_policy(
            'fn route_task(task) {}\nfn should_admit(task, customer) { reject("no", "none_workers") }'
        )

    assert refused.value.message == (
        "write fn route_task(task, workers); "
        "line 2, column 35: reject() knows no code 'none_workers'; did you mean 'no_workers'?"
    )


@pytest.mark.usefixtures("db")
def test_scheduler_file_is_kept_once_and_never_active(redis_url: str) -> None:
    first = policies.import_file(ROUTE + " // file", Vetted(), actor=TESTER)
    again = policies.import_file(ROUTE + " // file", Vetted(), actor=TESTER)

    assert again.id == first.id
    assert (first.origin, first.status) == ("file", "draft")
    assert first.sha256 not in {active.sha256 for active in policies.active_policies()}


@pytest.mark.usefixtures("db")
def test_policies_in_force_are_the_operators_and_each_tenants(redis_url: str) -> None:
    tenant = make_tenant()
    operators = policies.save_version(source=ROUTE, tenant_id=None, actor=TESTER, activate=True).version
    tenants = policies.save_version(
        source=ROUTE + "\n", tenant_id=tenant.id, actor=TESTER, activate=True
    ).version

    active = {policy.tenant_id: policy for policy in policies.active_policies()}

    assert active[None].version_id == operators.id
    assert active[tenant.id].version_id == tenants.id
    assert active[tenant.id].source == ROUTE + "\n"


@pytest.mark.usefixtures("db")
def test_what_is_there_before_the_first_activation_cannot_come_back(redis_url: str) -> None:
    tenant = make_tenant()
    policies.save_version(source=ROUTE, tenant_id=tenant.id, actor=TESTER, activate=True)

    with pytest.raises(NotFound):
        policies.roll_back(tenant.id, actor=TESTER)


def test_versions_saved_at_once_are_numbered_without_a_hole(committed_db: None, redis_url: str) -> None:
    tenant, start = make_tenant(), threading.Barrier(8)

    def save(number: int) -> int:
        start.wait()
        try:
            source = f"{ROUTE} // {number}"
            return policies.save_version(
                source=source, tenant_id=tenant.id, actor=TESTER, activate=True
            ).version.number
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        numbers = sorted(threads.map(save, range(8)))

    assert numbers == list(range(1, 9))
    with tenant_tx(tenant.id):
        assert PolicyVersion.objects.filter(status="active").count() == 1


@pytest.mark.usefixtures("db")
def test_version_and_its_audit_entry_stand_or_fall_together(redis_url: str) -> None:
    tenant = make_tenant()

    def save_and_fail() -> None:
        with tenant_tx(tenant.id):
            policies.save_version(source=ROUTE, tenant_id=tenant.id, actor=TESTER, activate=True)
            raise RuntimeError("forced")

    with pytest.raises(RuntimeError, match="forced"):
        save_and_fail()

    with colony_tx("tests"):
        assert not PolicyVersion.objects.filter(tenant=tenant).exists()
        assert not AuditEntry.objects.filter(tenant_id=tenant.id).exists()
