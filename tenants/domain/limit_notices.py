"""What follows when a limit of a day or month is nearly or wholly used up: an audit entry, and what others attach."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx

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


# Called inside the transaction: alerts, webhooks and mail attach here (`apps.py` of who has them).
listeners: list[Callable[[LimitReached], None]] = []


def note_limit_reached(reached: LimitReached) -> None:
    with tenant_tx(reached.tenant_id):
        record(
            "limit.reached",
            actor=SYSTEM,
            object_ref=reached.object_ref,
            details={
                "limit": reached.limit,
                "level": reached.level,
                "percent": reached.percent,
                "used": reached.used,
                "allowed": reached.allowed,
            },
        )
        for listener in listeners:
            listener(reached)
