"""Invitations by e-mail: single use, for seven days.

A token is `rbee_inv_<id>_<HMAC of id and salt>`: nothing that opens a door is kept, and a worker that mails it needs no
more than the row. Who is invited again gets another invitation, and the token of before is void.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.core.mail import send_mail
from django.db.models import QuerySet
from django.utils import timezone

from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx
from gdpr.secrets import macs
from tenants.domain.accounts import create_account, find_user, has_verified
from tenants.domain.mail_queue import mail_each
from tenants.domain.members import add_member
from tenants.domain.outbox import moment_text, publish
from tenants.domain.tenancy import StateRefused, TenantRefused
from tenants.domain.terms_of_members import term_of
from tenants.enums import Role, TenantStatus
from tenants.models import Invitation, Member, Tenant, User

PREFIX: Final = "rbee_inv_"
LIFETIME: Final = timedelta(days=7)
OPEN_MAX: Final = 200  # of a tenant: an inbox of strangers is no place to write to without end
MAIL: Final = "tenants.mail_invitations"


class InvitationInvalid(TenantRefused):
    """Whatever is wrong with a token: the answer is the same."""

    def __init__(self) -> None:
        super().__init__("token", "This invitation is not valid: it was used, withdrawn or is too old.")


class LoginFirst(TenantRefused):
    """The invited address has an account: its owner accepts, logged in."""


def invite(
    tenant_id: UUID, *, email: str, role: str, actor: Actor, until: datetime | None = None
) -> tuple[Invitation, str]:
    """The invitation and its token. Again for the same address: with this role, and another token. Raises
    StateRefused for who is a member already, TenantRefused for a time of an auditor that makes no sense."""
    email = email.strip().lower()
    ends_at = term_of(role, until)
    with tenant_tx(tenant_id):
        Tenant.objects.select_for_update().get(id=tenant_id)
        # In one query: who has an account elsewhere takes no longer than who has none.
        if Member.objects.filter(user__email=email).exists():
            raise StateRefused("email", "They are a member already.")
        if role == Role.OWNER and Member.objects.filter(role=Role.OWNER).exists():
            raise StateRefused("role", "There is an owner; let them transfer the ownership.")
        open_ones = Invitation.objects.filter(accepted_at=None, revoked_at=None)
        open_ones.filter(email=email).update(revoked_at=timezone.now())
        if open_ones.filter(expires_at__gt=timezone.now()).count() >= OPEN_MAX:
            raise StateRefused("email", f"{OPEN_MAX} invitations are open; withdraw some first.")
        invitation = Invitation.objects.create(
            tenant_id=tenant_id,
            email=email,
            role=role,
            salt=secrets.token_bytes(16),
            invited_by=str(actor),
            expires_at=timezone.now() + LIFETIME,
            ends_at=ends_at,
        )
        record(
            "invitation.created",
            actor=actor,
            object_ref=_ref(invitation),
            details={"role": str(role)} | ({"until": moment_text(ends_at)} if ends_at else {}),
            private={"contact": {"email": email}},
            subject=invitation.id.hex,  # who has no account has no other name
        )
        publish("member.invited", tenant_id, {"invitation": str(invitation.id), "role": str(role)})
        hint_after_commit(MAIL)
    return invitation, token_of(invitation)


def withdraw(invitation: Invitation, *, actor: Actor) -> None:
    """Withdrawn is withdrawn. Raises StateRefused for one that was accepted."""
    with tenant_tx(invitation.tenant_id):
        invitation = Invitation.objects.select_for_update().get(id=invitation.id)
        if invitation.accepted_at is not None:
            raise StateRefused("invitation", "It was accepted; remove the member instead.")
        if invitation.revoked_at is None:
            invitation.revoked_at = timezone.now()
            invitation.save(update_fields=["revoked_at"])
            record("invitation.withdrawn", actor=actor, object_ref=_ref(invitation))


def accept(token: str, *, user: User | None, name: str = "", password: str = "") -> Member:
    """By whoever is logged in with the invited address, or else by a first password, where RBEE_SIGNUP lets accounts be
    made. Raises InvitationInvalid, LoginFirst, TenantRefused and StateRefused."""
    found = _find(token)
    if found is None:
        raise InvitationInvalid
    with tenant_tx(found.tenant_id):
        tenant = Tenant.objects.select_for_update().get(id=found.tenant_id)
        invitation = Invitation.objects.select_for_update().get(id=found.id)
        if not _is_open(invitation) or tenant.status != TenantStatus.ACTIVE:
            raise InvitationInvalid
        owner_of_address = find_user(invitation.email)
        if owner_of_address is None:
            account = _first_account(invitation, name=name, password=password)
        elif user is None or user.id != owner_of_address.id or not has_verified(user, invitation.email):
            raise LoginFirst("token", "Log in with the address that was invited, then accept.")
        else:
            account = user
        member = add_member(
            tenant.id, account, invitation.role, actor=Actor.user(account.id), until=invitation.ends_at
        )
        invitation.accepted_at = timezone.now()
        invitation.save(update_fields=["accepted_at"])
        record(
            "invitation.accepted",
            actor=Actor.user(account.id),
            object_ref=_ref(invitation),
            details={"invited_by": invitation.invited_by},
        )
    return member


def open_invitation(token: str) -> Invitation | None:
    """With its tenant; None for a token that nobody can accept."""
    found = _find(token)
    return found if found and _is_open(found) and found.tenant.status == TenantStatus.ACTIVE else None


def mail_invitations() -> int:
    """Those that were not mailed yet. Returns how many were. One that cannot be sent stays for the next time."""
    if not settings.RBEE.smtp_url:
        return 0
    return mail_each(_due, _mail)


def token_of(invitation: Invitation) -> str:
    return f"{PREFIX}{invitation.id.hex}_{_macs(invitation)[0]}"


def link_of(token: str) -> str:
    return f"{settings.RBEE.public_url}/accounts/invitation/{token}/"


def _due() -> QuerySet[Invitation]:
    rows = Invitation.objects.select_related("tenant")
    return rows.filter(accepted_at=None, revoked_at=None, expires_at__gt=timezone.now())


def _mail(invitation: Invitation) -> None:
    send_mail(
        f"Invitation to {invitation.tenant.name}",
        MESSAGE.format(
            tenant=invitation.tenant.name,
            role=invitation.role,
            link=link_of(token_of(invitation)),
            token=token_of(invitation),
            until=invitation.expires_at.strftime("%d %B %Y, %H:%M UTC"),
        ),
        settings.RBEE.email_from,
        [invitation.email],
    )


MESSAGE = """You are invited to join {tenant} as {role}.

Open this page to accept:

    {link}

Programs accept by POST /api/v1/invitations/accept with this token:

    {token}

It works once, until {until}. If you do not know {tenant}, do nothing.
"""


def _find(token: str) -> Invitation | None:
    id_hex, _, mac = token.removeprefix(PREFIX).partition("_")
    try:
        invitation_id = UUID(hex=id_hex)
    except ValueError:
        return None
    with colony_tx("find an invitation by its token"):
        invitation = Invitation.objects.select_related("tenant").filter(id=invitation_id).first()
    if invitation is None or not token.startswith(PREFIX):
        return None
    is_good = any(hmac.compare_digest(one.encode(), mac.encode()) for one in _macs(invitation))
    return invitation if is_good else None


def _is_open(invitation: Invitation) -> bool:
    return (
        invitation.accepted_at is None
        and invitation.revoked_at is None
        and invitation.expires_at > timezone.now()
        and (invitation.ends_at is None or invitation.ends_at > timezone.now())
    )


def _first_account(invitation: Invitation, *, name: str, password: str) -> User:
    if settings.RBEE.signup == "closed":
        raise TenantRefused("token", "Accounts are made by the operator here; ask them for one, then accept.")
    if not password:
        raise TenantRefused("password", "Choose a password for your account.")
    return create_account(
        email=invitation.email,
        name=name,
        password=password,
        actor=Actor.system("invitations"),
    )


def _macs(invitation: Invitation) -> list[str]:
    digests = macs("invitation", invitation.id.bytes + bytes(invitation.salt))
    return [base64.urlsafe_b64encode(digest[:24]).decode().replace("_", ".") for digest in digests]


def _ref(invitation: Invitation) -> str:
    return f"invitation:{invitation.id.hex}"
