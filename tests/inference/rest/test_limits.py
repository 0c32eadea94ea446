from __future__ import annotations

import time
from typing import Any

import pytest
import redis
from django.conf import settings

from gdpr.scope import colony_tx
from tenants.domain.authentication import find_caller
from tenants.domain.limit_shape import NO_LIMITS, LevelLimits, PerPeriod
from tenants.models import ApiKey, Project, Tenant
from tests.factories.tenants import make_key, make_plan, make_project, make_tenant
from tests.inference.conftest import Api, audit_events


@pytest.fixture
def customer(operator: Api) -> tuple[ApiKey, str]:
    project = make_project(make_tenant(plan=make_plan(requests_per_minute=60)))
    key, secret = make_key(project, scopes=["manage", "inference"])
    key.tenant = project.tenant
    return key, secret


def put(api: Api, path: str, body: Any) -> Any:
    return api.client.put(f"/api/v1/{path}", body, "application/json")


def patch(api: Api, path: str, body: Any) -> Any:
    return api.client.patch(f"/api/v1/{path}", body, "application/json")


def test_limits_of_every_level_reach_the_caller(operator: Api, customer: tuple[ApiKey, str]) -> None:
    key, secret = customer
    slug, project = key.tenant.slug, key.project_id
    assert patch(operator, f"limits/tenant/{slug}", {"tokens_per_minute": 7}).status_code == 200
    assert (
        patch(
            operator, f"limits/tenant/{slug}", {"quantities": {"tokens": {"day": 8, "month": 9}}}
        ).status_code
        == 200
    )
    assert patch(operator, f"limits/subject/{slug}", {"requests_per_minute": 1}).status_code == 200
    assert put(operator, f"limits/project/{project}", {"concurrent_tasks": 2}).status_code == 200
    assert (
        put(operator, f"limits/key/{key.kid}", {"spend_micros": {"month": 5}, "soft": True}).status_code
        == 200
    )

    caller = find_caller(secret)
    assert caller is not None
    assert (caller.limits.tokens_per_minute, caller.limits.requests_per_minute) == (7, 60)  # the plan's
    assert caller.limits.tokens_per_day == 8
    assert caller.levels.tenant == LevelLimits(quantities={"tokens": PerPeriod(month=9)}, version=1)
    assert caller.levels.subject == LevelLimits(requests_per_minute=1)
    assert caller.levels.project == LevelLimits(concurrent_tasks=2)
    assert caller.levels.key == LevelLimits(spend_micros=PerPeriod(month=5), soft=True, version=1)
    assert audit_events("limits.") == ["limits.changed"] * 5


def test_a_change_keeps_what_it_does_not_name_and_a_replacement_does_not(
    operator: Api, customer: tuple[ApiKey, str]
) -> None:
    path = f"limits/key/{customer[0].kid}"
    put(
        operator,
        path,
        {"requests_per_minute": 5, "quantities": {"tokens": {"day": 1}, "images": {"month": 2}}},
    )
    changed = patch(operator, path, {"quantities": {"tokens": None}, "soft": True}).json()
    assert changed == {
        "object": "limits", "level": "key", "requests_per_minute": 5, "tokens_per_minute": None,
        "concurrent_tasks": None, "quantities": {"images": {"month": 2}}, "spend_micros": {}, "soft": True,
    }  # fmt: skip
    assert operator.get(path).json() == changed
    replaced = put(operator, path, {}).json()
    assert (replaced["requests_per_minute"], replaced["quantities"], replaced["soft"]) == (None, {}, False)
    with colony_tx("tests"):
        assert ApiKey.objects.get(id=customer[0].id).limits == {"version": 1}


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"requests_per_minute": -1}, "requests_per_minute"),
        ({"requests_per_minute": "5"}, "requests_per_minute"),
        ({"requests_per_hour": 5}, "limits"),
        ({"quantities": {"bananas": {"day": 1}}}, "quantities"),
        ({"quantities": {"tokens": {"week": 1}}}, "quantities"),
        ({"spend_micros": {"day": 1.5}}, "spend_micros.day"),
        ({"soft": None}, "soft"),
    ],
)
def test_nonsense_is_refused_by_name(
    operator: Api, customer: tuple[ApiKey, str], body: dict[str, Any], param: str
) -> None:
    refused = patch(operator, f"limits/key/{customer[0].kid}", body)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"].startswith(param)
    with colony_tx("tests"):
        assert ApiKey.objects.get(id=customer[0].id).limits == {}


def test_a_customer_narrows_its_own_and_nobody_elses(customer: tuple[ApiKey, str]) -> None:
    key, secret = customer
    theirs, other_project = Api(secret), make_project()
    other_key, _ = make_key(other_project)
    assert patch(theirs, f"limits/project/{key.project_id}", {"concurrent_tasks": 1}).status_code == 200
    assert patch(theirs, f"limits/subject/{key.tenant.slug}", {"concurrent_tasks": 1}).status_code == 200
    assert patch(theirs, f"limits/tenant/{key.tenant.slug}", {"requests_per_minute": None}).status_code == 403
    for path in (
        f"limits/key/{other_key.kid}",
        f"limits/project/{other_key.project_id}",
        f"limits/tenant/{other_project.tenant.slug}",
        f"limits/subject/{other_project.tenant.slug}",
        "limits/project/none",
        "limits/key/none",
    ):
        assert theirs.get(path).status_code == 404
        assert patch(theirs, path, {"soft": True}).status_code == 404
    with colony_tx("tests"):
        assert Tenant.objects.get(id=key.tenant_id).limits == {}
        assert Project.objects.get(id=key.project_id).limits == {"concurrent_tasks": 1}


def test_what_limits_stand_at(customer: tuple[ApiKey, str]) -> None:
    key, secret = customer
    theirs = Api(secret)
    patch(
        theirs,
        f"limits/key/{key.kid}",
        {"quantities": {"gpu_seconds": {"month": 10}, "tokens": {"day": 100}}},
    )
    tenant, now_ms = key.tenant_id.hex, int(time.time() * 1000)
    with redis.Redis.from_url(settings.RBEE.redis_url) as client:
        client.hset(f"rbee:lim:{tenant}:requests", mapping={"start": now_ms - 20_000, "used": 45})
        client.hset(
            f"rbee:lim:{tenant}:key:{key.id.hex}:tokens:day:1",
            mapping={"start": now_ms - now_ms % 86_400_000, "used": 30, "loaded": 1},
        )
    rows = {row["limit"]: row for row in theirs.get("limits").json()["data"]}
    assert {
        name: (row["level"], row["allowed"], row["used"], row["remaining"]) for name, row in rows.items()
    } == {
        "requests": ("tenant", 60, 45, 15),
        "tokens_per_day": ("key", 100, 30, 70),
        "gpu_seconds_per_month": ("key", 10, 0, 10),  # by the books
    }
    assert 35 <= rows["requests"]["resets_in_s"] <= 40
    assert 0 < rows["tokens_per_day"]["resets_in_s"] <= 86_400
    assert 0 < rows["gpu_seconds_per_month"]["resets_in_s"] <= 31 * 86_400


def test_a_limit_that_comes_later_has_counters_of_its_own(customer: tuple[ApiKey, str]) -> None:
    """What was counted for another limit knows nothing of the time in between."""
    key, secret = customer
    theirs, path = Api(secret), f"limits/key/{key.kid}"

    def version() -> int:
        with colony_tx("tests"):
            return int(ApiKey.objects.get(id=key.id).limits.get("version", 0))

    for body, expected in (
        ({"quantities": {"tokens": {"day": 5}}}, 1),
        ({"quantities": {"tokens": {"day": 50}}}, 1),
        ({"quantities": {"tokens": None}}, 1),
        ({"quantities": {"tokens": {"day": 5}}}, 2),
        ({"spend_micros": {"day": 5}}, 3),
    ):
        patch(theirs, path, body)
        assert version() == expected


def test_no_limits_are_none(customer: tuple[ApiKey, str]) -> None:
    caller = find_caller(customer[1])
    assert caller is not None
    assert caller.levels.key == NO_LIMITS
