"""The last tasks of a real queen, decided again through the management API."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.db import connection

from gdpr.scope import colony_tx
from inference.domain import policies, vetting
from inference.domain.bootstrap import prepare_colony
from inference.models import PolicyVersion
from tenants.models import Project
from tests.factories.tenants import TESTER, make_key, make_project, make_tenant
from tests.inference.api.conftest import Colony
from tests.planted_crash import plant

BIG_ONLY = 'fn should_admit(task, customer) { if task.max_tokens < 8 { reject("too little") } }'
LEAST = "fn route_task(task, workers) { workers.least_loaded() }"
CRASHES = 'fn should_admit(task, customer) { if task.max_tokens == 7 { region_is_eu("crash"); } }'


@pytest.fixture
def customer(business: Colony) -> Iterator[tuple[Project, str]]:
    """With two tasks on record, of 7 and of 9 tokens."""
    project = make_project(make_tenant())
    key = make_key(project)[1]
    for max_tokens in (7, 9):
        assert (
            business.ask("a prompt that is nobody's business", key=key, max_tokens=max_tokens).status_code
            == 200
        )
    client = manage(business, project)
    business.wait_for(lambda: dry_run(client, LEAST)["replayed"] == 2, timeout_s=5)
    yield project, key
    with colony_tx("tests"):
        PolicyVersion.objects.filter(tenant=project.tenant).update(status="retired")


def manage(business: Colony, project: Project) -> httpx.Client:
    return business.call(make_key(project, scopes=["manage"])[1])


def dry_run(client: httpx.Client, source: str, **fields: Any) -> dict[str, Any]:
    answer = client.post("/api/v1/policies/dry-run", json={"source": source, **fields})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_tasks_of_the_customer_are_decided_again(business: Colony, customer: tuple[Project, str]) -> None:
    found = dry_run(manage(business, customer[0]), BIG_ONLY)

    assert (found["replayed"], found["unchanged"], found["as_recorded"]) == (2, 1, 2)
    assert found["changed"]["refused"] == 1
    assert found["old"]["origin"] == "none"
    assert found["new"]["codes"] == {"policy_rejected": 1}
    (example,) = found["examples"]["refused"]
    assert example["new"] == {"outcome": "rejected", "code": "policy_rejected", "message": "too little"}
    assert example["old"]["gpu_type"]
    assert "nobody's business" not in str(found)


def test_only_so_many_as_were_asked_for_and_none_of_others(
    business: Colony, customer: tuple[Project, str]
) -> None:
    stranger = make_project(make_tenant())

    assert dry_run(manage(business, customer[0]), BIG_ONLY, last=1)["replayed"] == 1
    assert dry_run(manage(business, stranger), BIG_ONLY)["replayed"] == 0


def test_operator_tries_on_all_tenants(business: Colony, customer: tuple[Project, str]) -> None:
    policies.save_version(source=BIG_ONLY, tenant_id=customer[0].tenant_id, actor=TESTER, activate=True)
    operator = manage(business, prepare_colony())

    found = dry_run(operator, LEAST, last=2)

    assert found["old"]["outcomes"] == found["new"]["outcomes"] == {"rejected": 1, "routed": 1}
    assert found["old"]["origin"] == "default"


def test_version_that_crashes_on_what_was_recorded_is_disabled(
    business: Colony, customer: tuple[Project, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, _ = customer
    client = manage(business, project)
    plant(tmp_path, monkeypatch)
    version = policies.save_version(source=CRASHES, tenant_id=project.tenant_id, actor=TESTER).version
    assert version.vetted_at is not None  # nothing hostile has seven tokens

    unnamed = client.post("/api/v1/policies/dry-run", json={"source": CRASHES})
    refused = client.post(f"/api/v1/policies/{version.id}/dry-run")

    assert (unnamed.status_code, unnamed.json()["error"]["code"]) == (400, "policy_crashed")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "policy_disabled")
    assert "SIGSEGV while it ran should_admit with task" in refused.json()["error"]["message"]
    assert client.get(f"/api/v1/policies/{version.id}").json()["disabled_at"] is not None


def test_version_in_force_that_crashes_refuses_its_tasks_from_then_on(
    business: Colony, customer: tuple[Project, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, key = customer
    plant(tmp_path, monkeypatch)
    policies.save_version(source=CRASHES, tenant_id=project.tenant_id, actor=TESTER, activate=True)
    assert business.ask("x", key=key, max_tokens=9).status_code == 200

    refused = manage(business, project).post("/api/v1/policies/dry-run", json={"source": LEAST})

    assert refused.json()["error"]["code"] == "policy_disabled"
    business.wait_for(lambda: business.ask("x", key=key, max_tokens=9).status_code == 500, timeout_s=3)
    policies.save_version(source=LEAST, tenant_id=project.tenant_id, actor=TESTER, activate=True)
    business.wait_for(lambda: business.ask("x", key=key, max_tokens=9).status_code == 200, timeout_s=3)


def test_script_that_is_being_tried_holds_up_nobody(
    business: Colony, customer: tuple[Project, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the loop that serves tasks, nor another request, nor a row of the database."""
    project, key = customer
    client = manage(business, project)
    trying, go_on = threading.Event(), threading.Event()
    run = vetting.run_apart

    def slow(module: str, chunks: Iterable[bytes]) -> bytes:
        trying.set()
        go_on.wait(20)
        return run(module, chunks)

    monkeypatch.setattr(vetting, "run_apart", slow)
    with ThreadPoolExecutor(1) as thread:
        pushed = thread.submit(client.post, "/api/v1/policies", json={"source": LEAST, "activate": True})
        try:
            assert trying.wait(5)
            assert business.ask("x", key=key, max_tokens=9).status_code == 200
            assert manage(business, project).get("/api/v1/policies").json()["data"] == []
            business.wait_for(lambda: open_transactions() == 0, timeout_s=3)
        finally:
            go_on.set()
        assert pushed.result(20).json()["status"] == "active"


def open_transactions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
        (count,) = cursor.fetchone()
        return int(count)
