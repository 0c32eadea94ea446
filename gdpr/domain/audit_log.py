"""Looking into the audit log. Inside of a scope, which says whose entries are seen; newest first."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec
from django.db.models import Q, QuerySet

from gdpr.ids import is_uuid7, month_of
from gdpr.models import AuditEntry

TASKS: Final = "task."  # settled and refused: not what somebody changed, and too many to look through


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is not given is not asked. `events`: names, or the beginning of one and a star; `actors` and `objects` as
    entries have them. `since` is included, `until` is not."""

    events: Sequence[str] = ()
    actors: Sequence[str] | None = None
    objects: Sequence[str] | None = None
    projects: Sequence[str] = ()  # identifiers in hex: what was done to them and to what belongs to them
    outcome: str = ""
    since: datetime | None = None
    until: datetime | None = None


def find_entries(wanted: Wanted) -> QuerySet[AuditEntry]:
    """Entries of tasks only when `events` names them."""
    entries = AuditEntry.objects.defer("leaf").order_by("-id")
    entries = (
        entries.filter(_events(wanted.events)) if wanted.events else entries.exclude(event__startswith=TASKS)
    )
    if wanted.actors is not None:
        entries = entries.filter(actor__in=wanted.actors)
    if wanted.objects is not None:
        entries = entries.filter(object_ref__in=wanted.objects)
    if wanted.projects:
        about = Q(object_ref__in=[f"project:{project}" for project in wanted.projects])
        entries = entries.filter(about | Q(details__project__in=wanted.projects))
    if wanted.outcome:
        entries = entries.filter(outcome=wanted.outcome)
    if wanted.since is not None:
        entries = entries.filter(at__gte=wanted.since)
    if wanted.until is not None:
        entries = entries.filter(at__lt=wanted.until)
    return entries


def find_entry(entry_id: UUID) -> AuditEntry | None:
    """By its month too, which it names: no other partition is looked at."""
    if not is_uuid7(entry_id):
        return None
    return AuditEntry.objects.filter(month=month_of(entry_id), id=entry_id).first()


def _events(names: Sequence[str]) -> Q:
    exact = Q(event__in=[name for name in names if not name.endswith("*")])
    for name in names:
        if name.endswith("*"):
            exact |= Q(event__startswith=name.removesuffix("*"))
    return exact
