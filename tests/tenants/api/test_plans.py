from __future__ import annotations

import pytest

from tenants.domain.authentication import find_caller
from tenants.domain.limit_shape import PerPeriod
from tests.factories.tenants import make_key, make_plan, make_project, make_tenant
from tests.inference.conftest import Api, audit_events


def test_plan_is_made_changed_and_deleted_while_nobody_is_on_it(operator: Api) -> None:
    made = operator.post(
        "plans",
        {"slug": "startup", "tier": "pro", "requests_per_minute": 600, "allowed_models": ["llama-*"],
         "gpu_classes": ["A100"], "region": "EU", "quantities": {"images": {"day": 100}, "tokens": {"day": 5}}},
    )  # fmt: skip
    assert made.status_code == 201
    assert {name: made.json()[name] for name in ("name", "tier", "tokens_per_minute", "quantities", "soft")} == {
        "name": "Startup", "tier": "pro", "tokens_per_minute": None,
        "quantities": {"images": {"day": 100}, "tokens": {"day": 5}}, "soft": False,
    }  # fmt: skip
    again = operator.post("plans", {"slug": "startup"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")

    assert (
        operator.patch("plans/startup", {"requests_per_minute": None}).json()["requests_per_minute"] is None
    )
    operator.post("tenants", {"slug": "acme", "plan": "startup"})
    assert operator.delete("plans/startup").status_code == 409
    operator.patch("tenants/acme", {"plan": "pro"})
    assert operator.delete("plans/startup").status_code == 200
    assert operator.get("plans/startup").status_code == 404
    assert operator.delete("plans/pro").status_code == 409  # ships with rbee
    assert [event for event in audit_events("plan.") if event != "plan.created"] == [
        "plan.changed",
        "plan.deleted",
    ]
    assert {"free", "pro", "enterprise"} <= {row["slug"] for row in operator.get("plans").json()["data"]}


@pytest.mark.parametrize(
    "quantities",
    [[], {"images": 5}, {"images": {"week": 5}}, {"images": {"day": -1}}, {"images": {"day": True}},
     {"images": {"day": 2**53}}, {"im ages": {"day": 1}}, {"images": {"day": 1.5}}],
)  # fmt: skip
def test_quantities_that_make_no_sense_are_refused(operator: Api, quantities: object) -> None:
    answer = operator.post("plans", {"slug": "odd", "quantities": quantities})

    assert answer.status_code == 400
    assert answer.json()["error"]["param"].startswith("quantities")


def test_tenants_caller_has_the_rights_of_its_plan_and_its_own_before_them(operator: Api) -> None:
    plan = make_plan(allowed_models=["llama-*"], gpu_classes=["A100"], region="EU")
    tenant = make_tenant(plan=plan)
    _, secret = make_key(make_project(tenant))
    caller = find_caller(secret)
    assert caller is not None
    assert (caller.allowed_models, caller.gpu_classes, caller.region) == (("llama-*",), {"A100"}, "EU")

    operator.patch(f"tenants/{tenant.slug}", {"allowed_models": [], "gpu_classes": ["H100"], "region": "US"})
    caller = find_caller(secret)
    assert caller is not None
    assert (caller.allowed_models, caller.gpu_classes, caller.region) == ((), {"H100"}, "US")


def test_tenants_limits_are_its_own_and_else_its_plans(operator: Api) -> None:
    plan = operator.post(
        "plans",
        {"slug": "monthly", "concurrent_tasks": 3, "quantities": {"tokens": {"day": 10, "month": 100}},
         "spend_micros": {"month": 7}},
    ).json()  # fmt: skip
    operator.post("tenants", {"slug": "acme", "plan": plan["slug"]})
    key = operator.post("keys", {"tenant": "acme"}).json()["key"]
    of_plan = find_caller(key)
    assert of_plan is not None
    assert (of_plan.limits.concurrent_tasks, of_plan.limits.tokens_per_day) == (3, 10)
    assert of_plan.levels.tenant.quantities == {"tokens": PerPeriod(month=100)}
    assert of_plan.levels.tenant.spend_micros == PerPeriod(month=7)

    operator.patch("limits/tenant/acme", {"quantities": {"tokens": {"day": 20}, "images": {"day": 2}}})
    own = find_caller(key)
    assert own is not None
    assert (own.limits.tokens_per_day, own.limits.concurrent_tasks) == (20, 3)
    assert own.levels.tenant.quantities == {"tokens": PerPeriod(month=100), "images": PerPeriod(day=2)}

    operator.patch("plans/monthly", {"quantities": None, "spend_micros": None, "soft": True})
    after = find_caller(key)
    assert after is not None
    assert (after.levels.tenant.quantities, after.levels.tenant.soft) == ({"images": PerPeriod(day=2)}, True)


def test_move_to_another_plan_and_back_never_meets_a_counter_of_before(operator: Api) -> None:
    for slug in ("one", "two"):
        operator.post("plans", {"slug": slug, "quantities": {"tokens": {"month": 100}}})
    operator.post("tenants", {"slug": "acme", "plan": "one"})
    key = operator.post("keys", {"tenant": "acme"}).json()["key"]
    versions = []
    for slug in ("two", "one", "two"):
        operator.patch("tenants/acme", {"plan": slug})
        caller = find_caller(key)
        assert caller is not None
        versions.append(caller.levels.tenant.version)

    assert versions == sorted(set(versions))


def test_plan_that_a_price_card_is_for_is_not_deleted(operator: Api) -> None:
    operator.post("plans", {"slug": "cheap"})
    assert operator.post("price-cards", {"slug": "cheap-card", "plan": "cheap"}).status_code == 201

    assert operator.delete("plans/cheap").json()["error"]["code"] == "state_conflict"
