"""What follows when a limit of a day or month is nearly or wholly used up: an audit entry and a webhook event."""

from __future__ import annotations

from uuid import UUID

import msgspec

from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx
from tenants.domain.outbox import publish

SYSTEM = Actor.system("queen")


class LimitReached(msgspec.Struct, frozen=True, kw_only=True):
    tenant_id: str  # UUID in hex
    level: str  # tenant, project, key, subject
    owner: str  # identifier in hex, or the end user's pseudonym
    limit: str  # tokens_per_day, spend_micros_per_month
    percent: int
    used: int
    allowed: int

    @property
    def object_ref(self) -> str:
        return f"{self.level}:{self.owner}"


def note_limit_reached(reached: LimitReached) -> None:
    details = {
        "limit": reached.limit,
        "level": reached.level,
        "percent": reached.percent,
        "used": reached.used,
        "allowed": reached.allowed,
    }
    with tenant_tx(reached.tenant_id):
        record("limit.reached", actor=SYSTEM, object_ref=reached.object_ref, details=details)
        publish("limit.reached", UUID(reached.tenant_id), {**details, "object": reached.object_ref})
