"""The end of a person's account. What they own has to go to somebody else first, or go too: a tenant without an owner is
nobody's."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from gdpr.domain.audit import Actor, record
from gdpr.domain.erasure import begin_erasure
from gdpr.holding import Identity, Whose
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from tenants.domain.tenancy import StateRefused
from tenants.enums import Role, TenantStatus
from tenants.models import Member, User


def delete_account(user: User, *, actor: Actor) -> DataRequest:
    """It goes on as it is until its time of grace is over; they log in and take it back until then. Raises StateRefused
    for who owns a tenant."""
    with colony_tx("an account is deleted"):
        User.objects.select_for_update().get(id=user.id)
        owned = (
            Member.objects.filter(user=user, role=Role.OWNER)
            .exclude(tenant__status__in=[TenantStatus.DELETING, TenantStatus.CLOSED])
            .values_list("tenant__slug", flat=True)
        )
        if names := ", ".join(sorted(owned)):
            raise StateRefused("confirm", f"You own {names}: transfer the ownership, or delete it, first.")
        grace = timedelta(days=settings.RBEE.grace_account_days)
        return begin_erasure(Identity(Whose.PERSON, id=user.id), grace=grace, actor=actor)


def lock_account(identity: Identity) -> None:
    """Nobody logs in by it any more, and who is logged in is not. Its sessions go with the other rows."""
    assert identity.id is not None, "a person has an id"
    with colony_tx("an account is locked"):
        changed = User.objects.filter(id=identity.id, is_active=True).update(is_active=False)
        if changed:
            record("account.locked", actor=Actor.system("tenants"), object_ref=f"user:{identity.id.hex}")
