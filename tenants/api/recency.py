"""What a session that was left open may not do: it takes a password, a code or a provider within the last minutes."""

from __future__ import annotations

import time

from allauth.account import app_settings
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

RECORDS = "account_authentication_methods"


class RecentLoginNeeded(PermissionDenied):
    default_code = "reauthentication_required"


def require_recent_login(request: Request) -> None:
    """For people. Raises RecentLoginNeeded."""
    records = request._request.session.get(RECORDS, [])
    latest = max((record.get("at", 0.0) for record in records), default=0.0)
    if time.time() - latest > app_settings.REAUTHENTICATION_TIMEOUT:
        raise RecentLoginNeeded(
            "Confirm that it is you: log in again, or POST /_allauth/…/auth/reauthenticate."
        )
