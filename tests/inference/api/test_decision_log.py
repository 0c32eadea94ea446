"""What tasks leave behind, as the dry-run of a policy reads it and as it is explained."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import httpx
import pytest
from django.conf import settings

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from inference.domain import policies
from inference.domain.decision_reader import Recorded, last_recorded
from inference.domain.refusal_log import source_pseudonym
from inference.enums import OnError
from inference.models import ColonySnapshot, Decision, Policy
from rbee_policy.world import CUSTOMER, TASK, WORKER
from tenants.models import Tenant, WebhookEvent
from tests.factories.tenants import TESTER, make_key, make_plan, make_project, make_tenant
from tests.inference.api.conftest import Colony, chat
from tests.inference.api.test_answers import error

LEAST_LOADED = "fn route_task(task, workers) { workers.least_loaded() }"
BROKEN = 'fn route_task(task, workers) {\n  if task.model == "m" { [task][0].nothing }\n}'


class Customer:
    """Of a colony: a tenant with a key for asking and one for managing."""

    def __init__(self, colony: Colony, **tenant: Any) -> None:
        self.colony = colony
        self.tenant: Tenant = make_tenant(**tenant)
        self.project = make_project(self.tenant)
        self.key = make_key(self.project)[1]
        self.manager = colony.call(make_key(self.project, scopes=["manage"])[1])

    def policy(self, source: str) -> None:
        policies.save_version(source=source, tenant_id=self.tenant.id, actor=TESTER, activate=True)
        self.colony.wait_for(
            lambda: (
                (mine := self.colony.queen.policies.of_tenant(self.tenant.id.hex))
                and mine.script.source == source
            )
        )

    def decision(self, number: int = 1) -> Recorded:
        """The last, when there are as many."""

        def found() -> list[Recorded] | None:
            recorded = list(last_recorded(self.tenant.id, 10))
            return recorded if len(recorded) >= number else None

        return self.colony.wait_for(found, timeout_s=3)[0]

    def explained(self, name: str) -> dict[str, Any]:
        answer = self.manager.get(f"/api/v1/tasks/{name}/decision")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
def customer(business: Colony) -> Customer:
    return Customer(business)


@pytest.fixture
def operator(business: Colony) -> Any:
    with colony_tx("tests"):
        tenant = Tenant.objects.get(slug="operator")
    return business.call(make_key(make_project(tenant), scopes=["manage"])[1])


def reasons(explained: dict[str, Any]) -> dict[str, str | None]:
    (attempt,) = explained["attempts"]
    return {worker["hive"]: worker["reason"] for worker in attempt["workers"]}


def test_task_leaves_what_its_scripts_saw_and_no_prompt(business: Colony, customer: Customer) -> None:
    business.policy(LEAST_LOADED)

    answer = business.ask("a prompt that is nobody's business", key=customer.key, max_tokens=7, user="alice")

    found = customer.decision()
    assert answer.json()["id"] == f"chatcmpl-{found.task_id.hex}"
    assert (set(found.task), set(found.customer)) == (set(TASK), set(CUSTOMER))
    assert [set(worker) for worker in found.offered] == [set(WORKER)]
    assert (found.task["max_tokens"], found.customer["id"]) == (7, customer.tenant.slug)
    assert (found.outcome, found.code, found.worker) == ("routed", "", found.offered[0]["id"])
    assert (found.operator_sha256, found.tenant_sha256) == (business.queen.policies.operator().sha256, "")
    with colony_tx("tests"):
        row = Decision.objects.filter(task_id=found.task_id).values().get()
    kept = json.dumps(row, default=str)
    assert "nobody's business" not in kept
    assert "alice" not in kept


def test_every_outcome_is_kept(business: Colony, customer: Customer) -> None:
    for source, outcome, code in [
        (LEAST_LOADED, "routed", ""),
        ('fn should_admit(task, customer) { reject("no") }', "rejected", "policy_rejected"),
        ('fn route_task(task, workers) { reject("Quota exceeded") }', "rejected", "quota_exceeded"),
        ("fn route_task(task, workers) { none }", "no_workers", "no_workers"),
        (BROKEN, "policy_error", "policy_error"),
        (
            'fn should_admit(task, customer) { if task.model == "m" { loop {} } }',
            "policy_error",
            "policy_error",
        ),
    ]:
        business.policy(source)
        before = len(list(last_recorded(customer.tenant.id, 100)))

        business.ask("x", key=customer.key)

        found = customer.decision(before + 1)
        assert (found.outcome, found.code, bool(found.worker)) == (outcome, code, outcome == "routed")
        assert len(found.offered) == 1, source  # also where the task never came so far


def test_explanation_has_each_workers_reason(business: Colony, customer: Customer, operator: Any) -> None:
    business.add_model("small")
    first, second, third = (
        business.add_hive("small", labels={"gpu_type": gpu}).row.name for gpu in ("A100", "H100", "RTX4090")
    )
    business.add_hive("small", labels={"dedicated_to": "somebody-else"})
    busy = business.add_hive("small", capacity=0)
    business.policy('fn route_task(task, workers) { workers.filter(|w| w.gpu_type != "A100") }')
    customer.policy('fn route_task(task, workers) { workers.filter(|w| w.gpu_type == "RTX4090") }')

    answer = business.ask("x", key=customer.key, model="small")
    recorded = customer.decision()
    full = operator.get(f"/api/v1/tasks/{answer.headers['x-request-id']}/decision").json()
    mine = customer.explained(answer.json()["id"])

    assert reasons(full) == {
        first: "operator_script", second: "tenant_script", third: None, business.hives[4].row.name: "dedicated_to",
        busy.row.name: "full",
    }  # fmt: skip
    assert full["attempts"][0]["chosen"] == recorded.worker == full["worker"]
    assert full["attempts"][0]["not_offered"] == {"model": 1}
    assert full["micros"] > 0
    assert full["policies"]["tenant"]["number"] == 1

    assert reasons(mine) == {first: "operator_script", second: "tenant_script", third: None}
    facts = {worker["hive"]: worker["facts"] for worker in mine["attempts"][0]["workers"]}
    assert facts[first] is None
    assert facts[second]["gpu_type"] == "H100"
    assert mine["attempts"][0]["not_offered"] == {"full": 1}
    assert mine["policies"]["operator"] == {
        "sha256": business.queen.policies.operator().sha256, "id": None, "number": None,
    }  # fmt: skip
    assert "somebody-else" not in json.dumps(mine)


def test_decision_is_its_tenants_and_any_other_is_absent(business: Colony, customer: Customer) -> None:
    business.ask("x", key=customer.key)
    found = customer.decision()
    stranger = Customer(business)

    absent = stranger.manager.get(f"/api/v1/tasks/{'0' * 32}/decision")
    foreign = [
        stranger.manager.get(f"/api/v1/tasks/{name}/decision")
        for name in (found.task_id, f"chatcmpl-{found.task_id.hex}", "nonsense", "req_" + "0" * 32)
    ]

    assert absent.status_code == 404
    assert {(answer.status_code, answer.content) for answer in foreign} == {(404, absent.content)}
    assert stranger.manager.get("/api/v1/tasks").json()["data"] == []


def test_list_is_filtered_and_in_pages(business: Colony, customer: Customer) -> None:
    for _ in range(3):
        business.ask("x", key=customer.key)
    business.policy('fn should_admit(task, customer) { reject("no") }')
    business.ask("x", key=customer.key)
    last = customer.decision(4)
    get = customer.manager.get

    first = get("/api/v1/tasks", params={"limit": 3}).json()
    rest = get("/api/v1/tasks", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    rows = first["data"] + rest["data"]

    assert [row["outcome"] for row in rows] == ["rejected", "routed", "routed", "routed"]
    assert (rows[0]["id"], rows[0]["code"]) == (str(last.task_id), "policy_rejected")
    for query, expected in [
        ({"outcome": "rejected"}, rows[:1]),
        ({"model": "m"}, rows),
        ({"model": "other"}, []),
        ({"worker": rows[1]["worker"]}, rows[1:]),
        ({"since": rows[0]["at"]}, rows[:1]),
        ({"until": rows[0]["at"]}, rows[1:]),
    ]:
        assert get("/api/v1/tasks", params=query).json()["data"] == expected, query
    assert get("/api/v1/tasks", params={"outcome": "perhaps"}).status_code == 400


def test_snapshot_serves_many_decisions_and_tells_each_its_own_load(
    business: Colony, customer: Customer
) -> None:
    business.policy(LEAST_LOADED)
    with business.call(customer.key).stream("POST", "/v1/chat/completions", json=chat("slow", stream=True)):
        business.ask("x", key=customer.key)
        business.ask("y", key=customer.key)
    customer.decision(3)

    recorded = list(last_recorded(customer.tenant.id, 3))
    with colony_tx("tests"):
        used = set(Decision.objects.filter(tenant=customer.tenant).values_list("snapshot_id", flat=True))
        assert ColonySnapshot.objects.filter(id__in=used).count() == len(used) <= 2
    assert recorded[2].offered[0]["in_flight"] == 0


def test_headers_tell_worker_and_policies_only_where_the_operator_allows(
    business: Colony, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def allow(decision_headers: bool) -> None:
        env = dataclasses.replace(settings.RBEE, decision_headers=decision_headers)
        monkeypatch.setattr(business.queen, "env", env)

    business.policy(LEAST_LOADED)
    allow(False)
    assert not {"x-rbee-worker", "x-rbee-policy"} & set(business.ask("x", key=customer.key).headers)

    allow(True)
    answer = business.ask("x", key=customer.key)
    found = customer.decision(2)
    assert answer.headers["x-rbee-worker"] == found.worker
    assert answer.headers["x-rbee-policy"] == found.operator_sha256


def audited(event: str, tenant: Tenant | None, count: int = 1) -> list[AuditEntry]:
    with colony_tx("tests"):
        rows = AuditEntry.objects.filter(event=event, tenant_id=tenant.id if tenant else None).order_by("id")
        return list(rows) if rows.count() >= count else []


def test_broken_script_of_a_tenant_alerts_that_tenant_once(business: Colony, customer: Customer) -> None:
    business.policy(LEAST_LOADED)
    customer.policy(BROKEN)

    refused = [business.ask("nobody's business", key=customer.key) for _ in range(3)]

    assert {(answer.status_code, error(answer)["code"]) for answer in refused} == {(500, "policy_error")}
    (failed,) = business.wait_for(lambda: audited("policy.failed", customer.tenant), timeout_s=3)
    assert (failed.details["function"], failed.details["line"]) == ("route_task", 2)
    entries = business.wait_for(lambda: audited("task.refused", customer.tenant, 3), timeout_s=3)
    assert [entry.request_id for entry in entries] == [answer.headers["x-request-id"] for answer in refused]
    (alert,) = customer.manager.get("/api/v1/alerts").json()["data"]
    assert (alert["kind"], alert["tenant"], alert["count"]) == ("policy_error", customer.tenant.slug, 1)
    assert "line 2" in alert["message"]
    assert "nobody's business" not in alert["message"]
    with colony_tx("tests"):
        told = WebhookEvent.objects.filter(tenant=customer.tenant, type__in=["policy.failed", "alert.opened"])
        assert sorted(told.values_list("type", flat=True)) == ["alert.opened", "policy.failed"]
    explained = customer.explained(refused[0].headers["x-request-id"])
    assert explained["attempts"][0]["broke"][0]["by"] == "tenant_script"

    closed = customer.manager.post(f"/api/v1/alerts/{alert['id']}/close").json()
    assert closed["closed_at"]
    assert customer.manager.get("/api/v1/alerts").json()["data"] == []
    assert [row["id"] for row in customer.manager.get("/api/v1/alerts?state=closed").json()["data"]] == [
        alert["id"]
    ]
    assert Customer(business).manager.post(f"/api/v1/alerts/{alert['id']}/close").status_code == 404


def test_broken_script_of_the_operator_alerts_the_operator_and_tells_the_tenant_no_more_than_that(
    business: Colony, customer: Customer, operator: Any
) -> None:
    source = f"// {customer.tenant.slug}\n{BROKEN}"
    business.policy(source)

    refused = business.ask("x", key=customer.key)

    def alert() -> dict[str, Any] | None:
        sha256 = business.queen.policies.operator().sha256
        rows = operator.get("/api/v1/alerts").json()["data"]
        with colony_tx("tests"):
            version = policies.PolicyVersion.objects.get(tenant=None, sha256=sha256)
        return next((row for row in rows if row["object_ref"] == f"policy_version:{version.id}"), None)

    assert business.wait_for(alert, timeout_s=3)["tenant"] is None
    assert customer.manager.get("/api/v1/alerts").json()["data"] == []
    explained = customer.explained(refused.headers["x-request-id"])
    assert explained["attempts"][0]["broke"] == [{"by": "operator_script"}]
    assert [worker["facts"] for worker in explained["attempts"][0]["workers"]] == [None]


def test_broken_route_falls_back_where_the_operator_chose_so_and_admission_never_does(
    business: Colony, customer: Customer
) -> None:
    business.policy(LEAST_LOADED)
    customer.policy(BROKEN)
    with colony_tx("tests"):
        Policy.objects.filter(tenant=customer.tenant).update(on_error=OnError.LEAST_LOADED)
    policy = business.queen.policies.of_tenant(customer.tenant.id.hex)
    assert policy
    business.queen.policies.reload_soon()
    business.wait_for(lambda: business.queen.policies.falls_back(policy), timeout_s=8)

    assert business.ask("x", key=customer.key).status_code == 200
    assert customer.decision().outcome == "routed"
    business.wait_for(lambda: audited("policy.failed", customer.tenant), timeout_s=3)
    assert len(customer.manager.get("/api/v1/alerts").json()["data"]) == 1

    customer.policy('fn should_admit(task, customer) { if task.model == "m" { [task][0].nothing } }')
    assert error(business.ask("x", key=customer.key))["code"] == "policy_error"


def test_refused_keys_are_summed_by_source(business: Colony) -> None:
    address = "127.83.19.7"  # nobody else asks from there
    source = f"source:{source_pseudonym(address)}"

    def entries() -> list[AuditEntry]:
        with colony_tx("tests"):
            return list(AuditEntry.objects.filter(event="auth.refused", actor=source))

    wrong = {"authorization": "Bearer rbee_live_wrong"}
    with httpx.Client(transport=httpx.HTTPTransport(local_address=address), headers=wrong) as guesser:
        for _ in range(20):
            asked = guesser.post(f"http://127.0.0.1:{business.port}/v1/chat/completions", json=chat("x"))
            assert asked.status_code == 401

    business.wait_for(entries, timeout_s=3)
    assert len(entries()) <= 2  # where a minute ended meanwhile
    assert address not in json.dumps(entries()[0].details) + entries()[0].actor


def test_limits_refuse_with_an_audit_entry_and_are_no_decision(business: Colony) -> None:
    customer = Customer(business, plan=make_plan(requests_per_minute=1))
    assert business.ask("x", key=customer.key).status_code == 200
    customer.decision()

    assert business.ask("x", key=customer.key).status_code == 429

    (entry,) = business.wait_for(lambda: audited("task.refused", customer.tenant), timeout_s=3)
    assert (entry.details["code"], entry.details["status"]) == ("rate_limit_exceeded", 429)
    assert re.fullmatch(r"key:.+", entry.actor)
    assert len(list(last_recorded(customer.tenant.id, 10))) == 1


def test_hive_with_odd_texts_keeps_no_decision_from_being_kept(business: Colony, customer: Customer) -> None:
    """A hive says what it likes, and PostgreSQL's JSON holds no U+0000."""
    business.add_model("odd")
    business.add_hive("odd", engine="a\x00b")

    assert business.ask("x", key=customer.key, model="odd").status_code == 200

    assert customer.decision().offered[0]["engine"] == "a\ufffdb"
