"""Seven calendar years of the audit log. A month that is over is written once to files that are made to stay as they are;
when its time is over, its partition is dropped and the log begins later: its hashes stay, so the tree still verifies, and
`audit_pruning` removes its entries from the files of the log.

A month's folder holds its entries as they are hashed, one in each line, and `manifest.json` with the SHA-256 of each file.
A month that is dropped leaves no gap in the log, but a higher minimum index.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.conf import settings
from django.db import OperationalError, connection
from django.db.models import Max, Min
from django.utils import timezone

from gdpr.access_models import ArchivedMonth
from gdpr.domain.audit import Actor, canonical_entry, record
from gdpr.domain.audit_log import pages_of
from gdpr.domain.partitions import add_months
from gdpr.log.term import DROPPED, kept_until
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx

ACTOR: Final = Actor.system("retention")
SETTLES: Final = timedelta(
    days=2
)  # after its end: what was begun in it is written, and has its place in the log
FILE_BYTES: Final = 64 * 1024 * 1024
FORMAT: Final = "rbee-audit-month/1"
COLUMNS: Final = (
    "id", "tenant_id", "event", "actor", "object_ref", "outcome", "details", "request_id", "at", "schema_version"
)  # fmt: skip

logger = logging.getLogger(__name__)


class ArchiveDiffers(RuntimeError):
    """A file of the archive is there already and holds something else."""


class Month(NamedTuple):
    month: date
    kept_until: date  # excluded
    archived: ArchivedMonth | None
    is_over: bool


def months(now: datetime | None = None) -> list[Month]:
    """Those that are there or were, oldest first."""
    now = now or datetime.now(UTC)
    with colony_tx("months of the audit log"):
        archived = {row.month: row for row in ArchivedMonth.objects.all()}
        present = _partitions()
    return [
        Month(month, kept_until(month), archived.get(month), _is_over(month, now))
        for month in sorted({*archived, *present})
    ]


def keep_months(now: datetime | None = None) -> int:
    """Writes the months that are over, and drops those whose time is. Returns how many."""
    now = now or datetime.now(UTC)
    done = 0
    for each in months(now):
        if each.archived is None and each.is_over and _is_numbered(each.month):
            archive_month(each.month)
            done += 1
    for each in months(now):
        if each.archived and each.archived.dropped_at is None and each.kept_until <= now.date():
            done += drop_month(each.month)
    return done


def archive_month(month: date) -> ArchivedMonth:
    """Also one without an entry, which says so. Again writes nothing. Raises ArchiveDiffers and OSError."""
    folder = archive_folder() / f"{month:%Y}" / f"{month:%m}"
    folder.mkdir(parents=True, exist_ok=True)
    files = list(_write_entries(month, folder))
    with colony_tx("a month of the audit log"):
        bounds = AuditEntry.objects.filter(month=month).aggregate(first=Min("seq"), last=Max("seq"))
    manifest = {
        "format": FORMAT,
        "month": f"{month:%Y-%m}",
        "entries": sum(file["entries"] for file in files),
        "first_seq": bounds["first"],
        "last_seq": bounds["last"],
        "keep_until": kept_until(month).isoformat(),
        "files": files,
    }
    text = json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"
    _write_once(folder / "manifest.json", text)
    with colony_tx("a month of the audit log is written"):
        row, is_new = ArchivedMonth.objects.get_or_create(
            month=month,
            defaults={
                "entries": manifest["entries"],
                "first_seq": bounds["first"],
                "last_seq": bounds["last"],
                "manifest_sha256": hashlib.sha256(text).digest(),
            },
        )
        if is_new:
            record("audit_month.archived", actor=ACTOR, object_ref=_ref(month), details=_details(row))
    return row


def drop_month(month: date) -> bool:
    """Its partition, once it is in the archive as it was written. False: the table is busy, or the archive is not whole."""
    if not is_whole(month):
        logger.error("the month %s stays: its archive is not whole", f"{month:%Y-%m}")
        return False
    try:
        with colony_tx("a month of the audit log whose time is over"):
            row = ArchivedMonth.objects.select_for_update().get(month=month)
            if _count(month) != row.entries:
                logger.error("the month %s stays: it has entries that its archive has not", f"{month:%Y-%m}")
                return False
            with connection.cursor() as cursor:
                cursor.execute("SELECT rbee_drop_audit_month(%s)", [month])
            row.dropped_at = timezone.now()
            row.minimum_index = _minimum_index(row)
            row.save(update_fields=["dropped_at", "minimum_index"])
            record(DROPPED, actor=ACTOR, object_ref=_ref(month), details=_details(row))
    except OperationalError as error:
        logger.warning("a month of the audit log is not dropped yet: %s", type(error).__name__)
        return False
    return True


def minimum_index() -> int:
    """Of the log: what is below it was dropped when its time was over."""
    with colony_tx("minimum index of the log"):
        return ArchivedMonth.objects.aggregate(most=Max("minimum_index"))["most"] or 0


def is_whole(month: date) -> bool:
    """Every file of its archive is there and as the manifest and our row say."""
    folder = archive_folder() / f"{month:%Y}" / f"{month:%m}"
    with colony_tx("a month of the archive"):
        row = ArchivedMonth.objects.get(month=month)
    try:
        text = (folder / "manifest.json").read_bytes()
        if hashlib.sha256(text).digest() != bytes(row.manifest_sha256):
            return False
        return all(_sha256(folder / file["name"]) == file["sha256"] for file in json.loads(text)["files"])
    except OSError:
        return False


def archive_folder() -> Path:
    folder: Path = settings.RBEE.audit_archive_dir or settings.RBEE.data_dir / "audit-archive"
    return folder


def _write_entries(month: date, folder: Path) -> Iterator[dict[str, Any]]:
    """In files of at most FILE_BYTES, each with its name, hash, size and count."""
    number, lines, size = 1, list[bytes](), 0
    for page in pages_of(
        lambda: AuditEntry.objects.filter(month=month), lambda: colony_tx("a month to keep")
    ):
        for entry in page:
            line = canonical_entry(**{name: getattr(entry, name) for name in COLUMNS}) + b"\n"
            if lines and size + len(line) > FILE_BYTES:
                yield _entries_file(folder, number, lines)
                number, lines, size = number + 1, [], 0
            lines.append(line)
            size += len(line)
    yield _entries_file(folder, number, lines)


def _entries_file(folder: Path, number: int, lines: list[bytes]) -> dict[str, Any]:
    name, text = f"entries-{number:05}.jsonl", b"".join(lines)
    _write_once(folder / name, text)
    return {
        "name": name,
        "sha256": hashlib.sha256(text).hexdigest(),
        "bytes": len(text),
        "entries": len(lines),
    }


def _write_once(path: Path, text: bytes) -> None:
    """Whole or not at all, and never over another. Raises ArchiveDiffers."""
    if path.exists():
        if _sha256(path) != hashlib.sha256(text).hexdigest():
            raise ArchiveDiffers(f"{path} is there already and holds something else")
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(0o444)
        part.rename(path)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_over(month: date, now: datetime) -> bool:
    return datetime.combine(add_months(month, 1), datetime.min.time(), UTC) + SETTLES <= now


def _is_numbered(month: date) -> bool:
    """Every entry of it has its place in the log."""
    with colony_tx("entries without a place"):
        return not AuditEntry.objects.filter(month=month, seq=None).exists()


def _count(month: date) -> int:
    with colony_tx("entries of a month"):
        return AuditEntry.objects.filter(month=month).count()


def _partitions() -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT to_date(right(c.relname, 7), 'YYYY_MM') FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
            " WHERE i.inhparent = 'gdpr_auditentry'::regclass"
        )
        return [row[0] for row in cursor.fetchall()]


def _minimum_index(row: ArchivedMonth) -> int | None:
    """Months overlap in the log: an entry may get its place after one of the next month."""
    oldest = AuditEntry.objects.exclude(seq=None).order_by("seq").values_list("seq", flat=True).first()
    after = None if row.last_seq is None else row.last_seq + 1
    return oldest if oldest is not None else after


def _details(row: ArchivedMonth) -> dict[str, Any]:
    return {
        "entries": row.entries,
        "manifest_sha256": bytes(row.manifest_sha256).hex(),
        "minimum_index": row.minimum_index,
    }


def _ref(month: date) -> str:
    return f"audit_month:{month:%Y-%m}"
