from __future__ import annotations

from typing import Any

import msgspec
from allauth.headless.internal.sessionkit import authenticate_by_x_session_token
from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from inference.api.local import is_local
from tenants.api.addresses import client_of, headers_of
from tenants.domain import impersonation
from tenants.domain.addresses import NOWHERE
from tenants.domain.auditors import record_reading
from tenants.domain.authentication import Caller, Person, find_caller, find_home_caller, find_memberships
from tenants.domain.key_use import KEY_USE
from tenants.domain.rights import may
from tenants.models import User
from tenants.rules import TENANT_HEADER, Capability

Found = tuple[Caller | User, Caller | None]


class AddressNotAllowed(AuthenticationFailed):
    default_code = "ip_not_authorized"
    default_detail = "This key may not be used from your IP address."

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self.caller = caller


class ManagementAuthentication(BaseAuthentication):
    """A key or the token of an impersonation as `Authorization: Bearer`; a person's session, as the cookie of a browser
    or the X-Session-Token of a program; or nothing at all in home mode from this machine. What they may is asked by the
    permissions."""

    def authenticate(self, request: Request) -> Found | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return self._person(request) or self._keyless(request)
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise AuthenticationFailed("Write the header as Authorization: Bearer KEY.")
        if secret.strip().startswith(impersonation.PREFIX):
            return self._visitor(request, secret.strip())
        caller = find_caller(_as_sent(secret.strip()))
        if caller is None:
            raise AuthenticationFailed("This key is not valid. Keys are made with: rbee key create")
        self._check_address(request, caller)
        KEY_USE.seen.add(caller.kid)
        return caller, caller

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"

    def _person(self, request: Request) -> Found | None:
        if token := request.headers.get("X-Session-Token"):
            found = authenticate_by_x_session_token(token)
            if found is None:
                raise AuthenticationFailed("This session is over; log in again.")
            user, request._request.session = found
        else:
            user = request._request.user
            if not isinstance(user, User):
                return None
            # A browser sends its cookie along with whatever any page asks for.
            SessionAuthentication().enforce_csrf(request)
        person = _person_in_tenant(user, request.headers.get(TENANT_HEADER, ""))
        if person is not None:
            needed = Capability.COLONY_READ if request.method in SAFE_METHODS else Capability.COLONY_WRITE
            person = msgspec.structs.replace(person, sees_colony=may(person, needed))
            match = request._request.resolver_match
            record_reading(person, method=request.method or "", route=match.route if match else "")
        return user, person

    def _visitor(self, request: Request, token: str) -> Found:
        visitor = impersonation.find_impersonator(token)
        if visitor is None:
            raise AuthenticationFailed("This visit is over.")
        match = request._request.resolver_match
        impersonation.record_visit(visitor, method=request.method or "", route=match.route if match else "")
        return visitor, visitor

    def _check_address(self, request: Request, caller: Caller) -> None:
        if caller.networks is not NOWHERE and not caller.networks.holds(client_of(request._request)):
            raise AddressNotAllowed(caller)

    def _keyless(self, request: Request) -> Found | None:
        http = request._request
        if not is_local(http.META.get("REMOTE_ADDR"), headers_of(http), settings.RBEE):
            return None
        caller = find_home_caller()
        return None if caller is None else (caller, caller)


def _person_in_tenant(user: User, wanted_slug: str) -> Person | None:
    """None when it is not clear in which: they are in several and named none, or in none at all. Raises NotFound for a
    tenant that is not theirs."""
    memberships = find_memberships(user.id)
    if wanted_slug:
        found = next((one for one in memberships if one.tenant_slug == wanted_slug), None)
        if found is None:
            raise NotFound("There is no such tenant.")
        return found
    return memberships[0] if len(memberships) == 1 else None


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = ManagementAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key with the scope manage. People send a session in its place: the cookie that"
            " /_allauth/browser/v1 sets, or as X-Session-Token what /_allauth/app/v1 gives. In home mode programs on"
            " the same machine need none.",
        }


def _as_sent(secret: str) -> str:
    """Servers decode headers as Latin-1; a key that was brought along may be any text."""
    try:
        return secret.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return secret
