"""The checkpoint of the day for who listens to webhooks: what they keep is out of the operator's reach."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.utils import timezone

from gdpr.domain.audit_proofs import LogUnavailable, PublishedLog
from gdpr.scope import colony_tx
from tenants.domain.outbox import publish
from tenants.domain.webhook_events import wants
from tenants.enums import EndpointStatus
from tenants.models import WebhookEndpoint, WebhookEvent

EVENT: Final = "audit.checkpoint"


def tell_checkpoint() -> int:
    """Once a day to each owner of endpoints that want it. Returns how many were told. Raises LogDamaged."""
    try:
        log = PublishedLog()
    except LogUnavailable:
        return 0
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    with colony_tx("checkpoint of the day"):
        told = set(
            WebhookEvent.objects.filter(type=EVENT, created_at__gte=midnight).values_list(
                "tenant_id", flat=True
            )
        )
        owners: set[UUID | None] = {
            endpoint.tenant_id
            for endpoint in WebhookEndpoint.objects.exclude(status=EndpointStatus.DISABLED)
            if wants(endpoint.events, EVENT)
        }
        for owner in owners - told:
            data = {"origin": log.checkpoint.origin, "size": log.checkpoint.size, "note": log.note}
            publish("audit.checkpoint", owner, data)
    return len(owners - told)
