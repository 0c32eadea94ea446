"""Refused requests of the management API and of the dashboard, on their way into the audit log: `inference.domain.refusal_log`."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.http import HttpRequest
from rest_framework.request import Request

from gdpr.domain.audit import Actor, answered_request
from inference.domain.refusal_log import HANDED, Refusal, source_pseudonym
from tenants.api.addresses import client_of
from tenants.api.permissions import caller_of, user_of
from tenants.domain.authentication import Caller, Person
from tenants.domain.impersonation import actor_of

REFUSED: Final = frozenset({401, 403, 429})
METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})


def hand_over(error: Exception, request: Request, status: int, code: str) -> None:
    """Never waits. What was asked for is told by the route: a path may name people."""
    http = request._request
    caller: Caller | None = getattr(error, "caller", None) or caller_of(request)
    user = user_of(request)
    if caller is not None:
        actor = _actor(caller)
    elif user is not None:
        actor = Actor.user(user.id)
    else:
        actor = Actor("source", source_pseudonym(client_of(http)))
    hand_over_of(http, caller, actor, status, code)


def hand_over_of(http: HttpRequest, caller: Caller | None, actor: Actor, status: int, code: str) -> None:
    """By who asked, where that is known."""
    is_nobody = status == 401 and caller is None
    HANDED.append(
        Refusal(
            "auth.refused" if is_nobody else "request.refused",
            caller.tenant_id if caller else "",
            str(actor),
            code,
            status,
            request_id=answered_request.get(),
            # Of wrong keys only the sum is kept: whoever guesses would choose how many entries there are.
            asked="" if is_nobody else _asked(http),
        )
    )


def note_login_refused(*, request: HttpRequest, code: str, status: int, **_: Any) -> None:
    """By where they come from: whether there is such an account is told to nobody, and so kept nowhere."""
    HANDED.append(
        Refusal(
            "auth.refused",
            "",
            str(Actor("source", source_pseudonym(client_of(request)))),
            code,
            status,
            asked=_asked(request),
        )
    )


def _asked(http: HttpRequest) -> str:
    method = http.method if http.method in METHODS else "OTHER"
    return f"{method} /{http.resolver_match.route if http.resolver_match else ''}"


def _actor(caller: Caller) -> Actor:
    if isinstance(caller, Person):
        return actor_of(caller) if caller.impersonation_id else Actor.user(UUID(hex=caller.user_id))
    return Actor.keyless() if caller.is_keyless else Actor.key(caller.kid)
