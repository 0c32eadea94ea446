"""Limits of tenant, project, key and end user, through the front door."""

from __future__ import annotations

import time
from typing import Any

import pytest
import redis

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from tenants.domain.limits import set_limits
from tenants.models import WebhookEvent
from tests.factories.tenants import TESTER, make_key, make_project, make_tenant
from tests.inference.api.conftest import Colony
from tests.inference.api.test_answers import error

# Of the small hive: 3 tokens in, 2 out. Reserved are 2 for `x`, and what max_tokens says.
USED_TOKENS = 5


@pytest.fixture
def customer(business: Colony) -> dict[str, Any]:
    """A tenant of no limits; its project, and a key there."""
    project = make_project(make_tenant())
    key, secret = make_key(project)
    return {"tenant": project.tenant, "project": project, "key": key, "secret": secret}


def ask(business: Colony, customer: dict[str, Any], *, max_tokens: int = 10, **fields: Any) -> Any:
    return business.ask("x", key=customer["secret"], max_tokens=max_tokens, **fields)


def settled(business: Colony) -> None:
    business.wait_for(lambda: not business.queen.reserver.held)


@pytest.mark.parametrize("level", ["tenant", "project", "key"])
def test_a_quantity_of_a_day_is_corrected_to_what_was_used(
    business: Colony, customer: dict[str, Any], level: str
) -> None:
    set_limits(customer[level], {"quantities": {"tokens": {"month": 4 * USED_TOKENS + 1}}}, actor=TESTER)
    business.queen.callers.invalidate(None)
    for _ in range(2):
        assert ask(business, customer).status_code == 200
        settled(business)
    refused = ask(business, customer, max_tokens=17)
    assert (refused.status_code, error(refused)["code"]) == (429, "quota_exceeded")
    assert refused.headers["x-should-retry"] == "false"
    if level != "key":
        another = {**customer, "secret": make_key(customer["project"])[1]}
        assert ask(business, another, max_tokens=17).status_code == 429
    assert ask(business, customer, max_tokens=5).status_code == 200


def test_a_limit_counts_what_was_used_before_it_was_set(business: Colony, customer: dict[str, Any]) -> None:
    assert ask(business, customer).status_code == 200
    settled(business)
    business.send_receipts(business.hive, business.hive.receipt(business.hive.bodies[-1]))
    set_limits(customer["key"], {"quantities": {"tokens": {"day": USED_TOKENS + 10}}}, actor=TESTER)
    business.queen.callers.invalidate(None)
    assert ask(business, customer, max_tokens=9).status_code == 429
    assert ask(business, customer, max_tokens=5).status_code == 200


def test_money_is_reserved_at_its_most_and_corrected(business: Colony, customer: dict[str, Any]) -> None:
    from billing.domain.prices import set_price

    business.add_model("dear") if not business.queen.offer.find("dear") else None
    set_price("dear", {"prompt_tokens": 1_000_000, "completion_tokens": 2_000_000}, actor=TESTER)
    hive = business.add_hive("dear")
    business.queen.prices.invalidate()
    set_limits(customer["key"], {"spend_micros": {"day": 30}}, actor=TESTER)
    business.queen.callers.invalidate(None)
    assert ask(business, customer, model="dear", max_tokens=10).status_code == 200  # may cost 24, costs 7
    business.wait_for(lambda: not hive.running)
    settled(business)
    refused = ask(business, customer, model="dear", max_tokens=11)
    assert (refused.status_code, error(refused)["code"]) == (429, "insufficient_quota")
    assert "The budget of this key of 30 micro-units a day" in error(refused)["message"]
    assert ask(business, customer, model="dear", max_tokens=8).status_code == 200
    assert ask(business, customer, max_tokens=1000).status_code == 200  # another model, which is free


def test_end_users_have_a_minute_each(business: Colony, customer: dict[str, Any]) -> None:
    set_limits(customer["tenant"], {"requests_per_minute": 1}, actor=TESTER, of_subjects=True)
    business.queen.callers.invalidate(None)
    for user, status in (("one", 200), ("two", 200), ("one", 429), ("", 200), ("", 200)):
        assert ask(business, customer, **({"user": user} if user else {})).status_code == status


def test_a_soft_limit_warns_and_each_threshold_is_noted_once(
    business: Colony, customer: dict[str, Any]
) -> None:
    set_limits(customer["project"], {"quantities": {"requests": {"day": 4}}, "soft": True}, actor=TESTER)
    business.queen.callers.invalidate(None)
    warnings = []
    for _ in range(6):
        answer = ask(business, customer)
        assert answer.status_code == 200
        warnings.append(answer.headers.get("x-rbee-limit-warning"))
        settled(business)
    assert warnings == [None, None, None, "project requests_per_day 100%", "project requests_per_day 125%",
                        "project requests_per_day 150%"]  # fmt: skip

    def noted() -> list[int]:
        with colony_tx("tests"):
            entries = AuditEntry.objects.filter(event="limit.reached", tenant_id=customer["tenant"].id)
            return sorted(entry.details["percent"] for entry in entries)

    business.wait_for(lambda: len(noted()) == 3)
    time.sleep(0.2)
    assert noted() == [50, 80, 100]
    with colony_tx("tests"):
        told = WebhookEvent.objects.filter(type="limit.reached", tenant_id=customer["tenant"].id)
        assert sorted((event.data["percent"], event.data["allowed"]) for event in told) == [
            (50, 4),
            (80, 4),
            (100, 4),
        ]


def test_a_failure_costs_nothing_of_a_quantity(business: Colony, customer: dict[str, Any]) -> None:
    set_limits(customer["key"], {"quantities": {"requests": {"day": 1}}}, actor=TESTER)
    business.queen.callers.invalidate(None)
    for _ in range(2):
        assert business.ask("crash", key=customer["secret"]).status_code == 500
        settled(business)
    assert ask(business, customer).status_code == 200
    assert ask(business, customer).status_code == 429


def test_nothing_is_left_behind(business: Colony, customer: dict[str, Any]) -> None:
    set_limits(customer["key"], {"concurrent_tasks": 1}, actor=TESTER)
    business.queen.callers.invalidate(None)
    for _ in range(3):
        assert ask(business, customer).status_code == 200
        settled(business)
    with redis.Redis.from_url(business.redis_url) as client:
        assert not [name for name in client.keys("rbee:lim:*:tasks") if client.zcard(name)]
