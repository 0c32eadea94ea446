"""Changes of a tenant after its creation: what it is called and allowed, suspension, and its end.

A tenant that is deleted keeps everything for a time of grace and can be restored; then it is closed, its keys are revoked,
and it is erased: `gdpr.domain.erasure` does that, as the data map says of each table.
Each change is announced, so that queens take it within a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from django.conf import settings
from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.domain.erasure import begin_erasure, cancel_erasure
from gdpr.domain.requests import RequestRefused
from gdpr.holding import Identity, Whose
from gdpr.scope import tenant_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.keys import revoke_api_key
from tenants.domain.limit_shape import read_limits
from tenants.domain.outbox import moment_text, publish
from tenants.domain.tenancy import OPERATOR_TENANTS, StateRefused, find_plan
from tenants.enums import TenantStatus
from tenants.models import ApiKey, Plan, Tenant

KEYS_CHANGED: Final = "keys"

OWN_FIELDS: Final = frozenset({"name", "industry", "subject_consents"})  # what a tenant changes by itself
OPERATOR_FIELDS: Final = frozenset({"region", "allowed_models", "gpu_classes", "required_consents"})


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


def delete_tenant(tenant_id: UUID, *, actor: Actor, grace_days: int | None = None) -> Tenant:
    """Can be restored for `grace_days`, else the setting's; its keys are refused from now on. Then it is erased. Raises
    StateRefused."""
    days = settings.RBEE.grace_tenant_days if grace_days is None else grace_days
    with tenant_tx(tenant_id):
        tenant = _move(
            tenant_id,
            {TenantStatus.ACTIVE, TenantStatus.SUSPENDED},
            TenantStatus.DELETING,
            event="tenant.deleted",
            actor=actor,
            details={"grace_days": days},
            deletes_at=timezone.now() + timedelta(days=days),
        )
        begin_erasure(Identity(Whose.TENANT, tenant_id=tenant_id), grace=timedelta(days=days), actor=actor)
    return tenant


def restore_tenant(tenant_id: UUID, *, actor: Actor) -> Tenant:
    """To what it was: suspended, when the operator had suspended it. Raises StateRefused."""
    with tenant_tx(tenant_id):
        was_suspended = _locked(tenant_id).suspended_at is not None
        try:
            cancel_erasure(Identity(Whose.TENANT, tenant_id=tenant_id), actor=actor)
        except RequestRefused as error:
            raise StateRefused("status", str(error)) from None
        return _move(
            tenant_id,
            {TenantStatus.DELETING},
            TenantStatus.SUSPENDED if was_suspended else TenantStatus.ACTIVE,
            event="tenant.restored",
            actor=actor,
            deletes_at=None,
        )


def close_tenant(tenant_id: UUID) -> None:
    """Nobody enters any more, and nothing takes it back: its erasure begins."""
    actor = Actor.system("tenants")
    with tenant_tx(tenant_id):
        tenant = Tenant.objects.select_for_update(of=("self",)).filter(id=tenant_id).first()
        if tenant is None or tenant.status == TenantStatus.CLOSED:
            return
        for key in ApiKey.objects.filter(revoked_at=None):
            revoke_api_key(key, actor=actor)
        tenant.status = TenantStatus.CLOSED
        tenant.save(update_fields=["status"])
        record("tenant.closed", actor=actor, object_ref=_ref(tenant))
        announce_after_commit(KEYS_CHANGED)


def _move_to(tenant: Tenant, plan: Plan) -> None:
    """Counters of its quantities begin again from the books: the sum of both versions is one that never was."""
    limits = read_limits(tenant.limits)
    version = limits.version + read_limits(tenant.plan.limits).version + 1
    tenant.limits = msgspec.to_builtins(msgspec.structs.replace(limits, version=version))
    tenant.plan = plan


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
