"""Accounts of people. Passwords, codes and sessions are django-allauth's; this makes accounts that others vouch for."""

from __future__ import annotations

from datetime import datetime

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx
from tenants.domain.authentication import HOME_TENANT
from tenants.domain.members import add_member
from tenants.domain.tenancy import OPERATOR_TENANT, TenantRefused, TenantTaken
from tenants.enums import Role
from tenants.models import Member, Tenant, User


def find_user(email: str) -> User | None:
    return User.objects.filter(email=email.strip().lower()).first()


def has_verified(user: User, email: str) -> bool:
    return bool(EmailAddress.objects.filter(user=user, email=email, verified=True).exists())


def create_account(*, email: str, name: str, password: str, actor: Actor) -> User:
    """With an address that somebody vouches for: the operator, or a token that came by e-mail to it. Raises
    TenantRefused for a password that is too easy, and TenantTaken."""
    user = User(email=email.strip().lower(), name=name)
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise TenantRefused("password", " ".join(error.messages)) from None
    user.set_password(password)
    try:
        with colony_tx("account made"):
            user.save(force_insert=True)
            EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
            record("account.created", actor=actor, object_ref=f"user:{user.id.hex}")
    except IntegrityError:
        raise TenantTaken("email", "There is an account of this address already.") from None
    return user


def create_operator(
    *, email: str, name: str, password: str, role: str = "", until: datetime | None = None, actor: Actor
) -> Member:
    """A person of the operator's tenant: its owner if it has none, else an administrator, unless `role` says otherwise.
    An account that exists keeps its password. Raises TenantRefused, TenantTaken and StateRefused."""
    with transaction.atomic():
        with colony_tx("operator's tenant"):
            slug = OPERATOR_TENANT if settings.RBEE.is_business else HOME_TENANT
            tenant = Tenant.objects.filter(slug=slug).first()
            if tenant is None:
                raise TenantRefused("tenant", "This colony has no operator yet: run `manage.py bootstrap`.")
            has_owner = Member.objects.filter(tenant=tenant, role=Role.OWNER).exists()
        user = find_user(email) or create_account(email=email, name=name, password=password, actor=actor)
        role = role or (Role.ADMIN if has_owner else Role.OWNER)
        return add_member(tenant.id, user, role, actor=actor, until=until)
