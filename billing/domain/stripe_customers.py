"""A tenant as Stripe's customer, and the pages of Stripe's that it is sent to: to pay, to subscribe, to see to its cards."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings

from billing import stripe_gateway as gateway
from billing.domain.accounts import find_account
from billing.domain.connect import share_of
from billing.domain.payments import PaymentRefused
from billing.domain.stripe_money import to_minor
from billing.domain.stripe_outbox import ask_later
from billing.enums import BillingMode
from billing.models import BillingAccount
from billing.stripe_models import StripeCustomer, StripePlan, StripeSubscription
from billing.stripe_types import Page
from gdpr.domain.audit import Actor, record
from gdpr.ids import uuid7
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Plan, Tenant

OVER = ("canceled", "incomplete_expired")  # of a subscription
MICROS = 1_000_000


def check_amount(amount_micros: int, currency: str) -> int:
    """In minor units. Raises PaymentRefused."""
    least, most = settings.RBEE.stripe_topup_range
    if not least * MICROS <= amount_micros <= most * MICROS:
        raise PaymentRefused(f"A payment is from {least} to {most} {currency}.")
    try:
        return to_minor(amount_micros, currency)
    except ValueError as error:
        raise PaymentRefused(str(error)) from None


def open_topup(
    tenant: Tenant, amount_micros: int, *, saves_card: bool, return_url: str, actor: Actor
) -> Page:
    """Raises PaymentRefused, StripeFailure."""
    account = _account(tenant.id)
    amount = check_amount(amount_micros, account.currency)
    customer = ensure_customer(tenant, account, actor=actor)
    share = share_of(customer)
    shared: dict[str, Any] = {}
    metadata = {"rbee_tenant": tenant.id.hex, "rbee_kind": "topup"}
    if share is not None:
        shared = {"destination": share.account_id, "fee_basis_points": share.basis_points}
        metadata["rbee_shared"] = str(share.basis_points)
    page = gateway.open_topup(
        customer_id=customer.customer_id,
        amount=amount,
        currency=account.currency,
        name="Balance",
        saves_card=saves_card,
        metadata=metadata,
        success_url=_with(return_url, "paid"),
        cancel_url=_with(return_url, "cancelled"),
        key=f"topup:{uuid7().hex}",
        is_taxed=account.mode == BillingMode.PREPAID,
        **shared,
    )
    _tell(tenant.id, "checkout.opened", actor, {"amount_micros": str(amount_micros)})
    return page


def open_subscription(tenant: Tenant, plan: Plan, *, return_url: str, actor: Actor) -> Page:
    """Raises PaymentRefused, StripeFailure."""
    sold = StripePlan.objects.filter(plan=plan).first()
    if sold is None:
        raise PaymentRefused(f"Plan {plan.slug} is not sold by subscription.")
    account = _account(tenant.id)
    with tenant_tx(tenant.id):
        if StripeSubscription.objects.exclude(status__in=OVER).exists():
            raise PaymentRefused("There is a subscription already: change it by the portal.")
    customer = ensure_customer(tenant, account, actor=actor)
    page = gateway.open_subscription(
        customer_id=customer.customer_id,
        price_id=sold.price_id,
        metadata={"rbee_tenant": tenant.id.hex, "rbee_kind": "subscription"},
        success_url=_with(return_url, "paid"),
        cancel_url=_with(return_url, "cancelled"),
        key=f"subscribe:{uuid7().hex}",
    )
    _tell(tenant.id, "checkout.opened", actor, {"plan": plan.slug})
    return page


def end_subscription(subscription: StripeSubscription, *, actor: Actor) -> None:
    """When what is paid for is over."""
    with tenant_tx(subscription.tenant_id):
        key = f"end:{subscription.subscription_id}:{uuid7().hex}"
        ask_later(
            subscription.tenant_id,
            "end_subscription",
            key,
            {"subscription": subscription.subscription_id, "key": key},
        )
        _tell(subscription.tenant_id, "subscription.ended", actor, {})


def open_portal(tenant: Tenant, *, return_url: str, actor: Actor) -> Page:
    customer = ensure_customer(tenant, _account(tenant.id), actor=actor)
    return gateway.open_portal(
        customer_id=customer.customer_id, return_url=return_url, key=f"portal:{uuid7().hex}"
    )


def ensure_customer(tenant: Tenant, account: BillingAccount, *, actor: Actor) -> StripeCustomer:
    """Two at once make one: the key is the tenant's."""
    with tenant_tx(tenant.id):
        known = StripeCustomer.objects.filter(tenant_id=tenant.id).first()
    if known is not None:
        return known
    made = gateway.create_customer(
        name=account.legal_name or tenant.name,
        email=account.email,
        metadata={"rbee_tenant": tenant.id.hex},
        key=f"customer:{tenant.id.hex}",
    )
    with tenant_tx(tenant.id):
        known, is_new = StripeCustomer.objects.get_or_create(
            tenant_id=tenant.id, defaults={"customer_id": made}
        )
        if is_new:
            _tell(tenant.id, "stripe_customer.created", actor, {})
    return known


def set_plan_price(plan: Plan, price_id: str, *, actor: Actor) -> None:
    """An empty price: the plan is sold no more."""
    with colony_tx("by which price a plan is sold"):
        if price_id:
            StripePlan.objects.update_or_create(plan=plan, defaults={"price_id": price_id})
        else:
            StripePlan.objects.filter(plan=plan).delete()
        record(
            "plan.sold_by", actor=actor, object_ref=f"plan:{plan.slug}", details={"has_price": bool(price_id)}
        )


def _account(tenant_id: UUID) -> BillingAccount:
    with tenant_tx(tenant_id):
        return find_account(tenant_id)


def _tell(tenant_id: UUID, event: str, actor: Actor, details: dict[str, Any]) -> None:
    with tenant_tx(tenant_id):
        record(event, actor=actor, object_ref=f"tenant:{tenant_id.hex}", details=details)


def _with(url: str, outcome: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}checkout={outcome}"
