"""Who belongs to a tenant, and as what. A tenant has one owner; another becomes it by transfer, never by a change of
role, so it is never without one by mistake."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx
from tenants.domain.outbox import moment_text, publish
from tenants.domain.tenancy import StateRefused
from tenants.domain.terms_of_members import term_of
from tenants.enums import Role
from tenants.models import Member, Tenant, User


def add_member(
    tenant_id: UUID, user: User, role: str, *, actor: Actor, until: datetime | None = None
) -> Member:
    """`until`: of an auditor. Raises StateRefused for who is a member already and for a second owner, TenantRefused for
    a time that makes no sense."""
    ends_at = term_of(role, until)
    with tenant_tx(tenant_id):
        _lock(tenant_id)
        if Member.objects.filter(user=user).exists():
            raise StateRefused("email", "They are a member already.")
        if role == Role.OWNER and Member.objects.filter(role=Role.OWNER).exists():
            raise StateRefused("role", "There is an owner; let them transfer the ownership.")
        member = Member.objects.create(tenant_id=tenant_id, user=user, role=role, ends_at=ends_at)
        record(
            "member.added",
            actor=actor,
            object_ref=_ref(member),
            details={"role": str(role), "user": user.id.hex} | _until(ends_at),
        )
        publish("member.joined", tenant_id, _data(member))
    return member


def change_role(member: Member, role: str, *, actor: Actor, until: datetime | None = None) -> Member:
    """Also how an auditor's time is changed. Raises StateRefused for the owner's, TenantRefused as `add_member` does."""
    ends_at = term_of(role, until)
    with tenant_tx(member.tenant_id):
        _lock(member.tenant_id)
        member = Member.objects.select_related("user").get(id=member.id)
        if Role.OWNER in {member.role, role}:
            raise StateRefused("role", "Ownership changes by transfer only.")
        if (member.role, member.ends_at) != (role, ends_at):
            record(
                "member.role_changed",
                actor=actor,
                object_ref=_ref(member),
                details={"from": member.role, "to": str(role), "user": member.user_id.hex} | _until(ends_at),
            )
            member.role, member.ends_at = role, ends_at
            member.save(update_fields=["role", "ends_at"])
            publish("member.changed", member.tenant_id, _data(member))
    return member


def remove_member(member: Member, *, actor: Actor) -> None:
    """Also how somebody leaves. Their account stays. Raises StateRefused for the owner."""
    with tenant_tx(member.tenant_id):
        _lock(member.tenant_id)
        found = Member.objects.filter(id=member.id).first()
        if found is None:
            return
        if found.role == Role.OWNER:
            raise StateRefused("role", "The owner stays until the ownership is transferred.")
        record(
            "member.removed",
            actor=actor,
            object_ref=_ref(found),
            details={"role": found.role, "user": found.user_id.hex},
        )
        publish("member.removed", member.tenant_id, _data(found))
        found.delete()


def transfer_ownership(to: Member, *, actor: Actor) -> Member:
    """The owner of before becomes an administrator. Whether it is theirs to give is asked by who calls this."""
    with tenant_tx(to.tenant_id):
        _lock(to.tenant_id)
        to = Member.objects.select_related("user").get(id=to.id)
        owner = Member.objects.filter(role=Role.OWNER).first()
        if to.role == Role.OWNER:
            return to
        if owner is not None:
            owner.role = Role.ADMIN
            owner.save(update_fields=["role"])
            publish("member.changed", to.tenant_id, _data(owner))
        to.role, to.ends_at = Role.OWNER, None
        to.save(update_fields=["role", "ends_at"])
        publish("member.changed", to.tenant_id, _data(to))
        record(
            "tenant.transferred",
            actor=actor,
            object_ref=f"tenant:{to.tenant_id.hex}",
            details={"from": owner.user_id.hex if owner else None, "to": to.user_id.hex},
        )
    return to


def _lock(tenant_id: UUID) -> None:
    """One change of a tenant's members at a time."""
    Tenant.objects.select_for_update().get(id=tenant_id)


def _until(ends_at: datetime | None) -> dict[str, str]:
    return {"until": moment_text(ends_at)} if ends_at else {}


def _data(member: Member) -> dict[str, str]:
    return {"member": str(member.id), "role": str(member.role)}


def _ref(member: Member) -> str:
    return f"member:{member.id.hex}"
