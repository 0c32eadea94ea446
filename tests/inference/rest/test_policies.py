from __future__ import annotations

from tests.factories.tenants import make_key, make_project, make_tenant
from tests.inference.conftest import Api, audit_events

EU = 'fn route_task(task, workers) { workers.filter(|w| w.region == "EU").least_loaded() }'
ANY = "fn route_task(task, workers) { workers.least_loaded() }"
NONE = 'fn should_admit(task, customer) { reject("closed") }'


def test_version_is_saved_activated_and_rolled_back(operator: Api) -> None:
    first = operator.post("policies", {"source": EU, "activate": True}).json()
    second = operator.post("policies", {"source": ANY}).json()
    assert (first["number"], first["status"], second["number"], second["status"]) == (1, "active", 2, "draft")
    assert operator.get("status").json()["policy"] | {"path": None} == {
        "source": "database", "path": None, "sha256": first["sha256"], "error": None,
    }  # fmt: skip

    activated = operator.post(f"policies/{second['id']}/activate").json()
    states = {row["number"]: row["status"] for row in operator.get("policies").json()["data"]}
    back = operator.post("policies/rollback").json()

    assert (activated["status"], states) == ("active", {1: "retired", 2: "active"})
    assert (back["id"], back["status"], back["source"]) == (first["id"], "active", EU)
    assert operator.get(f"policies/{second['id']}").json()["status"] == "reverted"
    assert audit_events("policy.") == [
        "policy.saved", "policy.activated", "policy.saved", "policy.activated", "policy.activated",
    ]  # fmt: skip


def test_script_that_does_not_compile_is_refused_with_its_place(operator: Api) -> None:
    for source, expected in [
        ("fn route_task(task, workers) {\n  workers.least_loaded(\n}", "line 3"),
        ("fn other() { 1 }", "fn should_admit(task, customer) or fn route_task(task, workers)"),
        ("fn route_task(task) { 1 }", "fn route_task(task, workers)"),
        ("", "source"),
        ("x" * 20_000, ""),
    ]:
        answer = operator.post("policies", {"source": source})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "source"
        assert expected in answer.json()["error"]["message"]
    assert operator.get("policies").json()["data"] == []


def test_customer_has_policies_of_its_own_and_sees_no_other(operator: Api) -> None:
    mine, theirs = make_project(), make_project(make_tenant())
    customer = Api(make_key(mine, scopes=["manage"])[1])
    stranger = Api(make_key(theirs, scopes=["manage"])[1])
    operators = operator.post("policies", {"source": NONE, "activate": True}).json()

    own = customer.post("policies", {"source": EU, "activate": True}).json()

    assert (own["tenant"], own["number"]) == (mine.tenant.slug, 1)
    assert [row["id"] for row in customer.get("policies").json()["data"]] == [own["id"]]
    assert [row["id"] for row in operator.get("policies", tenant=mine.tenant.slug).json()["data"]] == [
        own["id"]
    ]
    absent = stranger.get("policies/00000000-0000-7000-8000-000000000000")
    for foreign in (own["id"], operators["id"]):
        answer = stranger.get(f"policies/{foreign}")
        assert (answer.status_code, answer.content) == (404, absent.content)
        assert stranger.post(f"policies/{foreign}/activate").status_code == 404
    assert stranger.post("policies", {"source": EU, "tenant": mine.tenant.slug}).status_code == 404
    assert stranger.post("policies/rollback").json()["error"]["code"] == "policy_not_found"
