"""Endpoints and events for tests."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from gdpr.ids import uuid7
from tenants.domain.outbox import publish
from tenants.domain.webhooks import create_endpoint, scope_of_owner
from tenants.models import Tenant, WebhookDelivery, WebhookEndpoint, WebhookEvent
from tests.factories.tenants import TESTER, make_tenant


def make_endpoint(url: str, tenant: Tenant | None = None, **fields: Any) -> tuple[WebhookEndpoint, str]:
    """Of a fresh tenant, when none is given."""
    return create_endpoint((tenant or make_tenant()).id, url=url, **{"actor": TESTER, **fields})


def make_operator_endpoint(url: str, **fields: Any) -> tuple[WebhookEndpoint, str]:
    return create_endpoint(None, url=url, **{"actor": TESTER, **fields})


def happen(tenant_id: UUID | None, count: int = 1) -> list[WebhookEvent]:
    """Keys are revoked, as far as webhooks know."""
    with scope_of_owner(tenant_id):
        return [
            publish(
                "key.revoked",
                tenant_id,
                {"key": str(uuid7()), "kid": f"kid{number}", "project": str(uuid7())},
            )
            for number in range(count)
        ]


def deliveries_of(endpoint: WebhookEndpoint) -> list[WebhookDelivery]:
    """Oldest first."""
    with scope_of_owner(endpoint.tenant_id):
        rows = WebhookDelivery.objects.select_related("endpoint", "event").filter(endpoint=endpoint.id)
        return list(rows.order_by("id"))


def again(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    with scope_of_owner(endpoint.tenant_id):
        return WebhookEndpoint.objects.get(id=endpoint.id)


def make_due(endpoint: WebhookEndpoint) -> None:
    """As if the time until the next attempt were over."""
    from django.utils import timezone

    with scope_of_owner(endpoint.tenant_id):
        WebhookDelivery.objects.filter(endpoint=endpoint.id).update(next_at=timezone.now(), lease_until=None)
