"""Rows that are mailed once: claimed in one transaction, sent outside of any, and marked in another.

A mail server that is slow holds no row and no connection. Who dies in between holds its claim until the lease runs out;
what it sent and could not mark is sent a second time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from smtplib import SMTPException, SMTPRecipientsRefused
from typing import Final, TypeVar
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from gdpr.scope import colony_tx
from tenants.models import Alert, CheckpointMail, Invitation

LEASE: Final = timedelta(minutes=5)  # longer than a server takes before it counts as away
UNKNOWN_FOR: Final = timedelta(hours=1)  # an address that the server will not have

Mailed = Alert | CheckpointMail | Invitation
M = TypeVar("M", Alert, CheckpointMail, Invitation)

logger = logging.getLogger(__name__)


def mail_each(due: Callable[[], QuerySet[M]], send: Callable[[M], None]) -> int:
    """Returns how many were mailed. One that cannot be sent stays for the next time: a server that is away ends this run,
    an address that it refuses keeps nobody else from their mail, and one that it does not know is left alone for an hour."""
    mailed, tried = 0, set[UUID]()
    while (row := _claim(due, tried)) is not None:
        tried.add(row.id)
        try:
            send(row)
        except (SMTPException, OSError) as error:
            logger.warning("%s was not mailed (%s): tried again later", _what(row), type(error).__name__)
            _release(row, until=timezone.now() + UNKNOWN_FOR if _is_unknown(error) else None)
            if not isinstance(error, SMTPRecipientsRefused):
                break
        else:
            _mark(row)
            mailed += 1
    return mailed


def _claim(due: Callable[[], QuerySet[M]], tried: set[UUID]) -> M | None:
    with colony_tx("claim a mail"):
        now = timezone.now()
        is_free = Q(mailing_until=None) | Q(mailing_until__lte=now)
        rows = due().select_for_update(skip_locked=True, of=("self",)).filter(is_free, mailed_at=None)
        row = rows.exclude(id__in=tried).order_by("id").first()
        if row is not None:
            row.mailing_until = now + LEASE
            row.save(update_fields=["mailing_until"])
    return row


def _mark(row: Mailed) -> None:
    with colony_tx("mark what was mailed"):
        type(row).objects.filter(id=row.id).update(mailed_at=timezone.now(), mailing_until=None)


def _release(row: Mailed, until: datetime | None = None) -> None:
    """Unless another process took it over after our lease. `until`: nobody takes it before."""
    with colony_tx("release a mail"):
        type(row).objects.filter(id=row.id, mailing_until=row.mailing_until).update(mailing_until=until)


def _is_unknown(error: Exception) -> bool:
    """By SMTP's codes: from 500 on it is of no use to try again."""
    if not isinstance(error, SMTPRecipientsRefused):
        return False
    return all(code >= 500 for code, _ in error.recipients.values())


def _what(row: Mailed) -> str:
    return {Alert: "an alert", CheckpointMail: "a checkpoint", Invitation: "an invitation"}[type(row)]
