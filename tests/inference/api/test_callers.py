"""Who gets in, and how much they may ask."""

import re

import httpx

from tenants.domain.keys import revoke_api_key
from tenants.models import Project
from tests.factories.tenants import TESTER, make_key, make_plan, make_project, make_tenant
from tests.inference.api.conftest import Colony, chat
from tests.inference.api.test_answers import error


def test_business_lets_nobody_in_without_a_key(business: Colony) -> None:
    for path in ("/v1/models", "/v1/models/m", "/v1/chat/completions", "/openai/v1/completions"):
        for header in (None, "", "Basic abc", "Bearer", "Bearer wrong-key-1234", "Bearer " + "x" * 3000):
            method = "POST" if path.endswith("completions") else "GET"
            headers = {} if header is None else {"authorization": header}

            answer = httpx.request(method, business.url + path, headers=headers)

            assert (answer.status_code, error(answer)["code"]) == (401, "invalid_api_key")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "wrong-key" not in answer.text


def test_key_that_manages_is_no_inference_key_and_is_told_how_to_get_one(business: Colony) -> None:
    _, secret = make_key(scopes=["manage"])

    answer = business.call(secret).get("/v1/models")

    assert (answer.status_code, error(answer)["type"], error(answer)["code"]) == (
        403, "permission_error", "wrong_scope",
    )  # fmt: skip
    assert "rbee key create" in str(error(answer)["message"])


def test_revoked_key_is_refused_at_once(business: Colony) -> None:
    key, secret = make_key()
    assert business.call(secret).get("/v1/models").status_code == 200

    revoke_api_key(key, actor=TESTER)

    business.wait_for(lambda: business.call(secret).get("/v1/models").status_code == 401, timeout_s=1)


def test_key_that_was_brought_along_may_be_any_text(business: Colony) -> None:
    _, secret = make_key(value="customer-key-123 with any printable ✓ text")

    with_key = httpx.get(f"{business.url}/v1/models", headers={"authorization": f"Bearer {secret}".encode()})

    assert with_key.status_code == 200


def test_pages_may_call_a_business_with_a_key(business: Colony) -> None:
    page = {"origin": "https://customer.example"}
    asks = {
        **page,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type, x-stainless-lang",
    }

    preflight = httpx.options(f"{business.url}/v1/chat/completions", headers=asks)
    with_key = business.call(**page).get("/v1/models")
    without = httpx.get(f"{business.url}/v1/models", headers=page)

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert preflight.headers["access-control-allow-methods"] == "POST"
    assert preflight.headers["access-control-allow-headers"] == asks["access-control-request-headers"]
    assert with_key.headers["access-control-allow-origin"] == "*"
    assert "x-request-id" in with_key.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in without.headers


def test_limits_are_told_and_kept_whichever_key_asks(business: Colony) -> None:
    project = project_with(requests_per_minute=2)
    keys = [make_key(project)[1] for _ in range(3)]

    first, second, third = (business.ask("x", key=key) for key in keys)

    assert [answer.headers["x-ratelimit-remaining-requests"] for answer in (first, second)] == ["1", "0"]
    assert first.headers["x-ratelimit-limit-requests"] == "2"
    assert re.fullmatch(r"((\d+m)?\d+(\.\d+)?s|\d+ms)", first.headers["x-ratelimit-reset-requests"])
    assert (third.status_code, error(third)["code"]) == (429, "rate_limit_exceeded")
    assert 0 < int(third.headers["retry-after"]) <= 60
    assert len(business.hive.bodies) == 2


def test_quota_of_the_day_is_a_429_that_is_not_retried(business: Colony) -> None:
    key = business.key_of(tokens_per_day=10)

    answer = business.ask("x", key=key, max_tokens=50)

    assert (answer.status_code, error(answer)["type"]) == (429, "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    assert business.hive.bodies == []


def test_caller_without_limits_gets_no_headers_of_limits(business: Colony) -> None:
    assert [name for name in business.ask("x").headers if name.startswith("x-ratelimit")] == []


def test_priority_that_nobody_knows_is_a_400(business: Colony) -> None:
    for priority in ("urgent", "1", "high, low"):
        answer = business.call(**{"x-priority": priority}).post("/v1/chat/completions", json=chat("x"))

        assert (answer.status_code, error(answer)["param"]) == (400, "X-Priority")


def project_with(**limits: int) -> Project:
    return make_project(make_tenant(plan=make_plan(**limits)))
