"""Who looks at the dashboard, and in which tenant: a visit in a tenant's place, a person who is logged in, or in home mode
nobody in particular on this machine.

Which of their tenants a person means is what the form that they send says, so that a page that was left open in another
window changes nothing elsewhere; else what they chose last; else the tenant they have been in for the longest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
from django.conf import settings
from django.http import HttpRequest
from rest_framework.exceptions import NotFound

from gdpr.domain.audit import Actor
from gdpr.scope import tenant_tx
from gdpr.secrets import seal, unseal
from inference.api.local import is_local
from tenants.api.addresses import headers_of
from tenants.domain import impersonation
from tenants.domain.auditors import record_reading
from tenants.domain.authentication import Caller, Person, find_home_caller, find_memberships
from tenants.models import Impersonation, User

TENANT: Final = "tenant"  # the field of forms, and what a session remembers
VISIT: Final = "visit"
LABEL: Final = "visit-of-a-browser"


@dataclass(frozen=True)
class Arrival:
    """`caller` is None for a person who is in no tenant."""

    actor: Actor
    caller: Caller | None = None
    tenants: list[str] = field(default_factory=list)  # to switch between
    visit: Impersonation | None = None


def find_arrival(request: HttpRequest) -> Arrival | None:
    """None: log in first. Raises NotFound for a tenant that is not theirs."""
    if visitor := _visitor(request):
        return _visiting(request, visitor)
    if isinstance(request.user, User):
        return _person(request, request.user)
    if is_local(request.META.get("REMOTE_ADDR"), headers_of(request), settings.RBEE):
        caller = find_home_caller()
        return Arrival(Actor.keyless(), caller, [caller.tenant_slug]) if caller else None
    return None


def remember_visit(request: HttpRequest, token: str) -> bool:
    """False: no such visit, or it is over."""
    if impersonation.find_impersonator(token) is None:
        return False
    request.session.cycle_key()
    request.session[VISIT] = seal(token, LABEL).decode()
    return True


def forget_visit(request: HttpRequest) -> None:
    request.session.pop(VISIT, None)


def _visitor(request: HttpRequest) -> Person | None:
    sealed = request.session.get(VISIT)
    if sealed is None:
        return None
    try:
        visitor = impersonation.find_impersonator(unseal(sealed.encode(), LABEL))
    except ValueError:  # of another root secret
        visitor = None
    if visitor is None:
        forget_visit(request)
    return visitor


def _visiting(request: HttpRequest, visitor: Person) -> Arrival:
    match = request.resolver_match
    impersonation.record_visit(visitor, method=request.method or "", route=match.route if match else "")
    if request.POST.get(TENANT) not in (None, visitor.tenant_slug):
        raise NotFound("There is no such tenant.")
    with tenant_tx(visitor.tenant_id):
        visit = Impersonation.objects.get(id=visitor.impersonation_id)
    return Arrival(impersonation.actor_of(visitor), visitor, [visitor.tenant_slug], visit)


def _person(request: HttpRequest, user: User) -> Arrival:
    found = {one.tenant_slug: one for one in find_memberships(user.id)}
    asked = request.POST.get(TENANT)
    if asked is not None and asked not in found:
        raise NotFound("There is no such tenant.")
    person = found.get(asked or request.session.get(TENANT, "")) or next(iter(found.values()), None)
    # The tenant's own pages: also the operator's people see the operator's tenant here, and no other.
    person = person and msgspec.structs.replace(person, sees_colony=False)
    if person is not None:
        match = request.resolver_match
        record_reading(person, method=request.method or "", route=match.route if match else "")
    return Arrival(Actor.user(user.id), person, list(found))
