"""What the retention of the audit log takes from its files: entries of months that were dropped. Their hashes stay."""

from __future__ import annotations

import logging

from django.conf import settings

from gdpr.domain.audit_archive import minimum_index
from gdpr.domain.audit_proofs import LogDamaged, LogUnavailable, PublishedLog
from gdpr.log.store import FolderStore
from gdpr.log.term import DROPPED, TooYoung, remove_bundles
from gdpr.log.tiles import TileRefused
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx

logger = logging.getLogger(__name__)


def prune_log() -> int:
    """As far as the log itself tells of it, in an entry that is published: by that one anybody sees why entries are gone.
    Returns how many bundles went; what cannot go yet waits for the next run."""
    if not minimum_index():
        return 0
    try:
        size = PublishedLog().checkpoint.size
        return remove_bundles(FolderStore(settings.RBEE.audit_dir), size, _told(size))
    except LogUnavailable:
        return 0
    except (LogDamaged, TooYoung, TileRefused, OSError) as error:
        logger.error("entries of the audit log whose time is over stay in its files: %s", error)
        return 0


def _told(size: int) -> int:
    with colony_tx("what the log tells of its beginning"):
        newest = AuditEntry.objects.filter(event=DROPPED, seq__lt=size).order_by("-seq").first()
    return (newest.details["minimum_index"] or 0) if newest else 0
