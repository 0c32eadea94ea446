"""Whether the audit log stands still. The operator is told by alerts, which close by themselves once it goes on."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from gdpr.domain.audit import Actor
from gdpr.domain.audit_proofs import LogDamaged, LogUnavailable, PublishedLog
from gdpr.log.copies import copied_at
from gdpr.log.store import FolderStore
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from tenants.domain.alerts import close_alert, raise_alert
from tenants.models import Alert

KIND: Final = "audit_log_stands_still"
ENTRIES: Final = "audit_log:entries"
COPY: Final = "audit_log:copy"
ENTRY_WAITS: Final = timedelta(minutes=1)
COPY_WAITS: Final = timedelta(minutes=10)
LOOK_AGAIN_S: Final = (
    5.0  # an entry of a long transaction is old when it comes, and is published in two seconds
)

_ACTOR: Final = Actor.system("log_watch")


def watch_log() -> Mapping[str, str]:
    """What stands still, in words."""
    found = _look()
    if found:
        time.sleep(LOOK_AGAIN_S)
        found = {about: said for about, said in _look().items() if about in found}
    with colony_tx("the audit log is watched"):
        for about, said in found.items():
            raise_alert(tenant_id=None, kind=KIND, object_ref=about, message=said)
        over = list(
            Alert.objects.filter(tenant=None, kind=KIND, closed_at=None).exclude(object_ref__in=found)
        )
    for alert in over:
        close_alert(alert, actor=_ACTOR)
    return found


def _look() -> dict[str, str]:
    """By what it is about."""
    try:
        said = {ENTRIES: _entries(PublishedLog().checkpoint.size), COPY: _copy()}
    except LogUnavailable:
        said = {ENTRIES: _entries(0)}
    except LogDamaged as error:
        said = {ENTRIES: f"The files of the audit log are damaged ({error}): `rbee audit verify` says where."}
    return {about: text for about, text in said.items() if text}


def _entries(size: int) -> str:
    """Those without a place, and those that have one and are in no checkpoint."""
    made_before = UUID(int=int((timezone.now() - ENTRY_WAITS).timestamp() * 1000) << 80)  # as a UUIDv7 begins
    with colony_tx("entries that wait for the log"):
        entries = AuditEntry.objects.filter(id__lt=made_before)
        unnumbered = entries.filter(seq=None).order_by("id").first()
        unsigned = entries.filter(seq__gte=size).order_by("seq").first()
    if unnumbered is not None:
        return (
            f"Audit entries have had no place in the log since {_minute(unnumbered)}: does the sequencer run?"
        )
    if unsigned is not None:
        return (
            f"Audit entries have been in no checkpoint since {_minute(unsigned)}: the sequencer's log says why"
            " it does not sign or write them."
        )
    return ""


def _copy() -> str:
    try:
        copied = copied_at(FolderStore(settings.RBEE.audit_dir))
    except (ValueError, OSError):
        copied = None
    if copied is None:
        return "The audit log has no copy in its second place yet." if settings.RBEE.audit_copy else ""
    if copied > timezone.now() - COPY_WAITS:
        return ""
    return (
        f"The second place of the audit log was last up to date at {copied:%Y-%m-%d %H:%M} UTC: the sequencer's log"
        " says why."
    )


def _minute(entry: AuditEntry) -> str:
    return f"{entry.at:%Y-%m-%d %H:%M} UTC"
