"""Exports and erasures as people ask for them: whose somebody may ask for, and which they see. REST and pages ask here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from gdpr.domain.audit import Actor
from gdpr.domain.erasure import begin_erasure, cancel_erasure
from gdpr.domain.requests import RequestRefused
from gdpr.holding import Identity, Whose
from gdpr.request_models import DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx
from tenants.domain.account_life import delete_account
from tenants.domain.authentication import Caller, Person
from tenants.domain.rights import may
from tenants.domain.tenancy import StateRefused
from tenants.domain.tenant_life import delete_tenant, restore_tenant
from tenants.models import User
from tenants.rules import Capability

IN_CHARGE: Final = (Capability.GDPR_REQUEST, Capability.COLONY_WRITE)


class NotTheirs(Exception):
    """Nobody's to ask who is not more than they are."""


@dataclass(frozen=True)
class Asker:
    """`user`: who is logged in; `caller`: as whom, in a tenant. `sees_all`: also what is other tenants'."""

    actor: Actor
    user: User | None
    caller: Caller | None
    sees_all: bool = False

    @property
    def is_in_charge(self) -> bool:
        """Of the data of the tenant and its end users."""
        return self.caller is not None and may(self.caller, *IN_CHARGE)

    @property
    def may_end_tenant(self) -> bool:
        """Of people it is the owner's to end a tenant; a key with the scope gdpr was made for it."""
        if not isinstance(self.caller, Person):
            return self.is_in_charge
        return may(self.caller, Capability.TENANT_DELETE, Capability.COLONY_WRITE)


def find_request(asker: Asker, request_id: UUID, *kinds: RequestKind) -> DataRequest | None:
    """One of the asker's own, or of the tenant that they are in charge of; others' are not there."""
    with colony_tx("a request of a person or a tenant"):
        found = DataRequest.objects.filter(id=request_id, kind__in=kinds or RequestKind.values).first()
    return found if found is not None and _sees(asker, found) else None


def requests_asked_or_in_charge(asker: Asker) -> QuerySet[DataRequest]:
    """Of the asker's account, of the tenant that they are in charge of, and erasures that they asked for and that nobody takes
    back: the tenant may be gone. Inside of a scope of the colony."""
    theirs = Q(pk__in=[])
    if asker.user is not None:
        begun = Q(kind=RequestKind.ERASURE, requested_by=f"user:{asker.user.id.hex}")
        theirs |= Q(person_id=asker.user.id) | (begun & ~Q(state=RequestState.GRACE))
    if asker.caller is not None and asker.is_in_charge:
        theirs |= Q(tenant_id=UUID(asker.caller.tenant_id))
    return DataRequest.objects.filter(theirs)


def erase(asker: Asker, identity: Identity) -> DataRequest:
    """Once its time of grace is over. `identity` is one that the asker may name. Raises NotTheirs and StateRefused."""
    if identity.whose is Whose.PERSON:
        assert asker.user is not None, "an account is that of who is logged in"
        return delete_account(asker.user, actor=asker.actor)
    if identity.whose is Whose.SUBJECT:
        grace = timedelta(days=settings.RBEE.grace_subject_days)
        return begin_erasure(identity, grace=grace, actor=asker.actor)
    assert identity.tenant_id is not None, "a tenant has an id"
    if not asker.may_end_tenant:
        raise NotTheirs("A tenant is its owner's to erase.")
    delete_tenant(identity.tenant_id, actor=asker.actor)
    return _erasure_of_tenant(identity.tenant_id)


def take_erasure_back(erasure: DataRequest, *, actor: Actor) -> None:
    """While its time of grace lasts; taken back is taken back. Raises StateRefused."""
    if erasure.state == RequestState.CANCELLED:
        return
    if erasure.state != RequestState.GRACE:
        raise StateRefused("id", f"This erasure is {erasure.state} and cannot be taken back.")
    identity = erasure.identity
    if identity.whose is Whose.TENANT:
        assert identity.tenant_id is not None, "a tenant has an id"
        restore_tenant(identity.tenant_id, actor=actor)
        return
    try:
        cancel_erasure(identity, actor=actor)
    except RequestRefused as error:
        raise StateRefused("id", str(error)) from None


def _sees(asker: Asker, found: DataRequest) -> bool:
    if found.whose == Whose.PERSON:
        return (asker.user is not None and found.person_id == asker.user.id) or asker.sees_all
    is_asked_by_them = asker.user is not None and found.requested_by == f"user:{asker.user.id.hex}"
    if is_asked_by_them and _is_beyond_recall(found):
        return True  # whoever asked for it gets the certificate, also when the tenant is gone
    if asker.caller is None or not asker.is_in_charge:
        return False
    return asker.sees_all or found.tenant_id == UUID(asker.caller.tenant_id)


def _is_beyond_recall(found: DataRequest) -> bool:
    """Nothing is left to take back or to read: whoever is in charge no more may know how it ended."""
    return found.kind == RequestKind.ERASURE and found.state != RequestState.GRACE


def _erasure_of_tenant(tenant_id: UUID) -> DataRequest:
    with colony_tx("the erasure of a tenant"):
        return DataRequest.objects.filter(
            kind=RequestKind.ERASURE, whose=Whose.TENANT.value, tenant_id=tenant_id
        ).latest("id")
