"""Consent from /gdpr/consents to the next request, on one real server."""

from __future__ import annotations

import time

import httpx
import pytest

from gdpr.domain import consent_book
from gdpr.scope import colony_tx
from tenants.models import Member, Tenant
from tests.factories.tenants import PASSWORD, make_key, make_member, make_plan, make_project, make_tenant
from tests.inference.api.conftest import Colony
from tests.inference.api.test_answers import error

TEXT = "You may process what we send, to answer it."


class Customer:
    """A tenant, a key for models, and a key for data protection."""

    def __init__(self, business: Colony, **fields: object) -> None:
        self.business = business
        self.tenant = make_tenant(plan=make_plan(required_consents=fields.pop("required", [])), **fields)
        project = make_project(self.tenant)
        self.key = make_key(project, scopes=["inference"])[1]
        self.gdpr = business.call(make_key(project, scopes=["gdpr"])[1])
        assert self.call("POST", "consent-texts", purpose="health_data", text=TEXT).status_code == 201

    def call(self, method: str, path: str, **body: object) -> httpx.Response:
        return self.gdpr.request(method, f"/gdpr/{path}", json=body)

    def ask(self, **fields: object) -> httpx.Response:
        return self.business.ask("x", key=self.key, **fields)

    def wait_for(self, status: int, timeout_s: float = 1, **fields: object) -> float:
        began = time.monotonic()
        self.business.wait_for(lambda: self.ask(**fields).status_code == status, timeout_s=timeout_s)
        return time.monotonic() - began


def test_nothing_runs_without_a_consent_that_the_plan_requires(business: Colony) -> None:
    customer = Customer(business, required=["health_data"])
    refused = customer.ask()
    assert (refused.status_code, error(refused)["type"], error(refused)["code"]) == (
        403, "permission_error", "consent_required",
    )  # fmt: skip
    assert "health_data" in error(refused)["message"]

    given = customer.call("POST", "consents/health_data")

    assert given.status_code == 200, given.text
    assert given.json()["given"] is True
    assert given.json()["request_id"] == given.headers["x-request-id"]
    customer.wait_for(200)
    assert customer.call("DELETE", "consents/health_data").json()["given"] is False
    customer.wait_for(403)
    history = customer.call("GET", "consents?history=true").json()["data"]
    assert [row["given"] for row in history] == [False, True]
    assert customer.call("GET", "consents/health_data").json()["number"] == 2


def test_end_users_agree_each_for_themselves(business: Colony) -> None:
    customer = Customer(business, subject_consents=["health_data"])
    assert error(customer.ask())["code"] == "consent_required"
    assert "end user" in error(customer.ask())["message"]
    assert customer.ask(user="alice").status_code == 403

    customer.call("POST", "consents", purpose="health_data", subject="alice", locale="en")

    customer.wait_for(200, user="alice")
    assert customer.ask(user="alice", safety_identifier="bob").status_code == 403
    shown = customer.call("GET", "consents?subject=alice").json()["data"]
    assert [row["purpose"] for row in shown] == ["health_data"]
    assert "alice" not in str(shown)
    assert customer.call("GET", "consents").json()["data"] == []
    assert customer.call("DELETE", "consents?subject=alice").json()["data"][0]["given"] is False
    customer.wait_for(403, user="alice")


@pytest.mark.parametrize("whose", ["account", "end user"])
def test_a_lost_notice_costs_no_more_than_five_seconds(
    business: Colony, monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    name = {} if whose == "account" else {"user": "alice"}
    subject = {} if whose == "account" else {"subject": "alice"}
    settings = {"required": ["health_data"]} if whose == "account" else {"subject_consents": ["health_data"]}
    customer = Customer(business, **settings)
    customer.call("POST", "consents/health_data", **subject)
    customer.wait_for(200, **name)
    monkeypatch.setattr("tenants.domain.invalidation._announce", lambda message: None)

    assert customer.call("DELETE", "consents/health_data", **subject).status_code == 200

    # A queen remembers it for 4.5 s; the rest is the machine's, and `make accept-compliance` has the figure.
    assert customer.wait_for(403, timeout_s=10, **name) <= 10
    customer.call("POST", "consents/health_data", **subject)
    customer.wait_for(200, timeout_s=10, **name)


def test_a_known_end_user_costs_no_round_trip(business: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = Customer(business, subject_consents=["health_data"])
    customer.call("POST", "consents/health_data", subject="alice")
    customer.wait_for(200, user="alice")
    asked: list[str] = []
    read = consent_book.ConsentBook._read

    async def counted(book: consent_book.ConsentBook, whom: tuple[str, str]) -> frozenset[str]:
        asked.append(whom[1])
        return await read(book, whom)

    monkeypatch.setattr(consent_book.ConsentBook, "_read", counted)
    for _ in range(20):
        assert customer.ask(user="alice").status_code == 200
    assert len(asked) <= 1


def test_owner_and_data_protection_officer_answer_and_nobody_else(business: Colony) -> None:
    customer = Customer(business)
    may = {
        role: status_of(business, customer.tenant, role)
        for role in ("owner", "dpo", "admin", "developer", "viewer")
    }
    assert may == {"owner": 200, "dpo": 200, "admin": 403, "developer": 403, "viewer": 403}
    project = make_project(customer.tenant)
    for scope, status in {"gdpr": 200, "manage": 403, "read": 403, "inference": 403}.items():
        client = business.call(make_key(project, scopes=[scope])[1])
        assert client.get("/gdpr/consents").status_code == status, scope
        assert client.post("/gdpr/consents/health_data").status_code == status, scope
        assert client.delete("/gdpr/consents/health_data").status_code == status, scope


def test_what_makes_no_sense_is_refused_and_nobodys_is_absent(business: Colony) -> None:
    customer, stranger = Customer(business), Customer(business)
    customer.call("POST", "consents/health_data", subject="alice")

    assert customer.call("POST", "consents/marketing").status_code == 400
    assert customer.call("POST", "consents", purpose="Not one").status_code == 400
    assert customer.call("POST", "consents/health_data", text_sha256="0" * 64).status_code == 400
    assert customer.call("POST", "consents/health_data", nonsense=1).status_code == 400
    for path in ("consents/health_data?subject=alice", "consents/marketing?subject=alice"):
        assert stranger.call("GET", path).status_code == 404
        assert stranger.call("DELETE", path).status_code == 404


def status_of(business: Colony, tenant: Tenant, role: str) -> int:
    """Of giving by somebody who is logged in."""
    member = make_member(tenant, role)
    client = business.call("none")
    client.headers.pop("authorization")
    logged_in = client.post(
        "/_allauth/app/v1/auth/login", json={"email": member.user.email, "password": PASSWORD}
    )
    client.headers["x-session-token"] = logged_in.json()["meta"]["session_token"]
    status = client.post("/gdpr/consents/health_data").status_code
    with colony_tx("tests"):
        Member.objects.filter(id=member.id).delete()
    return status
