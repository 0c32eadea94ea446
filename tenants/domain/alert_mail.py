"""Alerts by e-mail, to the people who can do something about them: owner and administrators of the tenant, or of the
operator. Called by a chore, never by who raises."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.utils import timezone

from gdpr.scope import colony_tx
from tenants.domain.mail_queue import mail_each
from tenants.domain.sub_processors import CHANGE, OBJECTION
from tenants.domain.tenancy import OPERATOR_TENANTS
from tenants.enums import Role
from tenants.models import Alert, Member

TOLD_FOR = timedelta(days=1)  # an older one was seen, or nobody reads
OF_PRIVACY = frozenset({CHANGE, OBJECTION})  # the data-protection officer is told of these too


def mail_alerts() -> int:
    """Open ones that were not mailed yet. Returns how many were. One that cannot be sent stays for the next time."""
    if not settings.RBEE.smtp_url:
        return 0
    return mail_each(_due, _mail)


def _due() -> QuerySet[Alert]:
    return Alert.objects.filter(closed_at=None, first_at__gt=timezone.now() - TOLD_FOR)


def _mail(alert: Alert) -> None:
    with colony_tx("who is told of an alert"):
        addresses = _addresses(alert)
    if addresses:
        # Each in the blind copy: who is responsible with whom is nobody's business outside.
        EmailMessage(
            f"rbee: {alert.kind.replace('_', ' ')}",
            MESSAGE.format(alert=alert, url=settings.RBEE.public_url),
            settings.RBEE.email_from,
            bcc=addresses,
        ).send()


def _addresses(alert: Alert) -> list[str]:
    roles = [Role.OWNER, Role.ADMIN, *([Role.DPO] if alert.kind in OF_PRIVACY else [])]
    members = Member.objects.filter(role__in=roles, user__is_active=True)
    if alert.tenant_id is None:
        members = members.filter(tenant__slug__in=OPERATOR_TENANTS)
    else:
        members = members.filter(tenant=alert.tenant_id)
    return sorted(set(members.values_list("user__email", flat=True)))


MESSAGE = """{alert.message}

It is about {alert.object_ref}, and happened {alert.count} time(s) so far.

    rbee alert list
    rbee alert close {alert.id}

{url}
"""
