"""Decisions that tasks leave behind, as the dry-run of a policy reads them."""

from __future__ import annotations

import json

from gdpr.scope import colony_tx
from inference.domain.decision_reader import last_recorded
from inference.models import Decision
from rbee_policy.world import CUSTOMER, TASK, WORKER
from tests.factories.tenants import make_key, make_project, make_tenant
from tests.inference.api.conftest import Colony


def test_task_leaves_what_its_scripts_saw(business: Colony) -> None:
    business.policy("fn route_task(task, workers) { workers.least_loaded() }")
    tenant = make_tenant()
    key = make_key(make_project(tenant))[1]

    answer = business.ask("a prompt that is nobody's business", key=key, max_tokens=7)

    (found,) = business.wait_for(lambda: last_recorded(tenant.id, 10), timeout_s=2)
    assert answer.json()["id"] == f"chatcmpl-{found.task_id.hex}"
    assert set(found.task) == set(TASK)
    assert set(found.customer) == set(CUSTOMER)
    assert [set(worker) for worker in found.offered] == [set(WORKER)]
    assert (found.task["max_tokens"], found.customer["id"]) == (7, tenant.slug)
    assert (found.outcome, found.code, found.worker) == ("routed", "", found.offered[0]["id"])
    assert found.operator_sha256 == business.queen.policies.operator().sha256
    assert found.tenant_sha256 == ""
    with colony_tx("tests"):
        row = Decision.objects.filter(task_id=found.task_id).values().get()
    assert "nobody's business" not in json.dumps(row, default=str)
