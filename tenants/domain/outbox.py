"""Telling the world what happened: a row in the transaction in which it did, sent after it has committed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from gdpr.chores import hint_after_commit
from tenants.domain.webhook_events import EVENTS
from tenants.models import WebhookEvent

DELIVER = "tenants.deliver_webhooks"  # the chore


def publish(event: str, tenant_id: UUID | None, data: Mapping[str, Any]) -> WebhookEvent:
    """Inside the `tenant_tx` or `colony_tx` of the change, beside its audit entry. `event` and the fields of `data` are
    those of the catalogue, identifiers as text. Raises ValueError for others. One INSERT."""
    row = make_event(event, tenant_id, data)
    row.save(force_insert=True)
    hint_after_commit(DELIVER)
    return row


def moment_text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make_event(event: str, tenant_id: UUID | None, data: Mapping[str, Any]) -> WebhookEvent:
    kind = EVENTS.get(event)
    if kind is None:
        raise ValueError(f"{event} is not in the catalogue of events")
    if set(data) != set(kind.example):
        raise ValueError(f"{event} has the fields {', '.join(kind.example)}, not {', '.join(data)}")
    return WebhookEvent(tenant_id=tenant_id, type=event, version=kind.version, data=dict(data))
