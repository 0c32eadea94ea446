"""Until when somebody is a member: an auditor for at most TERM_MAX, everybody else for good."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from tenants.domain.tenancy import TenantRefused
from tenants.enums import Role

TERM_MAX: Final = timedelta(days=90)


def term_of(role: str, until: datetime | None) -> datetime | None:
    """Raises TenantRefused."""
    if role != Role.AUDITOR:
        if until is not None:
            raise TenantRefused("until", "Only an auditor's time has an end; remove others when they go.")
        return None
    if until is None:
        raise TenantRefused("until", f"Say until when they audit: at most {TERM_MAX.days} days.")
    if not timezone.now() < until <= timezone.now() + TERM_MAX:
        raise TenantRefused(
            "until", f"An auditor's time ends later than now, and in at most {TERM_MAX.days} days."
        )
    return until
