from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from inference.api.local import Headers, is_local
from tenants.domain.authentication import Caller, find_caller, find_home_caller


class ManagementAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`, or no key at all in home mode from this machine. Whether the key may manage is asked
    by the permissions."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return self._keyless(request)
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise AuthenticationFailed("Write the header as Authorization: Bearer KEY.")
        caller = find_caller(_as_sent(secret.strip()))
        if caller is None:
            raise AuthenticationFailed("This key is not valid. Keys are made with: rbee key create")
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def _keyless(self, request: Request) -> tuple[Caller, Caller] | None:
        http = request._request
        if not is_local(http.META.get("REMOTE_ADDR"), _headers(http), settings.RBEE):
            return None
        caller = find_home_caller()
        return None if caller is None else (caller, caller)


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = ManagementAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key with the scope manage. In home mode programs on the same machine need none.",
        }


def _headers(request: HttpRequest) -> Headers:
    """As the server got them, where it says so: Django joins those that came twice."""
    return request.scope["headers"] if isinstance(request, ASGIRequest) else request.headers


def _as_sent(secret: str) -> str:
    """Servers decode headers as Latin-1; a key that was brought along may be any text."""
    try:
        return secret.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return secret
