"""What is certified of an erasure: what went, where it was looked for afterwards, and what stays, by which law and until
when. Pseudonyms only: a certificate outlives whom it is about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.utils import timezone

from gdpr.domain.requests import whose_text
from gdpr.request_models import DataRequest

TYPE: Final = "rbee.erasure.certificate"
VERSION: Final = 1


def certificate_of(request: DataRequest, places: Sequence[str]) -> dict[str, Any]:
    now = timezone.now()
    done: dict[str, Any] = request.progress.get("done", {})
    backups_until = now + timedelta(days=settings.RBEE.backup_days)
    return {
        "type": TYPE,
        "version": VERSION,
        "request": str(request.id),
        "whose": request.whose,
        "of": whose_text(request.identity),
        "colony": settings.RBEE.public_url,
        "requested_at": _moment(request.requested_at),
        "grace_until": _moment(request.grace_until) if request.grace_until else None,
        "verified_at": _moment(now),
        "erased": [
            {"place": place, "at": _moment_of(done[place]["at"]), "counts": done[place]["counts"]}
            for place in places
            if place in done
        ],
        "scanned": list(places),
        "remains": [],
        "kept": [entry for place in places for entry in done.get(place, {}).get("kept", [])],
        "backups": {
            "until": _moment(backups_until),
            "why": "Backups made before are overwritten by then. When one is restored, nothing is served until what the"
            " ledger of erasures has was erased again.",
        },
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment_of(seconds: int) -> str:
    return _moment(datetime.fromtimestamp(seconds, UTC))
