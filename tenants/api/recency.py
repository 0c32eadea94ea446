"""What a session that was left open may not do: it takes a password, a code or a provider within the last minutes."""

from __future__ import annotations

import time

from allauth.account import app_settings
from django.http import HttpRequest
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

RECORDS = "account_authentication_methods"


class RecentLoginNeeded(PermissionDenied):
    default_code = "reauthentication_required"


def require_recent_login(request: Request) -> None:
    """For people. Raises RecentLoginNeeded."""
    if not is_login_recent(request._request):
        raise RecentLoginNeeded(
            "Confirm that it is you: log in again, or POST /_allauth/…/auth/reauthenticate."
        )


def is_login_recent(request: HttpRequest) -> bool:
    records = request.session.get(RECORDS, [])
    latest = max((record.get("at", 0.0) for record in records), default=0.0)
    return bool(time.time() - latest <= app_settings.REAUTHENTICATION_TIMEOUT)
