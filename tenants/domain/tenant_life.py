"""Changes of a tenant after its creation: what it is called and allowed, suspension, and its end.

A tenant that is deleted keeps everything for a time of grace and can be restored; then it is closed and its keys are
revoked; its members, invitations, provider and webhooks are deleted. What the books and the audit log refer to stays.
Each change is announced, so that queens take it within a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.keys import revoke_api_key
from tenants.domain.limit_shape import read_limits
from tenants.domain.outbox import moment_text, publish
from tenants.domain.tenancy import OPERATOR_TENANTS, StateRefused, find_plan
from tenants.domain.webhooks import delete_endpoint
from tenants.enums import TenantStatus
from tenants.models import (
    Alert,
    ApiKey,
    IdentityProvider,
    Invitation,
    KeptAnswer,
    Member,
    Plan,
    Tenant,
    WebhookEndpoint,
    WebhookEvent,
)

GRACE_DAYS: Final = 30
KEYS_CHANGED: Final = "keys"
# What nobody needs who keeps the books: people's places and addresses, and secrets.
_GONE_WITH_IT: Final = (IdentityProvider, Invitation, KeptAnswer, Alert, Member)

OWN_FIELDS: Final = frozenset({"name", "industry"})  # what a tenant changes by itself
OPERATOR_FIELDS: Final = frozenset({"region", "allowed_models", "gpu_classes"})


def update_tenant(tenant_id: UUID, changes: Mapping[str, Any], *, actor: Actor) -> Tenant:
    """`changes`: fields of `OWN_FIELDS` and `OPERATOR_FIELDS`, and `plan`, a slug. Raises TenantRefused."""
    plan = find_plan(changes["plan"]) if "plan" in changes else None
    with tenant_tx(tenant_id):
        tenant = _locked(tenant_id)
        changed = {
            name: value
            for name, value in changes.items()
            if name != "plan" and getattr(tenant, name) != value
        }
        for name, value in changed.items():
            setattr(tenant, name, value)
        # Names of people and firms are not for the audit log: that they changed is.
        details = {name: value if name in OPERATOR_FIELDS else True for name, value in changed.items()}
        if plan is not None and plan.id != tenant.plan_id:
            details["plan"] = [tenant.plan.slug, plan.slug]
            _move_to(tenant, plan)
        if details:
            tenant.save()
            record("tenant.changed", actor=actor, object_ref=_ref(tenant), details=details)
            announce_after_commit(KEYS_CHANGED)
    return tenant


def suspend_tenant(tenant_id: UUID, *, actor: Actor, reason: str = "") -> Tenant:
    """Its keys are refused within a second; its members log in and read. Suspended is suspended. `reason`: for the tenant to
    read. Raises StateRefused."""
    return _move(
        tenant_id,
        {TenantStatus.ACTIVE},
        TenantStatus.SUSPENDED,
        event="tenant.suspended",
        actor=actor,
        reason=reason,
        suspended_at=timezone.now(),
    )


def resume_tenant(tenant_id: UUID, *, actor: Actor) -> Tenant:
    """Raises StateRefused."""
    return _move(
        tenant_id,
        {TenantStatus.SUSPENDED},
        TenantStatus.ACTIVE,
        event="tenant.resumed",
        actor=actor,
        suspended_at=None,
    )


def delete_tenant(tenant_id: UUID, *, actor: Actor, grace_days: int = GRACE_DAYS) -> Tenant:
    """Can be restored for `grace_days`; its keys are refused from now on. Raises StateRefused."""
    return _move(
        tenant_id,
        {TenantStatus.ACTIVE, TenantStatus.SUSPENDED},
        TenantStatus.DELETING,
        event="tenant.deleted",
        actor=actor,
        details={"grace_days": grace_days},
        deletes_at=timezone.now() + timedelta(days=grace_days),
    )


def restore_tenant(tenant_id: UUID, *, actor: Actor) -> Tenant:
    """To what it was: suspended, when the operator had suspended it. Raises StateRefused."""
    with tenant_tx(tenant_id):
        was_suspended = _locked(tenant_id).suspended_at is not None
        return _move(
            tenant_id,
            {TenantStatus.DELETING},
            TenantStatus.SUSPENDED if was_suspended else TenantStatus.ACTIVE,
            event="tenant.restored",
            actor=actor,
            deletes_at=None,
        )


def close_deleted_tenants() -> int:
    """Those whose time of grace is over. Returns how many."""
    with colony_tx("tenants whose grace is over"):
        due = list(
            Tenant.objects.filter(status=TenantStatus.DELETING, deletes_at__lte=timezone.now()).values_list(
                "id", flat=True
            )
        )
    return sum(_close(tenant_id) for tenant_id in due)


def _move_to(tenant: Tenant, plan: Plan) -> None:
    """Counters of its quantities begin again from the books: the sum of both versions is one that never was."""
    limits = read_limits(tenant.limits)
    version = limits.version + read_limits(tenant.plan.limits).version + 1
    tenant.limits = msgspec.to_builtins(msgspec.structs.replace(limits, version=version))
    tenant.plan = plan


def _close(tenant_id: UUID) -> bool:
    actor = Actor.system("tenants")
    with tenant_tx(tenant_id):
        tenant = _locked(tenant_id)
        if tenant.status != TenantStatus.DELETING or (tenant.deletes_at or timezone.now()) > timezone.now():
            return False  # restored meanwhile
        for key in ApiKey.objects.filter(revoked_at=None):
            revoke_api_key(key, actor=actor)
        for endpoint in WebhookEndpoint.objects.all():
            delete_endpoint(endpoint, actor=actor)
        for model in _GONE_WITH_IT:
            model._default_manager.all().delete()
        tenant.status = TenantStatus.CLOSED
        tenant.save(update_fields=["status"])
        record("tenant.closed", actor=actor, object_ref=_ref(tenant))
        announce_after_commit(KEYS_CHANGED)
        with colony_tx(
            "events of a closed tenant"
        ):  # those that the operator is still told of are forgotten by age
            told = WebhookEvent.objects.filter(tenant_id=tenant_id, spread_at__isnull=False)
            told.filter(webhookdelivery=None).delete()
    return True


def _move(
    tenant_id: UUID,
    before: set[TenantStatus],
    after: TenantStatus,
    *,
    event: str,
    actor: Actor,
    details: Mapping[str, Any] | None = None,
    reason: str = "",
    **fields: Any,
) -> Tenant:
    with tenant_tx(tenant_id):
        tenant = _locked(tenant_id)
        if tenant.status == after:
            return tenant
        if tenant.slug in OPERATOR_TENANTS:
            raise StateRefused("status", f"{tenant.slug} is the operator's own and stays as it is.")
        if tenant.status not in before:
            raise StateRefused("status", f"{tenant.slug} is {tenant.status}.")
        for name, value in {**fields, "status": after}.items():
            setattr(tenant, name, value)
        tenant.save(update_fields=[*fields, "status"])
        record(
            event,
            actor=actor,
            object_ref=_ref(tenant),
            details=details,
            private={"reason": {"reason": reason}},
        )
        _publish(event, tenant)
        announce_after_commit(KEYS_CHANGED)
    return tenant


def _publish(event: str, tenant: Tenant) -> None:
    data = {"tenant": str(tenant.id)}
    if event == "tenant.suspended":
        publish("tenant.suspended", tenant.id, data)
    elif event == "tenant.resumed":
        publish("tenant.resumed", tenant.id, data)
    elif event == "tenant.restored":
        publish("tenant.restored", tenant.id, data)
    elif event == "tenant.deleted" and tenant.deletes_at is not None:
        publish(
            "tenant.deleted",
            tenant.id,
            {**data, "delete_at": moment_text(tenant.deletes_at)},
        )


def _locked(tenant_id: UUID) -> Tenant:
    return Tenant.objects.select_for_update(of=("self",)).select_related("plan").get(id=tenant_id)


def _ref(tenant: Tenant) -> str:
    return f"tenant:{tenant.id.hex}"
