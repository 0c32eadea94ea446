from celery import shared_task

from gdpr.chores import hint_after_commit
from gdpr.domain import audit_archive, audit_pruning, retention, rotation, siem, vault
from gdpr.domain.exports import expire_exports
from gdpr.domain.partitions import make_partitions
from gdpr.domain.requests import WORK, is_work_left
from gdpr.domain.requests import work_requests as work
from gdpr.duties import unrecorded

SLICE_S = 10.0  # so that what is long keeps no other chore from its turn


@shared_task(name="gdpr.make_partitions", audits=unrecorded("empty months"))  # type: ignore[untyped-decorator]
def make_partitions_ahead() -> None:
    make_partitions()


@shared_task(name=retention.CHORE, audits="retention.applied")  # type: ignore[untyped-decorator]
def apply_retention() -> None:
    retention.apply_retention()


@shared_task(name=WORK, audits=("gdpr.export.ready", "gdpr.erasure.completed"))  # type: ignore[untyped-decorator]
def work_requests() -> None:
    """Asked for by whoever makes a request, and by beat: for hints that were lost, and for what is due by time."""
    expire_exports()
    work(SLICE_S)
    if is_work_left():
        hint_after_commit(WORK)


@shared_task(name="gdpr.sweep_vault", audits=unrecorded("items end in the month that their entries name"))  # type: ignore[untyped-decorator]
def sweep_vault() -> None:
    vault.sweep()


@shared_task(name=rotation.RENEW, audits=unrecorded("it goes on with what was rotated"))  # type: ignore[untyped-decorator]
def renew_keys() -> None:
    """Asked for by whoever rotates a key, and by beat: what a killed worker left is taken up by the next one."""
    rotation.renew_all()


@shared_task(name="gdpr.keep_audit_months", audits=("audit_month.archived", "audit_month.dropped"))  # type: ignore[untyped-decorator]
def keep_audit_months() -> int:
    return audit_archive.keep_months() + audit_pruning.prune_log()


@shared_task(name="gdpr.forward_audit_log", audits=("log_forward.failed", "log_forward.resumed"))  # type: ignore[untyped-decorator]
def forward_audit_log() -> int:
    return siem.forward_log()
