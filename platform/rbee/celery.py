"""The colony's own chores. Tasks of customers never pass here: they go to the hives' queues, by the queen's own publisher.

celery -A rbee.celery worker        celery -A rbee.celery beat
"""

import logging
import os
from functools import lru_cache
from typing import Any

from celery import Celery, Task, signals
from celery.schedules import crontab

from rbee_quiet.install import be_quiet

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rbee.settings")

from django.conf import settings

from gdpr.chores import KEY_PREFIX, QUEUE
from rbee.env import exit_on_misconfiguration

with exit_on_misconfiguration():
    settings.RBEE.require("database_url", "celery_broker_url", "secret_key")

log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def watch() -> Any:
    from gdpr.domain.replays import Watch  # needs models, which are there once the worker has started

    return Watch()


class Chore(Task):  # type: ignore[misc]
    """Waits while this database is behind the ledger of erasures: it would write to people who are not to be known."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.name.startswith("gdpr.") and watch().is_behind():
            log.warning("%s waits for `rbee gdpr replay`", self.name)
            return None
        return super().__call__(*args, **kwargs)


app = Celery("rbee", broker=settings.RBEE.celery_broker_url, task_cls=Chore)
app.conf.update(
    accept_content=["json"],
    task_serializer="json",
    task_ignore_result=True,
    result_backend=None,
    worker_enable_remote_control=False,
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
    worker_concurrency=1,
    worker_prefetch_multiplier=1,
    task_acks_late=True,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"global_keyprefix": KEY_PREFIX, "visibility_timeout": 3600},
    task_default_queue=QUEUE,
    timezone="UTC",
    # In memory: chores are idempotent, and a file would be one more thing to repair after a kill.
    beat_scheduler="celery.beat:Scheduler",
    beat_schedule={
        "partitions": {"task": "gdpr.make_partitions", "schedule": crontab(hour="3", minute="17")},
        "retention": {"task": "gdpr.apply_retention", "schedule": crontab(hour="3", minute="47")},
        "books that are over": {"task": "billing.forget_books", "schedule": crontab(hour="3", minute="57")},
        "receipts of who was erased": {
            "task": "billing.forget_late_receipts",
            "schedule": crontab(minute="52"),
        },
        "months of the audit log": {
            "task": "gdpr.keep_audit_months",
            "schedule": crontab(hour="4", minute="37"),
        },
        "SIEM": {"task": "gdpr.forward_audit_log", "schedule": 15.0, "options": {"expires": 15.0}},
        "fences": {"task": "billing.sweep_fences", "schedule": crontab(hour="3", minute="27")},
        "invoices of the month before": {
            "task": "billing.close_periods",
            "schedule": crontab(hour="4", minute="7"),
        },
        "invoices before the month is over": {
            "task": "billing.invoice_thresholds",
            "schedule": crontab(minute="17"),
        },
        "invoices to mail": {"task": "billing.mail_invoices", "schedule": 60.0, "options": {"expires": 60.0}},
        "VAT ids": {"task": "billing.check_vat_ids", "schedule": crontab(minute="42")},
        "Stripe": {"task": "billing.stripe_work", "schedule": 15.0, "options": {"expires": 15.0}},
        "Stripe's own list": {"task": "billing.fill_stripe_gaps", "schedule": crontab(minute="17")},
        "Stripe's meters": {
            "task": "billing.report_usage_to_stripe",
            "schedule": 60.0,
            "options": {"expires": 60.0},
        },
        "dunning": {"task": "billing.run_dunning", "schedule": 60.0, "options": {"expires": 60.0}},
        "exports and erasures": {
            "task": "gdpr.work_requests",
            "schedule": 15.0,
            "options": {"expires": 15.0},
        },
        "join tokens": {"task": "inference.sweep_join_tokens", "schedule": crontab(minute="37")},
        "invitations": {"task": "tenants.mail_invitations", "schedule": 60.0, "options": {"expires": 60.0}},
        "auditors": {"task": "tenants.end_auditors", "schedule": 60.0, "options": {"expires": 60.0}},
        "hives' Redis users": {
            "task": "inference.restore_hive_acls",
            "schedule": 15.0,
            "options": {"expires": 15.0},  # one that waited is of no use beside the next
        },
        "answers that were kept": {"task": "tenants.forget_answers", "schedule": crontab(minute="57")},
        "webhooks that are due": {
            "task": "tenants.deliver_webhooks",
            "schedule": 15.0,
            "options": {"expires": 15.0},
        },
        "alerts": {"task": "tenants.mail_alerts", "schedule": 60.0, "options": {"expires": 60.0}},
        "budget slices": {"task": "inference.keep_slices", "schedule": 60.0, "options": {"expires": 60.0}},
        "decisions": {"task": "inference.sweep_decisions", "schedule": crontab(hour="3", minute="37")},
        "kept content that is over": {"task": "inference.sweep_content", "schedule": crontab(minute="*/10")},
        "books": {"task": "inference.reconcile_books", "schedule": crontab(hour="2", minute="7")},
        "GPUs": {"task": "inference.note_gpus", "schedule": 60.0, "options": {"expires": 60.0}},
        "keys that expire": {"task": "tenants.tell_expiring_keys", "schedule": crontab(minute="27")},
        "whether the audit log stands still": {
            "task": "tenants.watch_audit_log",
            "schedule": 60.0,
            "options": {"expires": 60.0},
        },
        "the audit log's checkpoint": {"task": "tenants.tell_checkpoint", "schedule": crontab(minute="12")},
        "webhooks that are over": {"task": "tenants.sweep_webhooks", "schedule": crontab(minute="47")},
        "vault items that are over": {"task": "gdpr.sweep_vault", "schedule": crontab(hour="3", minute="47")},
        "keys that were rotated": {"task": "gdpr.renew_keys", "schedule": crontab(minute="22")},
    },
)
app.autodiscover_tasks()


@signals.celeryd_init.connect  # type: ignore[untyped-decorator]
@signals.beat_init.connect  # type: ignore[untyped-decorator]
def _be_quiet(**_: object) -> None:
    be_quiet(name_errors_only=True)
