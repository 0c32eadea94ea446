from __future__ import annotations

import pytest

from tenants.domain.authentication import find_caller
from tests.factories.tenants import make_key, make_plan, make_project, make_tenant
from tests.inference.conftest import Api, audit_events


def test_plan_is_made_changed_and_deleted_while_nobody_is_on_it(operator: Api) -> None:
    made = operator.post(
        "plans",
        {"slug": "startup", "tier": "pro", "requests_per_minute": 600, "allowed_models": ["llama-*"],
         "gpu_classes": ["A100"], "region": "EU", "quantities": {"images": {"day": 100, "month": None}}},
    )  # fmt: skip
    assert made.status_code == 201
    assert {name: made.json()[name] for name in ("name", "tier", "tokens_per_day", "quantities")} == {
        "name": "Startup", "tier": "pro", "tokens_per_day": None, "quantities": {"images": {"day": 100, "month": None}},
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

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "quantities")


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
