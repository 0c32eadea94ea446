"""What a plan and a tenant's state mean on /v1, from the operator's call to the next request, on one real server."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from inference.domain.bootstrap import prepare_colony
from tests.factories.tenants import PASSWORD, make_key, make_member, unique
from tests.inference.api.conftest import Colony
from tests.inference.api.test_answers import error
from tests.tenants.api.test_accounts import code_of


@pytest.fixture
def operator(business: Colony) -> httpx.Client:
    return business.call(make_key(prepare_colony(), scopes=["manage"])[1])


class Customer:
    """A tenant with a plan of its own, and a key."""

    def __init__(self, business: Colony, operator: httpx.Client, **plan: Any) -> None:
        self.business, self.operator, self.slug = business, operator, unique("acme")
        self.call("post", "plans", {"slug": self.slug, "tier": "pro", **plan})
        self.call("post", "tenants", {"slug": self.slug, "plan": self.slug})
        self.key = self.call("post", "keys", {"tenant": self.slug})["key"]

    def call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.operator.request(method, f"/api/v1/{path}", json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def ask(self, **fields: Any) -> httpx.Response:
        return self.business.ask("x", key=self.key, **fields)

    def wait_for(self, status: int) -> httpx.Response:
        """A second is what queens have to hear of a change."""
        answers: list[httpx.Response] = []

        def is_there() -> bool:
            answers.append(self.ask(max_tokens=5))
            return answers[-1].status_code == status

        self.business.wait_for(is_there, timeout_s=1)
        return answers[-1]


def test_models_that_a_plan_does_not_have_are_as_if_they_were_not_there(
    business: Colony, operator: httpx.Client
) -> None:
    business.add_model("llama-8b")
    customer = Customer(business, operator, allowed_models=["llama-*"])

    refused = customer.ask()
    assert (refused.status_code, error(refused)["type"], error(refused)["code"]) == (
        404, "invalid_request_error", "model_not_found",
    )  # fmt: skip
    client = business.call(customer.key)
    assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["llama-8b"]
    foreign, absent = client.get("/v1/models/m"), client.get("/v1/models/n")
    assert (foreign.status_code, error(foreign)["code"]) == (404, error(absent)["code"])

    customer.call("patch", f"tenants/{customer.slug}", {"allowed_models": ["m"]})
    customer.wait_for(200)
    customer.call("patch", f"tenants/{customer.slug}", {"allowed_models": None})
    customer.wait_for(404)
    customer.call("patch", f"plans/{customer.slug}", {"allowed_models": []})
    customer.wait_for(200)


def test_gpu_classes_of_a_plan_are_kept_whatever_a_script_chooses(
    business: Colony, operator: httpx.Client
) -> None:
    h100 = business.add_hive("m", labels={"gpu_type": "H100"})
    customer = Customer(business, operator, gpu_classes=["A100", "L40"])
    business.policy(
        'fn route_task(task, workers) { return workers.filter(|w| w.gpu_type != "A100").least_loaded(); }'
    )

    nobody = customer.ask()
    assert (nobody.status_code, error(nobody)["code"]) == (503, "no_workers")
    l40 = business.add_hive("m", labels={"gpu_type": "L40"})
    a100 = business.add_hive("m", labels={"gpu_type": "A100"})
    for _ in range(4):
        assert customer.ask(max_tokens=5).status_code == 200
    assert (len(l40.bodies), len(a100.bodies), len(h100.bodies), len(business.hive.bodies)) == (4, 0, 0, 0)

    customer.call("patch", f"tenants/{customer.slug}", {"gpu_classes": ["H100"]})
    business.wait_for(lambda: customer.ask(max_tokens=5).status_code == 200 and h100.bodies, timeout_s=1)


def test_region_of_a_plan_holds_where_a_tenant_names_none(business: Colony, operator: httpx.Client) -> None:
    us = business.add_hive("m", region="US")
    customer = Customer(business, operator, region="US")

    for _ in range(3):
        assert customer.ask(max_tokens=5).status_code == 200
    assert (len(us.bodies), len(business.hive.bodies)) == (3, 0)
    customer.call("patch", f"tenants/{customer.slug}", {"region": "EU"})
    business.wait_for(lambda: customer.ask(max_tokens=5).is_success and business.hive.bodies, timeout_s=1)


def test_quantities_of_a_plan_are_those_of_its_tenants_until_one_has_its_own(
    business: Colony, operator: httpx.Client
) -> None:
    customer = Customer(business, operator, quantities={"requests": {"month": 2}})

    assert [customer.ask(max_tokens=5).status_code for _ in range(2)] == [200, 200]
    refused = customer.ask(max_tokens=5)
    assert (refused.status_code, error(refused)["code"]) == (429, "quota_exceeded")
    customer.call("patch", f"limits/tenant/{customer.slug}", {"quantities": {"requests": {"month": 50}}})
    customer.wait_for(200)
    customer.call("patch", f"limits/tenant/{customer.slug}", {"quantities": None})
    customer.wait_for(429)
    customer.call("patch", f"plans/{customer.slug}", {"soft": True})
    assert "tenant requests_per_month" in customer.wait_for(200).headers["x-rbee-limit-warning"]


def test_price_of_a_plan_is_what_its_tenants_pay(business: Colony, operator: httpx.Client) -> None:
    customer = Customer(business, operator, spend_micros={"month": 1})
    assert customer.ask(max_tokens=5).status_code == 200  # the model is free for everybody

    prices = {"prompt_tokens": 10_000_000, "completion_tokens": 10_000_000}
    customer.call("post", "price-cards", {"slug": customer.slug, "plan": customer.slug})
    customer.call("post", f"price-cards/{customer.slug}/prices", {"model": "m", "prices": prices})

    refused = customer.wait_for(429)
    assert error(refused)["code"] == "insufficient_quota"


@pytest.mark.parametrize("how", ["suspended", "deleted", "archived"])
def test_keys_are_refused_at_once_and_let_in_again(
    business: Colony, operator: httpx.Client, how: str
) -> None:
    customer = Customer(business, operator)
    assert customer.ask(max_tokens=5).status_code == 200

    if how == "suspended":
        customer.call("post", f"tenants/{customer.slug}/suspend", {})
        customer.wait_for(401)
        customer.call("post", f"tenants/{customer.slug}/resume", {})
        customer.wait_for(200)
    elif how == "deleted":
        customer.call("delete", f"tenants/{customer.slug}", {"confirm": customer.slug})
        customer.wait_for(401)
        customer.call("post", f"tenants/{customer.slug}/restore", {})
        customer.wait_for(200)
    else:
        customer.call("post", "projects", {"slug": "second", "tenant": customer.slug})
        customer.call("delete", f"projects/default?tenant={customer.slug}", {})
        customer.wait_for(401)


def test_visit_of_the_operator_runs_no_model(business: Colony, operator: httpx.Client) -> None:
    customer = Customer(business, operator)
    visit = customer.call("post", f"tenants/{customer.slug}/impersonations", {"reason": "x", "write": True})

    refused = business.ask("x", key=visit["token"])

    assert (refused.status_code, error(refused)["code"]) == (401, "invalid_api_key")


def test_person_logs_in_with_a_second_factor_on_a_real_server(business: Colony) -> None:
    member = make_member(role="admin")
    login = {"email": member.user.email, "password": PASSWORD}
    first, second = business.call("-"), business.call("-")
    for client in (first, second):
        del client.headers["authorization"]
    first.base_url = f"{business.url}/_allauth/app/v1"
    first.headers["x-session-token"] = first.post("/auth/login", json=login).json()["meta"]["session_token"]
    first.post("/auth/reauthenticate", json={"password": PASSWORD}).raise_for_status()
    secret = first.get("/account/authenticators/totp").json()["meta"]["secret"]
    first.post("/account/authenticators/totp", json={"code": code_of(secret)}).raise_for_status()
    codes = first.get("/account/authenticators/recovery-codes").json()["data"]["unused_codes"]

    asked = second.post("/_allauth/app/v1/auth/login", json=login)
    second.headers["x-session-token"] = asked.json()["meta"]["session_token"]
    assert (asked.status_code, second.get("/api/v1/account").status_code) == (401, 401)
    done = second.post("/_allauth/app/v1/auth/2fa/authenticate", json={"code": codes[0]})
    second.headers["x-session-token"] = done.json()["meta"]["session_token"]

    assert second.get("/api/v1/account").json()["email"] == member.user.email
    with colony_tx("tests"):
        found = AuditEntry.objects.filter(object_ref=f"user:{member.user_id.hex}").order_by("id")
        assert list(found.values_list("event", flat=True)) == [
            "account.logged_in", "account.second_factor_added", "account.second_factor_added", "account.logged_in",
        ]  # fmt: skip
