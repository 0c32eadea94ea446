"""Decisions that are kept for long enough go: whole months at once, the rest row by row."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import OperationalError, connection

from gdpr.domain.partitions import add_months
from gdpr.ids import uuid7
from gdpr.scope import colony_tx

AT_ONCE: Final = 10_000
SNAPSHOT_GRACE: Final = timedelta(hours=1)  # a decision may name a snapshot that was made some time before it

_log = logging.getLogger(__name__)

# Both ids begin with their time, and are indexed.
_FORGET_DECISIONS: Final = """
    DELETE FROM inference_decision WHERE (month, task_id) IN
        (SELECT month, task_id FROM inference_decision WHERE task_id < %s ORDER BY task_id LIMIT %s)
"""
_FORGET_SNAPSHOTS: Final = """
    DELETE FROM inference_colonysnapshot WHERE id IN
        (SELECT id FROM inference_colonysnapshot WHERE id < %s ORDER BY id LIMIT %s)
"""


def sweep_decisions(now: datetime | None = None) -> int:
    """Returns how many rows went one by one."""
    now = now or datetime.now(UTC)
    oldest = now - timedelta(days=settings.RBEE.decision_days)
    _drop_months(now, oldest)
    return _forget(_FORGET_DECISIONS, oldest) + _forget(_FORGET_SNAPSHOTS, oldest - SNAPSHOT_GRACE)


def _drop_months(now: datetime, oldest: datetime) -> None:
    this_month = now.date().replace(day=1)
    first_kept = min(oldest.date().replace(day=1), add_months(this_month, -1))
    try:
        with colony_tx("months of decisions that are over"), connection.cursor() as cursor:
            cursor.execute("SELECT rbee_drop_decisions(%s)", [first_kept])
    except OperationalError as error:  # the table is busy: a whole month waits for the next night
        _log.warning("months of decisions are not dropped yet: %s", type(error).__name__)


def _forget(delete: str, before: datetime) -> int:
    bound = uuid7(int(before.timestamp() * 1e9))
    total = 0
    while True:
        with colony_tx("decisions that are over"), connection.cursor() as cursor:
            cursor.execute(delete, [bound, AT_ONCE])
            deleted: int = cursor.rowcount
            total += deleted
            if deleted < AT_ONCE:
                return total
