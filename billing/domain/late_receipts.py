"""Receipts of an erased end user that came after the erasure: a hive that was away had them on its disk.

Only of what was asked before the erasure was over: somebody who comes back is a new end user of the same name.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from billing.domain.data_rights import forget_events
from gdpr.holding import Whose
from gdpr.request_models import DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx

LATE_RECEIPTS: Final = "billing.forget_late_receipts"
# Longer than any spool: an event that comes later still is of a hive that nobody missed for that long.
LOOKS_BACK: Final = timedelta(days=60)


def forget_late_receipts() -> int:
    """Returns how many events there were. A few milliseconds for each erasure of these days."""
    since = timezone.now() - LOOKS_BACK
    with colony_tx("erased end users of late receipts"):
        erased = list(
            DataRequest.objects.filter(
                kind=RequestKind.ERASURE, whose=Whose.SUBJECT, state=RequestState.ERASED, ended_at__gte=since
            )
        )
    forgotten = 0
    for request in erased:
        assert request.tenant_id is not None, "a subject is somebody's"
        forgotten += forget_events(request.tenant_id, request.subject, asked_before=request.ended_at)
    return forgotten
