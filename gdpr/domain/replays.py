"""After a backup was restored: what had been erased is erased again before anything is served."""

from __future__ import annotations

import time
from typing import Final
from uuid import UUID

from django.utils import timezone

from gdpr.domain.audit import Actor
from gdpr.domain.erasure_ledger import LedgerBroken, Line, lines_behind, stamp
from gdpr.domain.requests import tell, work_requests
from gdpr.request_models import DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx

WAIT_S: Final = 3600.0
LOOK_S: Final = 5.0  # how long an answer of `is_behind` holds when the ledger is as it was


def replay(*, actor: Actor) -> list[DataRequest]:
    """The requests of what was erased again. They keep their identifiers, so a line is replayed once. What waits for a hive
    that is away goes on by itself. Raises LedgerBroken."""
    found = []
    for line in lines_behind():
        request = _begin_again(line, actor)
        work_requests(WAIT_S, only=request.id)
        with colony_tx("an erasure was replayed"):
            found.append(DataRequest.objects.get(id=request.id))
    return found


def _begin_again(line: Line, actor: Actor) -> DataRequest:
    """Frozen at once: its grace was over when the ledger took it."""
    identity, now = line.identity, timezone.now()
    with colony_tx("an erasure is replayed"):
        fields = {
            "kind": RequestKind.ERASURE,
            "whose": identity.whose.value,
            "tenant_id": identity.tenant_id,
            "person_id": identity.id,
            "subject": identity.subject,
            "state": RequestState.GRACE,
            "requested_by": str(actor),
            "grace_until": now,
            "next_at": now,
            "attempts": 0,
            "lease_until": None,
            "ended_at": None,
            "progress": {"replayed": True},
        }
        request, _ = DataRequest.objects.update_or_create(id=UUID(line.request), defaults=fields)
        tell(request, "erasure.replayed", actor)
    return request


class Watch:
    """Whether this database is behind the ledger: asked again when the ledger changed, and every few seconds, since a
    database may be put back under a queen that runs."""

    def __init__(self) -> None:
        self._stamp: tuple[int, int] | None = None
        self._asked_at = 0.0
        self._is_behind = False

    def is_behind(self) -> bool:
        now, found = time.monotonic(), stamp()
        if found == (0, 0):
            return False
        if found != self._stamp or self._is_behind or now - self._asked_at > LOOK_S:
            self._stamp, self._asked_at = found, now
            self._is_behind = _is_behind()
        return self._is_behind


def _is_behind() -> bool:
    try:
        return bool(lines_behind())
    except LedgerBroken:
        return True
