"""Auditors: members who look and change nothing, for a time that was said before, and each of whose requests is in the log
that they audit."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.authentication import Person
from tenants.domain.members import remove_member
from tenants.enums import Role
from tenants.models import Member

ACTOR: Final = Actor.system("auditors")


def record_reading(person: Person, *, method: str, route: str) -> None:
    """Of an auditor, before the request is answered, whatever the answer; of others nothing. `route` is the pattern of the
    URL: a path may name people."""
    if person.role != Role.AUDITOR:
        return
    with tenant_tx(person.tenant_id):
        record(
            "audit.read",
            actor=Actor("user", person.user_id),
            object_ref=f"tenant:{person.tenant_id}",
            details={"method": method, "route": f"/{route}"},
        )


def end_auditors(now: datetime | None = None) -> int:
    """Those whose time is over are let in no more from that moment; this takes them out of the lists. Returns how many."""
    with colony_tx("auditors whose time is over"):
        over = list(Member.objects.filter(ends_at__lte=now or timezone.now()))
    for member in over:
        remove_member(member, actor=ACTOR)
    return len(over)
