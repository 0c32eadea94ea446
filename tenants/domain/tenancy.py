"""Customers and what they may use."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import IntegrityError

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.domain.authentication import HOME_TENANT
from tenants.domain.outbox import publish
from tenants.enums import Role
from tenants.models import Member, Plan, Project, Tenant, User

OPERATOR_TENANT = "operator"
OPERATOR_TENANTS = frozenset({HOME_TENANT, OPERATOR_TENANT})
DEFAULT_PROJECT = "default"

# What a plan allows until its operator says otherwise; null is no limit.
PLANS: Mapping[str, Mapping[str, str | int | None]] = {
    "free": {"tier": "free", "requests_per_minute": 300, "tokens_per_minute": 60_000, "tokens_per_day": 1_000_000,
             "concurrent_tasks": 4},
    "pro": {"tier": "pro", "requests_per_minute": 3000, "tokens_per_minute": 1_000_000, "tokens_per_day": 50_000_000,
            "concurrent_tasks": 64},
    "enterprise": {"tier": "enterprise", "requests_per_minute": 30_000, "tokens_per_minute": None,
                   "tokens_per_day": None, "concurrent_tasks": 1024},
    "home": {"tier": "home"},
    "operator": {"tier": "operator"},
}  # fmt: skip


class TenantRefused(ValueError):
    """The request for a tenant makes no sense; `field` is the one at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class TenantTaken(TenantRefused):
    """There is one of that name already."""


class StateRefused(TenantRefused):
    """It makes sense, but not in the state that things are in."""


def make_plans(*, actor: Actor) -> list[str]:
    """Those of `PLANS` that are missing, by slug. A plan that is there stays as its operator left it."""
    made = []
    with colony_tx("shipped plans"):
        for slug, limits in PLANS.items():
            _, is_new = Plan.objects.get_or_create(slug=slug, defaults={"name": slug.capitalize(), **limits})
            if is_new:
                record("plan.created", actor=actor, object_ref=f"plan:{slug}", details=limits)
                made.append(slug)
    return made


def create_tenant(
    *,
    slug: str,
    plan_slug: str,
    actor: Actor,
    name: str = "",
    region: str = "",
    industry: str = "",
    owner: User | None = None,
) -> tuple[Tenant, Project]:
    """With a project of its own, to which keys belong. Raises TenantRefused and TenantTaken."""
    plan = find_plan(plan_slug)
    try:
        with colony_tx("tenant created"):
            tenant = Tenant.objects.create(
                slug=slug, name=name or slug, plan=plan, region=region, industry=industry
            )
            project = Project.objects.create(tenant=tenant, slug=DEFAULT_PROJECT, name="Default")
            record(
                "tenant.created",
                actor=actor,
                tenant_id=tenant.id,
                object_ref=f"tenant:{tenant.id.hex}",
                details={"plan": plan.slug, "region": region},
            )
            publish("tenant.created", tenant.id, {"tenant": str(tenant.id), "plan": plan.slug})
            if owner is not None:
                member = Member.objects.create(tenant=tenant, user=owner, role=Role.OWNER)
                joined = {"member": str(member.id), "role": Role.OWNER.value}
                publish("member.joined", tenant.id, joined)
                record(
                    "member.added",
                    actor=actor,
                    tenant_id=tenant.id,
                    object_ref=f"member:{member.id.hex}",
                    details={"role": Role.OWNER.value, "user": owner.id.hex},
                )
    except IntegrityError:
        raise TenantTaken("slug", f"There is a tenant {slug} already.") from None
    return tenant, project


def find_plan(slug: str) -> Plan:
    """Raises TenantRefused."""
    plan = Plan.objects.filter(slug=slug).first()
    if plan is None:
        known = ", ".join(Plan.objects.order_by("slug").values_list("slug", flat=True))
        raise TenantRefused("plan", f"There is no plan {slug}; there are {known}.")
    return plan
