"""One permission for every management view: the caller has the capability that the view names for the method.

A view says `capabilities = {"GET": Capability.KEYS_READ}`; several in a tuple are alternatives. A method that it names
none for is closed.
"""

from __future__ import annotations

from typing import Any, cast

from rest_framework.exceptions import NotAuthenticated, PermissionDenied, ValidationError
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from tenants.domain.authentication import Caller, Person, find_memberships
from tenants.domain.rights import capabilities_of
from tenants.domain.tenancy import OPERATOR_TENANTS
from tenants.enums import KeyScope, TenantStatus
from tenants.models import User
from tenants.rules import COLONY, EVERYBODY, TENANT_HEADER, Capabilities, Capability

NO_CREDENTIAL = (
    "Send a key with the scope manage, as Authorization: Bearer KEY, or log in. In home mode programs on the queen's"
    " machine need none."
)


class CanManage(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        wanted = wanted_by(view, request.method or "")
        if Capability.PUBLIC in wanted:
            return True
        if Capability.ACCOUNT in wanted:
            if user_of(request) is not None:
                return True
            wanted -= EVERYBODY
            if not wanted:
                raise NotAuthenticated("Log in first: this is about your own account.")
        caller = caller_of(request)
        if caller is None:
            if user_of(request) is not None:
                _refuse_without_tenant(user_of(request))
            raise NotAuthenticated(NO_CREDENTIAL)
        if capabilities_of(caller).isdisjoint(wanted):
            raise PermissionDenied(why_not(caller, wanted))
        return True


def wanted_by(view: Any, method: str) -> Capabilities:
    """Empty: nobody may."""
    declared = getattr(view, "capabilities", {})
    wanted = declared.get("GET" if method in {"HEAD", "OPTIONS"} else method)
    if wanted is None:
        # To whoever may do anything at all, a method that is not there is answered by 405.
        return frozenset() if hasattr(view, method.lower()) else frozenset(Capability) - EVERYBODY
    return frozenset(wanted) if isinstance(wanted, tuple) else frozenset({wanted})


def is_operator(caller: Caller | None) -> bool:
    """Who sees all tenants: the operator's keys, and those of its people whose role lets them read the colony, or for a
    request that changes something, write it. The others see the operator's own tenant, as any member does."""
    if caller is None or caller.tenant_slug not in OPERATOR_TENANTS:
        return False
    return not isinstance(caller, Person) or caller.sees_colony


def caller_of(request: Request) -> Caller | None:
    """What the authentication class found; None: nobody, or a person who is in no tenant for this request."""
    return cast("Caller | None", request.auth)


def user_of(request: Request) -> User | None:
    """Who is logged in; None for keys, keyless calls and impersonations."""
    return request.user if isinstance(request.user, User) else None


def _refuse_without_tenant(user: User | None) -> None:
    memberships = find_memberships(user.id) if user else []
    if not memberships:
        raise PermissionDenied("You are a member of no tenant.")
    names = ", ".join(one.tenant_slug for one in memberships)
    raise ValidationError(
        {TENANT_HEADER: [f"You are a member of several; name one by this header: {names}."]}
    )


def why_not(caller: Caller, wanted: Capabilities) -> str:
    if not isinstance(caller, Person):
        if KeyScope.READ in caller.scopes and KeyScope.MANAGE not in caller.scopes:
            return "This key reads and changes nothing. Use one with the scope manage."
        if KeyScope.MANAGE not in caller.scopes:
            return "This key is for inference. Use one with the scope manage."
        if wanted <= COLONY:
            return "Only the operator of this colony may do this."
        return "No key may do this; log in as the owner."
    if caller.impersonation_id:
        return "Not in a tenant's place: that would show a secret, outlast the visit, or change what this one only reads."
    if caller.status != TenantStatus.ACTIVE:
        return f"This tenant is {caller.status}: its members read, and no more."
    if wanted <= COLONY:
        return "Only the operator of this colony may do this."
    return f"Your role here, {caller.role}, is not enough for this."
