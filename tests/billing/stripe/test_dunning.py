from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from billing.domain import dunning
from billing.domain.accounts import find_account
from billing.domain.dunning import run_dunning
from billing.domain.reversals import close_dispute, match_dispute
from billing.domain.subscriptions import match_subscription
from billing.enums import AccountState
from billing.stripe_models import Reversal, StripeCustomer, StripePlan, StripeSubscription
from gdpr.scope import tenant_tx
from tenants.models import Alert, Plan, Tenant, WebhookEvent
from tests.factories.stripe import disputed, make_customer, make_payment, subscribed
from tests.factories.tenants import TESTER, make_plan

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


def state(customer: StripeCustomer) -> str:
    with tenant_tx(customer.tenant_id):
        return find_account(customer.tenant_id).state


def test_account_that_does_not_pay_goes_down_step_by_step_and_up_by_paying() -> None:
    customer = make_customer()
    match_subscription(subscribed(customer, id="sub_dunning", status="past_due"))
    now = timezone.now()
    seen = []
    for days in (0, 6, 7.1, 20, 21.1):
        run_dunning(now + days * DAY)
        seen.append(state(customer))

    assert seen == ["past_due", "past_due", "restricted", "restricted", "suspended"]
    with tenant_tx(customer.tenant_id):
        told = [
            event.data["state"]
            for event in WebhookEvent.objects.filter(type="billing.state_changed").order_by("id")
        ]
        assert told == ["past_due", "restricted", "suspended"]
        assert Alert.objects.filter(kind="account_past_due").count() == 1  # mailed to those who can pay
        assert Tenant.objects.filter(id=customer.tenant_id, deletes_at=None).exists()
    match_subscription(subscribed(customer, id="sub_dunning", status="active"))
    run_dunning(now + 22 * DAY)
    assert state(customer) == "active"


def test_running_twice_changes_nothing() -> None:
    customer = make_customer()
    match_subscription(subscribed(customer, status="unpaid"))
    now = timezone.now()

    assert run_dunning(now) >= 1
    assert run_dunning(now) == 0
    assert state(customer) == "past_due"


def test_dispute_restricts_until_it_is_won_or_closed() -> None:
    customer = make_customer()
    payment = make_payment(customer)
    said = disputed(payment, 1000)

    def told(status: str) -> str:
        with tenant_tx(customer.tenant_id):
            match_dispute(payment, disputed(payment, 1000, id=said.id, status=status))
        run_dunning()
        return state(customer)

    assert [told("needs_response"), told("lost")] == ["restricted", "restricted"]
    with tenant_tx(customer.tenant_id):
        reversal = Reversal.objects.get()
    close_dispute(reversal, actor=TESTER)
    run_dunning()
    assert state(customer) == "active"


def test_other_parts_say_what_is_overdue(monkeypatch: pytest.MonkeyPatch) -> None:
    customer = make_customer(prepaid=False)
    since = timezone.now() - 8 * DAY

    def invoices(now: datetime) -> dunning.Overdue:
        return {customer.tenant_id: since}

    monkeypatch.setattr(dunning, "SOURCES", [dunning.overdue_subscriptions, invoices])
    run_dunning()
    assert state(customer) == AccountState.RESTRICTED
    monkeypatch.undo()
    run_dunning()
    assert state(customer) == AccountState.ACTIVE


def test_tenant_is_on_the_plan_that_it_pays_for() -> None:
    Plan.objects.get_or_create(slug="free", defaults={"name": "Free", "tier": "free"})
    plan = make_plan()
    StripePlan.objects.create(plan=plan, price_id="price_of_the_plan")
    customer = make_customer()
    said = subscribed(customer, price_id="price_of_the_plan", status="incomplete")

    def plan_after(status: str) -> str:
        match_subscription(subscribed(customer, id=said.id, price_id="price_of_the_plan", status=status))
        with tenant_tx(customer.tenant_id):
            return Tenant.objects.get(id=customer.tenant_id).plan.slug

    before = plan_after("incomplete")
    assert before != plan.slug
    assert [plan_after("active"), plan_after("past_due"), plan_after("canceled")] == [
        plan.slug,
        plan.slug,
        "free",
    ]
    with tenant_tx(customer.tenant_id):
        row = StripeSubscription.objects.get()
        assert (row.status, row.past_due_since) == ("canceled", None)
    assert not match_subscription(subscribed(customer, customer_id="cus_nobody"))
