"""The routes, as they are without Stripe, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from django.http import HttpResponse

from billing.stripe_models import AutoRecharge, StripeRequest
from gdpr.scope import tenant_tx
from tests.billing.stripe.conftest import stripe_at
from tests.factories.stripe import balance_of, make_customer, make_payment, subscribed
from tests.factories.tenants import make_key, make_plan, make_project, make_tenant
from tests.inference.conftest import Api, mode, operator

__all__ = ["mode", "operator"]


def of(tenant: Any, *scopes: str) -> Api:
    return Api(make_key(make_project(tenant), scopes=list(scopes or ["manage"]))[1])


def code(answer: HttpResponse) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_without_stripe_everything_says_so_and_the_rest_works(operator: Api) -> None:
    customer = make_customer()
    api = of(customer.tenant)

    for answer in (
        api.post("billing/checkout", {"amount_micros": 25_000_000}),
        api.post("billing/portal"),
        api.get("billing/cards"),
        api.put("billing/auto-recharge", {"on": True}),
        api.post("billing/connect/onboarding"),
        api.delete("billing/subscription"),
    ):
        assert code(answer) == (409, "stripe_not_set_up")
        assert "RBEE_STRIPE_SECRET_KEY" in answer.json()["error"]["message"]
    assert api.get("billing/payments").json()["data"] == []
    assert api.get("billing/auto-recharge").json()["on"] is False
    assert api.get("billing/subscription").json()["data"] == []
    assert operator.get("billing/stripe").json()["is_set_up"] is False


def test_stripe_that_is_away_is_503_and_says_when_to_try(operator: Api) -> None:
    with stripe_at():
        answer = of(make_tenant()).post("billing/checkout", {"amount_micros": 25_000_000})
    assert code(answer) == (503, "stripe_unavailable")
    assert int(answer["Retry-After"]) > 0


@pytest.mark.parametrize("amount", [0, -1, 1, 4_999_999, 10_000_000_001, 25_000_001, 2**70, "x", 25.5, None])
def test_amount_out_of_bounds_is_refused_before_stripe_is_asked(operator: Api, amount: Any) -> None:
    with stripe_at():
        answer = of(make_tenant()).post("billing/checkout", {"amount_micros": amount})
    assert code(answer) == (400, "invalid_value")


def test_payments_are_seen_by_whose_they_are(operator: Api) -> None:
    customer, other = make_customer(), make_customer()
    payment = make_payment(customer, 1210, tax=210)
    api = of(customer.tenant)

    shown = api.get("billing/payments").json()["data"]
    assert [(one["id"], one["amount_micros"], one["tax_micros"]) for one in shown] == [
        (str(payment.id), 12_100_000, 2_100_000)
    ]
    assert api.get(f"billing/payments/{payment.id}").json()["status"] == "succeeded"
    assert of(other.tenant).get(f"billing/payments/{payment.id}").status_code == 404
    assert of(other.tenant).get(f"billing/payments/{payment.id}/refunds").status_code == 404
    assert of(customer.tenant, "read").get("billing/payments").status_code == 200
    assert of(customer.tenant, "inference").get("billing/payments").status_code == 403
    assert operator.get("billing/payments", tenant=customer.tenant.slug).json()["data"] == shown


def test_refund_is_the_operators_to_give(operator: Api) -> None:
    customer = make_customer()
    payment = make_payment(customer)
    path = f"billing/payments/{payment.id}/refunds"

    assert of(customer.tenant).post(path).status_code == 403
    assert code(operator.post(path)) == (409, "stripe_not_set_up")
    with stripe_at():
        made = operator.post(path, {"amount_micros": 4_000_000, "reason": "too much"})
        assert (made.status_code, made.json()["state"]) == (201, "pending")
        assert code(operator.post(path, {"amount_micros": 7_000_000})) == (400, "invalid_value")
    assert balance_of(customer) == 6_000_000
    assert [one["amount_micros"] for one in of(customer.tenant).get(path).json()["data"]] == [4_000_000]


def test_auto_recharge_needs_a_card_and_bounds(operator: Api) -> None:
    customer = make_customer()
    api = of(customer.tenant)
    wanted = {"threshold_micros": 10_000_000, "amount_micros": 50_000_000, "month_max_micros": 200_000_000}
    with stripe_at():
        assert code(api.put("billing/auto-recharge", wanted)) == (400, "invalid_value")
        with tenant_tx(customer.tenant_id):
            customer.payment_method_id = "pm_1"
            customer.save()
        assert code(api.put("billing/auto-recharge", {"on": True})) == (400, "invalid_value")
        assert code(api.put("billing/auto-recharge", {**wanted, "month_max_micros": 1})) == (
            400,
            "invalid_value",
        )
        assert api.put("billing/auto-recharge", wanted).json()["on"] is True
        with tenant_tx(customer.tenant_id):
            AutoRecharge.objects.update(paused_for="card_declined")
        changed = api.put("billing/auto-recharge", {"threshold_micros": 5_000_000}).json()
    assert (changed["threshold_micros"], changed["paused_for"]) == (5_000_000, "")


def test_subscription_is_ended_by_the_outbox(operator: Api) -> None:
    from billing.domain.subscriptions import match_subscription

    customer = make_customer()
    match_subscription(subscribed(customer))
    with stripe_at():
        assert of(customer.tenant).delete("billing/subscription").status_code == 202
    with tenant_tx(customer.tenant_id):
        assert [one.operation for one in StripeRequest.objects.all()] == ["end_subscription"]


def test_operator_says_by_which_price_a_plan_is_sold(operator: Api) -> None:
    plan = make_plan()
    path = f"billing/stripe/plans/{plan.slug}"

    assert operator.put(path, {"price": "price_123"}).json()["price"] == "price_123"
    assert operator.get(path).json()["price"] == "price_123"
    assert operator.put(path, {"price": "drop table"}).status_code == 400
    assert operator.put(path, {"price": ""}).json()["price"] == ""
    assert operator.put("billing/stripe/plans/nothing", {"price": ""}).status_code == 404
    with stripe_at():
        answer = of(make_tenant()).post("billing/subscription", {"plan": plan.slug})
    assert code(answer) == (400, "invalid_value")


def test_operator_keeps_meters(operator: Api) -> None:
    body = {"meter": "mtr_1", "units": ["prompt_tokens", "completion_tokens"]}

    assert operator.put("billing/stripe/meters/tokens", body).status_code == 200
    assert [one["event_name"] for one in operator.get("billing/stripe/meters").json()["data"]] == ["tokens"]
    assert operator.put("billing/stripe/meters/tokens", {**body, "units": []}).status_code == 400
    assert operator.delete("billing/stripe/meters/tokens").status_code == 200
    assert operator.delete("billing/stripe/meters/tokens").status_code == 404
