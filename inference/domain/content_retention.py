"""Whether a tenant's prompts and outputs are kept: its owner or data-protection officer says so, and for how many days.

A shorter time holds for what is kept already, a longer one for what comes. Turned off, what was kept is deleted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import Count, F, Max, Min, Sum

from gdpr.domain.audit import Actor, record
from gdpr.domain.frozen import shut_out_writers
from gdpr.scope import tenant_tx
from inference.content_models import KeptContent
from inference.domain.errors import InvalidInput, StateConflict
from inference.domain.kept_content import delete_content, kept_rows
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.tenant_life import KEYS_CHANGED
from tenants.models import Tenant


def keep_content(tenant_id: UUID, days: int, *, actor: Actor) -> Tenant:
    """From the next request on; queens know it within 5 s. Raises InvalidInput, and StateConflict where the operator lets
    nobody."""
    most = settings.RBEE.content_days_max
    if not most:
        raise StateConflict("The operator of this colony keeps no prompts and outputs for anybody.")
    if not 1 <= days <= most:
        raise InvalidInput(f"This colony keeps prompts and outputs for 1 to {most} days.", param="days")
    with tenant_tx(tenant_id):
        shut_out_writers(tenant_id)
        tenant = Tenant.objects.select_for_update().get(id=tenant_id)
        before = tenant.content_days
        if before == days:
            return tenant
        tenant.content_days = days
        tenant.save(update_fields=["content_days"])
        if days < before:
            until = F("at") + timedelta(days=days)
            KeptContent.objects.filter(expires_at__gt=until).update(expires_at=until)
        record(
            "content_retention.set", actor=actor, object_ref=_ref(tenant), details={"days": [before, days]}
        )
        announce_after_commit(KEYS_CHANGED)
    return tenant


def stop_keeping(tenant_id: UUID, *, actor: Actor) -> int:
    """Of how many tasks something was deleted. Off is off."""
    with tenant_tx(tenant_id):
        shut_out_writers(tenant_id)
        tenant = Tenant.objects.select_for_update().get(id=tenant_id)
        deleted = 0
        while gone := delete_content(KeptContent.objects.all()):
            deleted += gone
        if not tenant.content_days and not deleted:
            return 0
        before, tenant.content_days = tenant.content_days, 0
        tenant.save(update_fields=["content_days"])
        record(
            "content_retention.ended",
            actor=actor,
            object_ref=_ref(tenant),
            details={"days": [before, 0], "tasks": deleted},
        )
        announce_after_commit(KEYS_CHANGED)
    return deleted


def retention_of(tenant: Tenant) -> dict[str, Any]:
    """In the scope of the tenant. `days` is what is in force: the operator's most may be less than what was set."""
    kept = kept_rows().aggregate(
        tasks=Count("id"),
        asked=Sum("request_bytes"),
        answered=Sum("answer_bytes"),
        since=Min("at"),
        last_expires_at=Max("expires_at"),
    )
    most = settings.RBEE.content_days_max
    return {
        "object": "content_retention",
        "days": min(tenant.content_days, most) or None,
        "days_max": most,
        "tasks": kept["tasks"],
        "bytes": (kept["asked"] or 0) + (kept["answered"] or 0),
        "since": kept["since"],
        "last_expires_at": kept["last_expires_at"],
    }


def _ref(tenant: Tenant) -> str:
    return f"tenant:{tenant.id.hex}"
