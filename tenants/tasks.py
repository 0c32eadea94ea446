from celery import shared_task

from gdpr.duties import unrecorded
from tenants.domain import alert_mail, auditors, checkpoint_mail, deliveries
from tenants.domain.alerts import MAIL as MAIL_ALERTS
from tenants.domain.audit_checkpoints import tell_checkpoint
from tenants.domain.courier import courier
from tenants.domain.invitations import MAIL
from tenants.domain.invitations import mail_invitations as mail
from tenants.domain.key_expiry import tell_expiring_keys as tell_expiring
from tenants.domain.log_watch import watch_log
from tenants.domain.outbox import DELIVER
from tenants.domain.repeats import forget_answers as forget


@shared_task(name=DELIVER, audits="webhook.disabled")  # type: ignore[untyped-decorator]
def deliver_webhooks() -> None:
    """Asked for by whoever publishes an event, and by beat: for retries, and for hints that were lost."""
    courier.nudge()


@shared_task(name="tenants.sweep_webhooks", audits="webhook.disabled")  # type: ignore[untyped-decorator]
def sweep_webhooks() -> None:
    deliveries.give_up_overdue()
    deliveries.forget_old()


@shared_task(name="tenants.forget_answers", audits=unrecorded("kept answers go after a day"))  # type: ignore[untyped-decorator]
def forget_answers() -> None:
    forget()


@shared_task(name=MAIL, audits=unrecorded("it mails what was recorded as invitation.created"))  # type: ignore[untyped-decorator]
def mail_invitations() -> None:
    """Asked for by whoever invites, and by beat: for hints that were lost, and for servers that were away."""
    mail()


@shared_task(name=MAIL_ALERTS, audits=unrecorded("it mails what was recorded as alert.opened"))  # type: ignore[untyped-decorator]
def mail_alerts() -> None:
    """Asked for by whoever raises one, and by beat: for hints that were lost, and for servers that were away."""
    alert_mail.mail_alerts()


@shared_task(name="tenants.end_auditors", audits="member.removed")  # type: ignore[untyped-decorator]
def end_auditors() -> int:
    return auditors.end_auditors()


@shared_task(name="tenants.tell_expiring_keys", audits="key.expiry_told")  # type: ignore[untyped-decorator]
def tell_expiring_keys() -> None:
    tell_expiring()


@shared_task(name="tenants.tell_checkpoint", audits=unrecorded("it tells what is in the log"))  # type: ignore[untyped-decorator]
def tell_audit_checkpoint() -> None:
    tell_checkpoint()
    checkpoint_mail.mail_checkpoints()


@shared_task(name="tenants.watch_audit_log", audits=("alert.opened", "alert.closed"))  # type: ignore[untyped-decorator]
def watch_audit_log() -> None:
    watch_log()
