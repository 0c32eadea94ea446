"""Looking into the audit log. Inside of a scope, which says whose entries are seen; newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

import msgspec
from django.db.models import Q, QuerySet

from gdpr.domain.partitions import add_months
from gdpr.ids import is_uuid7, month_of
from gdpr.models import AuditEntry

PAGE: Final = 1000
TASKS: Final = "task."  # settled and refused: not what somebody changed, and too many to look through


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is not given is not asked. `events`: names, or the beginning of one and a star; `actors` and `objects` as
    entries have them. `since` is included, `until` is not."""

    events: Sequence[str] = ()
    actors: Sequence[str] | None = None
    objects: Sequence[str] | None = None
    projects: Sequence[str] = ()  # identifiers in hex: what was done to them and to what belongs to them
    outcome: str = ""
    request_id: str = ""
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
    if wanted.request_id:
        entries = entries.filter(request_id=wanted.request_id)
    if wanted.since is not None:
        entries = entries.filter(at__gte=wanted.since, month__gte=_month(wanted.since))
    if wanted.until is not None:
        # An entry is written when it happened or later: what waited for the database, by not more than a month.
        entries = entries.filter(at__lt=wanted.until, month__lte=add_months(_month(wanted.until), 1))
    return entries


def find_entry(entry_id: UUID) -> AuditEntry | None:
    """By its month too, which it names: no other partition is looked at."""
    if not is_uuid7(entry_id):
        return None
    return AuditEntry.objects.filter(month=month_of(entry_id), id=entry_id).first()


def pages_of(
    find: Callable[[], QuerySet[AuditEntry]], scope: Callable[[], AbstractContextManager[None]]
) -> Iterator[list[AuditEntry]]:
    """All that `find` finds, oldest first, in pages. Each is read in a scope of its own, and nothing is held between
    two; what is written meanwhile may be among them."""
    last: UUID | None = None
    while True:
        with scope():
            rows = find().defer(None).order_by("id")
            page = list((rows.filter(id__gt=last) if last else rows)[:PAGE])
        if page:
            yield page
        if len(page) < PAGE:
            return
        last = page[-1].id


def _month(at: datetime) -> date:
    return at.astimezone(UTC).date().replace(day=1)


def _events(names: Sequence[str]) -> Q:
    exact = Q(event__in=[name for name in names if not name.endswith("*")])
    for name in names:
        if name.endswith("*"):
            exact |= Q(event__startswith=name.removesuffix("*"))
    return exact
