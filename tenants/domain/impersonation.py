"""The operator in a tenant's place: with a reason, for at most an hour, reading unless said otherwise. Each request is
in the tenant's audit log under both identities, and the tenant sees and ends what is open."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx
from gdpr.secrets import macs
from tenants.domain.authentication import Person, find_visitor
from tenants.domain.outbox import moment_text, publish
from tenants.domain.tenancy import OPERATOR_TENANTS, StateRefused
from tenants.enums import TenantStatus
from tenants.models import Impersonation, Tenant

PREFIX: Final = "rbee_imp_"
MINUTES_MAX: Final = 60


def begin_impersonation(
    tenant_id: UUID, *, reason: str, minutes: int, writes: bool, actor: Actor
) -> tuple[Impersonation, str]:
    """The visit and its token, which is shown this once. Raises StateRefused."""
    secret = secrets.token_urlsafe(32)
    with tenant_tx(tenant_id):
        tenant = Tenant.objects.get(id=tenant_id)
        if tenant.slug in OPERATOR_TENANTS or tenant.status == TenantStatus.CLOSED:
            raise StateRefused("tenant", "This tenant cannot be impersonated.")
        visit = Impersonation(
            tenant_id=tenant_id,
            operator=str(actor),
            reason=reason,
            writes=writes,
            expires_at=timezone.now() + timedelta(minutes=minutes),
        )
        visit.mac = _macs(visit.id, secret)[0]
        visit.save(force_insert=True)
        record(
            "impersonation.began",
            actor=actor,
            object_ref=_ref(visit.id),
            details={"minutes": minutes, "writes": writes},
            private={"reason": {"reason": reason}},
        )
        publish(
            "impersonation.began",
            tenant_id,
            {
                "impersonation": str(visit.id),
                "writes": writes,
                "expires_at": moment_text(visit.expires_at),
            },
        )
    return visit, f"{PREFIX}{visit.id.hex}_{secret}"


def end_impersonation(visit: Impersonation, *, actor: Actor) -> Impersonation:
    """At once: its token is looked up on each request. Ended is ended."""
    with tenant_tx(visit.tenant_id):
        visit = Impersonation.objects.select_for_update().get(id=visit.id)
        if visit.ended_at is None:
            visit.ended_at = timezone.now()
            visit.save(update_fields=["ended_at"])
            record(
                "impersonation.ended",
                actor=actor,
                object_ref=_ref(visit.id),
                details={"requests": visit.requests},
            )
            publish("impersonation.ended", visit.tenant_id, {"impersonation": str(visit.id)})
    return visit


def find_impersonator(token: str) -> Person | None:
    id_hex, _, secret = token.removeprefix(PREFIX).partition("_")
    try:
        visit_id = UUID(hex=id_hex)
    except ValueError:
        return None
    return find_visitor(visit_id, _macs(visit_id, secret))


def record_visit(visitor: Person, *, method: str, route: str) -> None:
    """Before the request is answered, whatever the answer. `route` is the pattern of the URL, without names."""
    with tenant_tx(visitor.tenant_id):
        Impersonation.objects.filter(id=visitor.impersonation_id).update(requests=F("requests") + 1)
        record(
            "impersonation.request",
            actor=actor_of(visitor),
            object_ref=_ref(UUID(visitor.impersonation_id)),
            details={"method": method, "route": route},
        )


def actor_of(visitor: Person) -> Actor:
    """Both identities: the operator, and the visit that names the tenant."""
    return Actor("impersonation", f"{visitor.impersonation_id}/{visitor.operator}")


def _macs(visit_id: UUID, secret: str) -> list[bytes]:
    return macs("impersonation", visit_id.bytes + secret.encode())


def _ref(visit_id: UUID) -> str:
    return f"impersonation:{visit_id.hex}"
