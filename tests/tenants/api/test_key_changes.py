from __future__ import annotations

import dataclasses
import ipaddress
import time
from concurrent.futures import Future

import pytest
from django.conf import settings
from django.core.cache import cache

from gdpr.scope import colony_tx
from tenants.api import key_leaks
from tenants.api.throttles import AddressThrottle
from tenants.domain.authentication import find_caller
from tenants.domain.key_leaks import report_leak
from tenants.domain.keys import revoke_api_key
from tenants.models import ApiKey
from tests.factories.tenants import TESTER, make_key, make_project
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import member_of

EDITED = {
    "name": "batch",
    "scopes": ["inference", "read"],
    "allowed_models": ["qwen*"],
    "allowed_ips": ["192.0.2.0/24"],
    "expires_at": "2099-01-01T00:00:00Z",
    "budget": {"day": None, "month": 25_000_000},
}


def test_key_is_made_and_changed_with_all_that_it_takes(operator: Api) -> None:
    made = operator.post("keys", {**EDITED, "budget": {"month": 25_000_000}})
    plain = operator.post("keys", {"name": "plain"}).json()
    changed = operator.patch(f"keys/{plain['kid']}", {**EDITED, "budget": {"month": 25_000_000}})

    assert (made.status_code, changed.status_code) == (201, 200), changed.content
    for answer in (made, changed, operator.get(f"keys/{plain['id']}")):
        assert {name: answer.json()[name] for name in EDITED} == EDITED
        assert answer.json()["status"] == "active"
    assert operator.get(f"limits/key/{plain['kid']}").json()["spend_micros"] == {"month": 25_000_000}
    back = operator.patch(f"keys/{plain['kid']}", {"allowed_models": [], "allowed_ips": [], "expires_at": None,
                                                   "budget": None})  # fmt: skip
    shown = {name: back.json()[name] for name in ("allowed_models", "allowed_ips", "expires_at", "budget")}
    assert shown == {
        "allowed_models": [], "allowed_ips": [], "expires_at": None, "budget": {"day": None, "month": None},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\u0007b"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["root"]}, "scopes"),
        ({"allowed_models": ["a b"]}, "allowed_models"),
        ({"allowed_models": "qwen"}, "allowed_models"),
        ({"allowed_ips": ["here"]}, "allowed_ips"),
        ({"allowed_ips": ["10.0.0.1/8"]}, "allowed_ips"),
        ({"allowed_ips": ["x" * 50]}, "allowed_ips"),
        ({"budget": {"year": 1}}, "budget"),
        ({"budget": {"day": -1}}, "budget"),
        ({"budget": {"day": 2**53}}, "budget"),
        ({"budget": {"day": 1.5}}, "budget"),
        ({"budget": 5}, "budget"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"value": "another"}, "value"),
        ({"kid": "x"}, "kid"),
    ],
)
def test_change_that_makes_no_sense_is_refused_by_name(
    operator: Api, body: dict[str, object], param: str
) -> None:
    kid = operator.post("keys", {"name": "k"}).json()["kid"]

    answer = operator.patch(f"keys/{kid}", body)

    assert answer.status_code == 400, answer.content
    assert (answer.json()["error"]["param"] or "").partition(".")[0] == param


def test_change_of_what_was_not_read_is_refused(operator: Api) -> None:
    kid = operator.post("keys", {"name": "k"}).json()["kid"]
    read = operator.get(f"keys/{kid}")
    with colony_tx("tests"):
        ApiKey.objects.filter(kid=kid).update(last_used_at="2026-01-01T00:00:00Z")  # is nobody's change

    def patch(name: str, tag: str) -> int:
        return operator.client.patch(
            f"/api/v1/keys/{kid}", {"name": name}, "application/json", headers={"if-match": tag}
        ).status_code

    assert patch("one", read["etag"]) == 200
    assert patch("two", read["etag"]) == 412
    assert patch("three", operator.get(f"keys/{kid}")["etag"]) == 200
    assert operator.get(f"keys/{kid}").json()["name"] == "three"


def test_key_that_is_over_is_a_conflict(operator: Api) -> None:
    key, _ = make_key()
    revoke_api_key(key, actor=TESTER)

    for answer in (operator.patch(f"keys/{key.kid}", {"name": "x"}), operator.post(f"keys/{key.kid}/rotate")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "state_conflict")
    assert operator.get(f"keys/{key.kid}").json()["status"] == "revoked"


def test_rotated_key_shows_its_value_once_and_what_goes_on_beside_it(operator: Api) -> None:
    before = operator.post("keys", {"name": "app"}).json()

    rotated = operator.post(f"keys/{before['kid']}/rotate", {"overlap_s": 3600})

    assert rotated.status_code == 200
    after = rotated.json()
    assert (after["id"], after["name"], after["status"]) == (before["id"], "app", "active")
    assert after["key"].startswith(f"rbee_live_{after['kid']}_")
    assert (after["previous"]["kid"], after["previous"]["last4"]) == (before["kid"], before["last4"])
    assert find_caller(before["key"]) is not None
    for name in (before["kid"], after["kid"], before["id"]):
        shown = operator.get(f"keys/{name}")
        assert after["key"] not in shown.content.decode()
        assert shown.json()["kid"] == after["kid"]
    assert audit_events("key.")[-1] == "key.rotated"
    for wrong in (-1, 31 * 86_400, "soon", None):
        assert operator.post(f"keys/{after['kid']}/rotate", {"overlap_s": wrong}).status_code == 400


def test_lists_are_filtered(operator: Api) -> None:
    project = make_project()
    other = make_project(project.tenant)
    reading, _ = make_key(project, name="Reads at night", scopes=["read"])
    elsewhere, _ = make_key(other, name="elsewhere")
    gone, _ = make_key(project, name="gone")
    revoke_api_key(gone, actor=TESTER)
    expired, _ = make_key(project, name="expired")
    with colony_tx("tests"):
        ApiKey.objects.filter(id=expired.id).update(expires_at="2026-01-01T00:00:00Z")

    def kids(**query: object) -> set[str]:
        rows = operator.get("keys", tenant=project.tenant.slug, **query).json()["data"]
        return {row["kid"] for row in rows}

    assert kids() == {reading.kid, elsewhere.kid, expired.kid}
    assert kids(project=other.slug) == {elsewhere.kid}
    assert kids(scope="read") == {reading.kid}
    assert kids(name="NIGHT") == {reading.kid}
    assert kids(status="active") == {reading.kid, elsewhere.kid}
    assert kids(status="expired") == {expired.kid}
    assert kids(status="revoked") == {gone.kid}
    assert operator.get("keys", status="lost").status_code == 400
    first = operator.get("keys", tenant=project.tenant.slug, limit=2).json()
    rest = operator.get("keys", tenant=project.tenant.slug, limit=2, cursor=first["next_cursor"]).json()
    assert len({row["kid"] for row in first["data"] + rest["data"]}) == 3


def test_who_may_do_less_takes_no_key_over(operator: Api) -> None:
    project = make_project()
    strong, _ = make_key(project, scopes=["manage"])
    weak, _ = make_key(project, budget={"day": 5})
    _, developer = member_of(project.tenant, "developer")

    for answer in (
        developer.patch(f"keys/{strong.kid}", {"name": "mine"}),
        developer.post(f"keys/{strong.kid}/rotate"),
        developer.patch(f"keys/{weak.kid}", {"budget": None}),
    ):
        assert answer.status_code == 403
    more = developer.patch(f"keys/{weak.kid}", {"scopes": ["manage"]})
    insists = developer.post("keys", {"name": "x", "value": "abc", "allow_weak": True})
    assert (more.status_code, more.json()["error"]["param"]) == (400, "scopes")
    assert (insists.status_code, insists.json()["error"]["param"]) == (400, "allow_weak")
    assert developer.patch(f"keys/{weak.kid}", {"name": "mine"}).status_code == 200


def test_key_of_another_tenant_is_no_key(operator: Api) -> None:
    foreign, _ = make_key()
    customer = Api(make_key(scopes=["manage"])[1])

    for name in (foreign.kid, str(foreign.id)):
        for here, there in (
            (customer.get(f"keys/{name}"), customer.get("keys/nosuchkey")),
            (customer.patch(f"keys/{name}", {"name": "x"}), customer.patch("keys/nosuchkey", {"name": "x"})),
            (customer.post(f"keys/{name}/rotate"), customer.post("keys/nosuchkey/rotate")),
            (customer.delete(f"keys/{name}"), customer.delete("keys/nosuchkey")),
        ):
            assert (here.status_code, here.content) == (404, there.content)


def test_reading_key_sees_and_changes_nothing(operator: Api) -> None:
    project = make_project()
    reading = Api(make_key(project, scopes=["read"])[1])

    for path in ("keys", "projects", "members", "webhooks", "usage", "limits"):
        assert reading.get(path).status_code == 200, path
    assert reading.get("hives").status_code == 403
    refused = reading.post("keys", {"name": "x"})
    assert (refused.status_code, "changes nothing" in refused.json()["error"]["message"]) == (403, True)


def test_address_of_a_key_is_believed_from_trusted_proxies_only(operator: Api) -> None:
    _, secret = make_key(scopes=["manage"], allowed_ips=["192.0.2.0/24"])
    from_there = Api(secret, **{"x-forwarded-for": "192.0.2.7"})

    refused = from_there.get("keys")
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "ip_not_authorized")
    before = settings.RBEE
    settings.RBEE = dataclasses.replace(before, trusted_proxies=(ipaddress.ip_network("127.0.0.1/32"),))
    try:
        assert from_there.get("keys").status_code == 200
        assert Api(secret, **{"x-forwarded-for": "192.0.2.7, 203.0.113.1"}).get("keys").status_code == 401
    finally:
        settings.RBEE = before


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the test's own thread, which alone sees what it has not committed."""

    class Here:
        def submit(self, report, value):  # type: ignore[no-untyped-def]
            done: Future[None] = Future()
            done.set_result(report_leak(value))
            return done

    monkeypatch.setattr(key_leaks, "_worker", Here())
    cache.clear()  # of what other tests asked for in this minute


def report(value: object, **headers: str):  # type: ignore[no-untyped-def]
    began = time.monotonic()
    answer = Api(**headers).post("keys/report-leak", {"key": value})
    return answer, time.monotonic() - began


def test_whoever_has_a_key_ends_it_and_learns_nothing(operator: Api, reports: None) -> None:
    (_, known), (_, other), (revoked_key, revoked) = make_key(), make_key(), make_key()
    revoke_api_key(revoked_key, actor=TESTER)

    answers = [
        report(value) for value in (known, known, revoked, "rbee_live_nobody", "not a key", other[:-1] + "é")
    ]

    assert {(answer.status_code, answer.content) for answer, _ in answers} == {
        (202, b'{"object":"key.leak_report","received":true}')
    }
    assert all(0.3 <= took_s < 1 for _, took_s in answers)
    assert find_caller(known) is None
    assert find_caller(other) is not None
    assert audit_events("key.leak") == ["key.leak_reported"]


def test_report_needs_no_other_credential_not_even_a_good_one(operator: Api, reports: None) -> None:
    _, value = make_key()

    answer, _ = report(value, authorization=f"Bearer {value[:-1]}")

    assert (answer.status_code, find_caller(value)) == (202, None)
    for body in ({}, {"key": ""}, {"key": 5.5, "more": 1}, {"key": "x" * 513}):
        assert Api().post("keys/report-leak", body).status_code == 400


def test_reports_are_few_from_one_address(
    operator: Api, reports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_leaks, "ANSWERED_AFTER_S", 0.0)
    monkeypatch.setattr("tenants.api.throttles.time.time", lambda: 1_800_000_000.0)

    seen = [report("nobody")[0] for _ in range(11)]

    assert [answer.status_code for answer in seen] == [202] * 10 + [429]
    assert 0 < int(seen[-1]["retry-after"]) <= 61


def test_reports_are_few_from_one_address_also_without_redis(
    operator: Api, reports: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_leaks, "ANSWERED_AFTER_S", 0.0)
    monkeypatch.setattr("tenants.api.throttles.time.time", lambda: 1_800_000_060.0)
    monkeypatch.setattr("tenants.api.throttles.cache", _Away())
    AddressThrottle._alone.clear()

    assert [report("nobody")[0].status_code for _ in range(11)] == [202] * 10 + [429]


class _Away:
    def add(self, *_: object) -> None:
        raise ValueError

    incr = add
