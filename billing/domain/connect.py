"""Tenants that sell their GPUs through this platform, by accounts of their own that are connected to it at Stripe. Of what
their customers pay, Stripe gives them all but the platform's fee."""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from django.conf import settings

from billing import stripe_gateway as gateway
from billing.stripe_models import ConnectedAccount, StripeCustomer
from billing.stripe_types import Connected, Page
from gdpr.domain.audit import Actor, record
from gdpr.ids import uuid7
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Tenant


class Share(NamedTuple):
    account_id: str
    basis_points: int


def open_onboarding(tenant: Tenant, *, email: str, country: str, return_url: str, actor: Actor) -> Page:
    """Stripe's pages on which a seller says who they are. Raises StripeFailure."""
    with tenant_tx(tenant.id):
        known = ConnectedAccount.objects.filter(tenant_id=tenant.id).first()
    if known is None:
        made = gateway.create_seller(
            email=email,
            country=country,
            metadata={"rbee_tenant": tenant.id.hex},
            key=f"seller:{tenant.id.hex}",
        )
        with tenant_tx(tenant.id):
            known, is_new = ConnectedAccount.objects.get_or_create(
                tenant_id=tenant.id, defaults={"account_id": made.id}
            )
            if is_new:
                record("seller.connected", actor=actor, object_ref=f"tenant:{tenant.id.hex}")
    return gateway.open_onboarding(
        account_id=known.account_id, return_url=return_url, key=f"onboarding:{uuid7().hex}"
    )


def set_fee(tenant_id: UUID, basis_points: int | None, *, actor: Actor) -> ConnectedAccount | None:
    """None when the tenant is no seller."""
    with tenant_tx(tenant_id):
        known = ConnectedAccount.objects.select_for_update().filter(tenant_id=tenant_id).first()
        if known is not None and known.fee_basis_points != basis_points:
            known.fee_basis_points = basis_points
            known.save(update_fields=["fee_basis_points"])
            record(
                "seller.fee_changed",
                actor=actor,
                object_ref=f"tenant:{tenant_id.hex}",
                details={"basis_points": basis_points},
            )
        return known


def set_seller(customer: StripeCustomer, seller: Tenant | None, *, actor: Actor) -> None:
    with colony_tx("whose GPUs a tenant pays for"):
        StripeCustomer.objects.filter(tenant_id=customer.tenant_id).update(seller=seller)
        record(
            "seller.assigned",
            actor=actor,
            tenant_id=customer.tenant_id,
            object_ref=f"tenant:{customer.tenant_id.hex}",
            details={"seller": seller.id.hex if seller else None},
        )


def match_seller(connected: Connected) -> bool:
    """As it is at Stripe. Whether it is one of ours."""
    with colony_tx("a seller changed at Stripe"):
        return bool(
            ConnectedAccount.objects.filter(account_id=connected.id).update(may_charge=connected.may_charge)
        )


def share_of(customer: StripeCustomer) -> Share | None:
    """Who gets what of a customer's payments; None when all of it is the platform's."""
    if customer.seller_id is None:
        return None
    with colony_tx("the account of a seller"):
        account = ConnectedAccount.objects.filter(tenant_id=customer.seller_id, may_charge=True).first()
    if account is None:
        return None
    fee = account.fee_basis_points
    return Share(account.account_id, settings.RBEE.stripe_fee_basis_points if fee is None else fee)


def fee_of(amount: int, basis_points: int) -> int:
    return amount * basis_points // 10_000
