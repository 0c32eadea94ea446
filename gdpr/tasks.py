from celery import shared_task

from gdpr.domain import audit_archive, siem
from gdpr.domain.partitions import make_partitions
from gdpr.duties import unrecorded


@shared_task(name="gdpr.make_partitions", audits=unrecorded("empty months"))  # type: ignore[untyped-decorator]
def make_partitions_ahead() -> None:
    make_partitions()


@shared_task(name="gdpr.keep_audit_months", audits=("audit_month.archived", "audit_month.dropped"))  # type: ignore[untyped-decorator]
def keep_audit_months() -> int:
    return audit_archive.keep_months()


@shared_task(name="gdpr.forward_audit_log", audits=("log_forward.failed", "log_forward.resumed"))  # type: ignore[untyped-decorator]
def forward_audit_log() -> int:
    return siem.forward_log()
