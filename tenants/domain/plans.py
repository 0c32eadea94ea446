"""Plans: what the tenants on them may use. Kept by the operator; one that is changed holds for its tenants at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.db import IntegrityError
from django.db.models import ProtectedError

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.tenancy import PLANS, StateRefused, TenantTaken
from tenants.models import Plan, Tenant

FIELDS: Final = (
    "name", "tier", "requests_per_minute", "tokens_per_minute", "tokens_per_day", "concurrent_tasks", "quantities",
    "allowed_models", "gpu_classes", "region",
)  # fmt: skip


def create_plan(*, slug: str, actor: Actor, **fields: Any) -> Plan:
    """Raises TenantTaken."""
    try:
        with colony_tx("plan created"):
            plan = Plan.objects.create(slug=slug, **{"name": slug.capitalize(), "tier": slug, **fields})
            record("plan.created", actor=actor, object_ref=_ref(plan), details=fields)
    except IntegrityError:
        raise TenantTaken("slug", f"There is a plan {slug} already.") from None
    return plan


def update_plan(plan: Plan, changes: Mapping[str, Any], *, actor: Actor) -> Plan:
    """`changes`: some of `FIELDS`."""
    with colony_tx("plan changed"):
        plan = Plan.objects.select_for_update().get(id=plan.id)
        changed = {name: value for name, value in changes.items() if getattr(plan, name) != value}
        if changed:
            for name, value in changed.items():
                setattr(plan, name, value)
            plan.save(update_fields=list(changed))
            record("plan.changed", actor=actor, object_ref=_ref(plan), details=changed)
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


def _ref(plan: Plan) -> str:
    return f"plan:{plan.slug}"
