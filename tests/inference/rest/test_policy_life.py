"""A version from its first push until it is rolled back, and what becomes of one that crashes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from django.conf import settings

from gdpr.scope import colony_tx
from inference.domain import policies
from inference.models import PolicyVersion
from tenants.models import Alert, WebhookEvent
from tests.factories.tenants import TESTER, make_key, make_project
from tests.inference.conftest import Api, audit_events
from tests.planted_crash import CRASHES, plant

ANY = "fn route_task(task, workers) { workers.least_loaded() }"
FIRST = "fn route_task(task, workers) {\n    workers.first()\n}\n"
RULES = "rules:\n  - {when: {task.customer_tier: free}, use: {gpu_type: A100}}\n"
USELESS = "fn should_admit(task, customer) { 7 }"


@pytest.fixture
def crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, monkeypatch)


def push(api: Api, source: str, **fields: object) -> dict[str, object]:
    answer = api.post("policies", {"source": source, **fields})
    assert answer.status_code == 201, answer.content
    row: dict[str, object] = answer.json()
    return row


def error(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]  # type: ignore[attr-defined]


def test_version_says_who_made_it_what_for_and_that_it_was_tried(operator: Api) -> None:
    made = push(operator, ANY, comment="as before")

    assert (made["status"], made["comment"], made["findings"], made["disabled_at"]) == (
        "draft",
        "as before",
        [],
        None,
    )
    assert str(made["author"]).startswith("key:")
    assert made["vetted_at"] is not None


def test_push_tells_what_a_script_stumbles_over(operator: Api) -> None:
    made = push(
        operator, "fn route_task(task, workers) { if workers.first().in_flight < 3 { workers.first() } }"
    )

    assert made["vetted_at"] is not None
    assert made["findings"][0]["function"] == "route_task"  # type: ignore[index]


def test_rules_are_kept_as_they_were_written(operator: Api) -> None:
    made = operator.post("policies", {"rules": RULES}).json()

    assert made["rules"] == RULES
    assert "A100" in made["source"]
    for body in ({}, {"rules": RULES, "source": ANY}, {"rules": "rules: [{use: {gpu_typ: A100}}]"}):
        assert operator.post("policies", body).status_code == 400


def test_useless_version_is_a_draft_that_cannot_be_in_force(operator: Api) -> None:
    assert error(operator.post("policies", {"source": USELESS, "activate": True})) == (
        409,
        "policy_not_vetted",
    )

    (row,) = operator.get("policies").json()["data"]
    assert (row["status"], row["vetted_at"]) == ("draft", None)
    refused = operator.post(f"policies/{row['id']}/activate")
    assert error(refused) == (409, "policy_not_vetted")
    assert "breaks whatever it is given" in refused.json()["error"]["message"]


@pytest.mark.usefixtures("crash")
def test_version_that_crashes_is_disabled_and_its_owner_hears_of_it(operator: Api) -> None:
    project = make_project()
    customer = Api(make_key(project, scopes=["manage"])[1])
    good = push(customer, ANY, activate=True)

    bad = push(customer, CRASHES)

    assert bad["disabled_at"] is not None
    assert "SIGSEGV while it ran should_admit with " in str(bad["disabled_reason"])
    assert error(customer.post(f"policies/{bad['id']}/activate")) == (409, "policy_disabled")
    assert error(customer.post("policies", {"source": CRASHES, "activate": True})) == (409, "policy_disabled")
    assert customer.get(f"policies/{good['id']}").json()["status"] == "active"
    assert audit_events("policy.disabled") == ["policy.disabled"] * 2
    with colony_tx("tests"):
        alerts = Alert.objects.filter(tenant=project.tenant, kind="policy_disabled")
        assert {alert.object_ref for alert in alerts} >= {f"policy_version:{bad['id']}"}
        events = WebhookEvent.objects.filter(tenant_id=project.tenant_id, type="policy.disabled")
        assert events.order_by("id")[0].data == {"policy_version": bad["id"], "number": 2}


@pytest.mark.usefixtures("crash")
def test_version_that_was_never_tried_is_tried_when_it_is_activated(operator: Api) -> None:
    made = [push(operator, ANY), push(operator, f"{ANY} // crash")]
    with colony_tx("tests"):
        PolicyVersion.objects.filter(tenant=None).update(vetted_at=None)
        PolicyVersion.objects.filter(id=made[1]["id"]).update(source=CRASHES)

    assert operator.post(f"policies/{made[0]['id']}/activate").json()["vetted_at"] is not None
    assert error(operator.post(f"policies/{made[1]['id']}/activate")) == (409, "policy_disabled")


def test_disabling_what_is_in_force_brings_back_the_one_before(operator: Api) -> None:
    first, second = push(operator, ANY, activate=True), push(operator, FIRST, activate=True)

    policies.disable_version(policies.UUID(str(second["id"])), "it crashed")

    assert operator.get(f"policies/{first['id']}").json()["status"] == "active"
    after = operator.get(f"policies/{second['id']}").json()
    assert (after["status"], after["disabled_reason"]) == ("retired", "it crashed")
    assert error(operator.post(f"policies/{second['id']}/activate")) == (409, "policy_disabled")
    assert error(operator.post(f"policies/{second['id']}/dry-run")) == (409, "policy_disabled")


def test_disabling_the_only_one_lets_nobody_in_until_another_is_activated(operator: Api) -> None:
    only = push(operator, ANY, activate=True)

    policies.disable_version(policies.UUID(str(only["id"])), "it crashed")

    assert [policy.is_disabled for policy in policies.active_policies()] == [True]
    push(operator, FIRST, activate=True)
    assert [policy.is_disabled for policy in policies.active_policies()] == [False]


def test_rolling_back_again_goes_further_back(operator: Api) -> None:
    numbers = [push(operator, f"{ANY} // {number}", activate=True)["number"] for number in range(3)]

    back = [operator.post("policies/rollback").json()["number"] for _ in range(2)]

    assert (numbers, back) == ([1, 2, 3], [2, 1])
    assert operator.post("policies/rollback").status_code == 204
    assert [row["status"] for row in operator.get("policies").json()["data"]] == ["reverted"] * 3
    assert audit_events("policy.deactivated") == ["policy.deactivated"]
    assert error(operator.post("policies/rollback")) == (404, "policy_not_found")
    push(operator, FIRST, activate=True)
    assert operator.post("policies/rollback").status_code == 204


def test_second_of_two_people_is_told_what_the_first_did(operator: Api) -> None:
    first = push(operator, ANY, activate=True, expected_active=0)

    refused = operator.post("policies", {"source": FIRST, "activate": True, "expected_active": 0})
    assert error(refused) == (409, "policy_changed")
    assert "version 1 is in force, not none" in refused.json()["error"]["message"]
    assert len(operator.get("policies").json()["data"]) == 1
    assert operator.post(f"policies/{first['id']}/activate", {"expected_active": 1}).status_code == 200
    draft = push(operator, FIRST)
    assert error(operator.post(f"policies/{draft['id']}/activate", {"expected_active": 7})) == (
        409,
        "policy_changed",
    )
    assert operator.post(f"policies/{draft['id']}/activate", {"expected_active": 1}).status_code == 200
    assert error(operator.post("policies/rollback", {"expected_active": 1})) == (409, "policy_changed")


def test_difference_of_two_versions(operator: Api) -> None:
    first, second = push(operator, ANY, activate=True), push(operator, f"{ANY}\n// more\n")
    stranger = Api(make_key(make_project(), scopes=["manage"])[1])

    diff = operator.get(f"policies/{second['id']}/diff").json()

    assert (diff["old"]["number"], diff["new"]["number"], diff["added"], diff["removed"]) == (1, 2, 1, 0)
    assert diff["diff"] == f"--- version 1\n+++ version 2\n@@ -1 +1,2 @@\n {ANY}\n+// more\n"
    assert operator.get(f"policies/{first['id']}/diff").json()["old"] is None
    for against in ("active", first["id"]):
        assert operator.get(f"policies/{second['id']}/diff", against=against).json() == diff
    assert operator.get(f"policies/{second['id']}/diff", against="yesterday").status_code == 400
    theirs = push(stranger, ANY)
    assert operator.get(f"policies/{second['id']}/diff", against=theirs["id"]).status_code == 404
    assert stranger.get(f"policies/{second['id']}/diff").status_code == 404


def test_log_tells_what_was_done_and_by_whom(operator: Api) -> None:
    first, second = push(operator, ANY, activate=True), push(operator, FIRST, activate=True)
    operator.post("policies/rollback")

    log = operator.get("policies/log").json()["data"]
    of_second = operator.get(f"policies/{second['id']}/log").json()["data"]

    story = [(entry["event"], entry["details"]["number"]) for entry in log[:5]]
    assert story == [
        ("policy.activated", 1),
        ("policy.activated", 2),
        ("policy.saved", 2),
        ("policy.activated", 1),
        ("policy.saved", 1),
    ]
    assert log[0]["details"]["is_rollback"] is True
    assert log[0]["version"] == first["id"]
    assert {entry["actor"].partition(":")[0] for entry in log[:5]} == {"key"}
    assert [entry["event"] for entry in of_second] == ["policy.activated", "policy.saved"]
    page = operator.get("policies/log", limit=2).json()
    assert page["has_more"]
    assert operator.get("policies/log", limit=2, cursor=page["next_cursor"]).json()["data"] == log[2:4]
    stranger = Api(make_key(make_project(), scopes=["manage"])[1])
    assert stranger.get("policies/log").json()["data"] == []
    assert stranger.get(f"policies/{second['id']}/log").status_code == 404


def test_only_the_operator_says_what_an_error_means(operator: Api) -> None:
    project = make_project()
    customer = Api(make_key(project, scopes=["manage"])[1])
    slug = project.tenant.slug

    for body in ({"on_error": "least_loaded", "source": ANY}, {"on_error": "refuse", "source": ANY}):
        assert customer.post("policies", body).status_code == 403
    assert (
        customer.client.patch(
            "/api/v1/policies/settings", {"on_error": "refuse"}, "application/json"
        ).status_code
        == 403
    )
    push(operator, ANY, tenant=slug, on_error="least_loaded", activate=True)

    seen = customer.get("policies/settings").json()
    assert (seen["origin"], seen["number"], seen["on_error"], seen["tenant"]) == (
        "database",
        1,
        "least_loaded",
        slug,
    )
    changed = operator.client.patch(
        "/api/v1/policies/settings", {"on_error": "refuse", "tenant": slug}, "application/json"
    )
    assert changed.json()["on_error"] == "refuse"
    assert operator.get("policies/settings").json()["origin"] == "default"


def test_file_is_the_policy_while_it_exists(operator: Api, tmp_path: Path) -> None:
    made = push(operator, ANY, activate=True)
    customer = Api(make_key(make_project(), scopes=["manage"])[1])
    file = tmp_path / "scheduler.rhai"
    settings.RBEE = dataclasses.replace(settings.RBEE, scheduler_file=file)
    file.write_text(FIRST)

    for path, body in [
        ("policies", {"source": ANY}),
        (f"policies/{made['id']}/activate", {}),
        ("policies/rollback", {}),
    ]:
        refused = operator.post(path, body)
        assert error(refused) == (409, "policy_from_file")
        assert str(file) in refused.json()["error"]["message"]
    assert operator.get("policies/settings").json()["file"] == str(file)
    push(customer, ANY, activate=True)  # a tenant's own is not in that file
    policies.import_file(FIRST, policies.Vetted(), actor=TESTER)
    assert operator.post("policies/dry-run", {"source": ANY}).json()["old"]["origin"] == "file"
    assert operator.get("policies/settings").json()["number"] == 2

    file.unlink()
    assert operator.post("policies/rollback").status_code == 204
    assert push(operator, FIRST, activate=True)["status"] == "active"


def test_bad_bodies_are_named(operator: Api) -> None:
    made = push(operator, ANY)

    for path, body in [
        ("policies", {"source": "fn route_task("}),
        ("policies", {"source": ANY, "on_error": "shrug"}),
        ("policies", {"source": ANY, "comment": "x" * 201}),
        ("policies/dry-run", {"source": ANY, "last": 0}),
        ("policies/dry-run", {"source": "fn route_task(task, workers) { task.modle }"}),
        (f"policies/{made['id']}/dry-run", {"last": 5001}),
        (f"policies/{made['id']}/activate", {"expected": 1}),
    ]:
        answer = operator.post(path, body)
        assert answer.status_code == 400, (path, body)
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
