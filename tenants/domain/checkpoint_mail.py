"""The audit log's checkpoint by mail, once a day, to the members that somebody named: what lies in their mailbox is out of
the operator's reach."""

from __future__ import annotations

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import QuerySet
from django.utils import timezone

from gdpr.domain.audit import Actor, record
from gdpr.domain.audit_proofs import LogUnavailable, PublishedLog
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.mail_queue import mail_each
from tenants.domain.tenancy import StateRefused
from tenants.models import CheckpointMail, Member


def subscribe(member: Member, *, actor: Actor) -> CheckpointMail:
    """Again changes nothing. Raises StateRefused for who is a member no more."""
    with tenant_tx(member.tenant_id):
        if not Member.objects.select_for_update(of=("self",)).filter(id=member.id).exists():
            raise StateRefused("member", "They are a member no more.")
        row, is_new = CheckpointMail.objects.get_or_create(
            member_id=member.id, defaults={"tenant_id": member.tenant_id}
        )
        if is_new:
            record("audit.subscribed", actor=actor, object_ref=_ref(member))
    return row


def unsubscribe(member: Member, *, actor: Actor) -> None:
    """Nothing happens for who is not."""
    with tenant_tx(member.tenant_id):
        gone, _ = CheckpointMail.objects.filter(member_id=member.id).delete()
        if gone:
            record("audit.unsubscribed", actor=actor, object_ref=_ref(member))


def mail_checkpoints() -> int:
    """To whom was mailed none today. Returns how many were. Raises LogDamaged."""
    if not settings.RBEE.smtp_url:
        return 0
    try:
        log = PublishedLog()
    except LogUnavailable:
        return 0
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    with colony_tx("checkpoints of the day before"):
        CheckpointMail.objects.filter(mailed_at__lt=midnight).update(mailed_at=None)
    return mail_each(_due, lambda row: _mail(row, log))


def _due() -> QuerySet[CheckpointMail]:
    return CheckpointMail.objects.filter(member__user__is_active=True)


def _mail(row: CheckpointMail, log: PublishedLog) -> None:
    """The note is attached as it was signed, byte by byte: a mail's own text may be wrapped on its way."""
    with colony_tx("who is mailed a checkpoint"):
        address = Member.objects.values_list("user__email", flat=True).get(id=row.member_id)
    name = f"checkpoint-{log.checkpoint.size}.txt"
    mail = EmailMessage(
        f"rbee: the audit log of {log.checkpoint.origin} has {log.checkpoint.size} entries",
        MESSAGE.format(note=log.note, name=name, url=settings.RBEE.public_url),
        settings.RBEE.email_from,
        to=[address],
    )
    mail.attach(name, log.note.encode(), "application/octet-stream")
    mail.send()


def _ref(member: Member) -> str:
    return f"member:{member.id.hex}"


MESSAGE = """Keep this: no entry of the audit log before it can be changed, dropped or added without its showing.

{note}
The same is attached. With the log's folder and key,

    rbee audit verify FOLDER --key audit.key --checkpoint {name}

says whether the log begins with what was signed here. Who manages your members ends these mails:

    rbee audit unsubscribe YOUR-ADDRESS

{url}
"""
