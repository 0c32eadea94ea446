"""Subscriptions to plans, as Stripe has them: a tenant is on the plan that it pays for."""

from __future__ import annotations

from typing import Final

from django.utils import timezone

from billing.domain.stripe_outbox import STRIPE
from billing.domain.stripe_payments import tenant_of
from billing.stripe_models import StripePlan, StripeSubscription
from billing.stripe_types import Subscribed
from gdpr.scope import tenant_tx
from tenants.domain.tenant_life import update_tenant
from tenants.models import Plan, Tenant

PAYING: Final = frozenset({"active", "trialing"})
FAILING: Final = frozenset({"past_due", "unpaid"})
OVER: Final = frozenset({"canceled", "incomplete_expired"})
AFTERWARDS: Final = "free"  # the plan of who has none to pay for


def match_subscription(subscribed: Subscribed) -> bool:
    """As it is at Stripe. Whether it is of one of ours."""
    tenant_id = tenant_of(subscribed.customer_id)
    if tenant_id is None:
        return False
    sold = StripePlan.objects.select_related("plan").filter(price_id=subscribed.price_id).first()
    with tenant_tx(tenant_id):
        known = StripeSubscription.objects.filter(subscription_id=subscribed.id).first()
        if known is None:
            known = StripeSubscription(
                subscription_id=subscribed.id, tenant_id=tenant_id, created_at=subscribed.created_at
            )
        was_over = known.status in OVER
        known.status, known.period_ends_at = subscribed.status, subscribed.period_ends_at
        known.ends_at_period = subscribed.ends_at_period
        known.plan = sold.plan if sold else None
        is_failing = subscribed.status in FAILING
        known.past_due_since = (known.past_due_since or timezone.now()) if is_failing else None
        known.save()
        if subscribed.status in PAYING and sold is not None:
            _move(known, sold.plan)
        elif subscribed.status in OVER and not was_over and known.plan is not None:
            _move_away(known)
    return True


def _move(subscription: StripeSubscription, plan: Plan) -> None:
    tenant = Tenant.objects.get(id=subscription.tenant_id)
    if tenant.plan_id != plan.id:
        update_tenant(tenant.id, {"plan": plan.slug}, actor=STRIPE)


def _move_away(subscription: StripeSubscription) -> None:
    """Unless it is on another plan since."""
    tenant = Tenant.objects.get(id=subscription.tenant_id)
    others = StripeSubscription.objects.filter(status__in=PAYING).exclude(pk=subscription.pk)
    if tenant.plan_id != subscription.plan_id or others.exists():
        return
    if Plan.objects.filter(slug=AFTERWARDS).exists():
        update_tenant(tenant.id, {"plan": AFTERWARDS}, actor=STRIPE)
