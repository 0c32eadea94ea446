"""Plans: what the tenants on them may use. Kept by the operator; one that is changed holds for its tenants at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import IntegrityError
from django.db.models import ProtectedError

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.limit_shape import RATES, LimitsRefused, changed
from tenants.domain.limits import limits_of_target, store_limits
from tenants.domain.tenancy import PLANS, StateRefused, TenantRefused, TenantTaken
from tenants.models import Plan, Tenant

FIELDS: Final = ("name", "tier", "allowed_models", "gpu_classes", "region", "required_consents")
LIMITS: Final = (*RATES, "quantities", "spend_micros", "soft")


def create_plan(*, slug: str, actor: Actor, **fields: Any) -> Plan:
    """`fields`: some of `FIELDS` and `LIMITS`. Raises TenantTaken and TenantRefused."""
    plan = Plan(slug=slug, name=slug.capitalize(), tier=slug)
    for name in FIELDS:
        setattr(plan, name, fields.get(name, getattr(plan, name)))
    _set_limits(plan, fields)
    try:
        with colony_tx("plan created"):
            plan.save(force_insert=True)
            record("plan.created", actor=actor, object_ref=_ref(plan), details=fields)
    except IntegrityError:
        raise TenantTaken("slug", f"There is a plan {slug} already.") from None
    return plan


def update_plan(plan: Plan, changes: Mapping[str, Any], *, actor: Actor) -> Plan:
    """`changes`: some of `FIELDS`, and of `LIMITS`, of which null takes one away. Raises TenantRefused."""
    with colony_tx("plan changed"):
        plan = Plan.objects.select_for_update().get(id=plan.id)
        details = {
            name: value for name, value in changes.items() if name in FIELDS and getattr(plan, name) != value
        }
        for name, value in details.items():
            setattr(plan, name, value)
        before = limits_of_target(plan)
        names = [*details, *_set_limits(plan, changes)]
        if limits_of_target(plan) != before:
            details |= {name: changes[name] for name in LIMITS if name in changes}
        if details:
            plan.save(update_fields=names)
            record("plan.changed", actor=actor, object_ref=_ref(plan), details=details)
            announce_after_commit("keys")
    return plan


def delete_plan(plan: Plan, *, actor: Actor) -> None:
    """Raises StateRefused for one that a tenant is on or a price is for, and for those that rbee ships."""
    if plan.slug in PLANS:
        raise StateRefused("plan", f"{plan.slug} comes with rbee and would be back at the next start.")
    with colony_tx("plan deleted"):
        Plan.objects.select_for_update().get(id=plan.id)
        if count := Tenant.objects.filter(plan=plan).count():
            raise StateRefused(
                "plan", f"{count} tenants are on {plan.slug}; move them to another plan first."
            )
        try:
            plan.delete()
        except ProtectedError:
            raise StateRefused("plan", f"{plan.slug} is in use; what uses it goes first.") from None
        record("plan.deleted", actor=actor, object_ref=f"plan:{plan.slug}")


def _set_limits(plan: Plan, changes: Mapping[str, Any]) -> list[str]:
    try:
        after = changed(limits_of_target(plan), {name: changes[name] for name in LIMITS if name in changes})
    except LimitsRefused as refused:
        raise TenantRefused(refused.param, str(refused)) from None
    return store_limits(plan, after)


def _ref(plan: Plan) -> str:
    return f"plan:{plan.slug}"
