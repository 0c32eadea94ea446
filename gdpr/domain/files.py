"""The holders of files: archives that were made for whoever is erased, and the logs of this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from gdpr.domain import needles as needles_of
from gdpr.domain.holders import Erased, Hold
from gdpr.holding import Identity, Whose
from gdpr.request_models import DataRequest, RequestKind, RequestState
from gdpr.scanner import forms_of
from gdpr.scope import colony_tx

CHUNK: Final = 1024 * 1024
LOOKED_FOR: Final = 300  # names and addresses
LEAST: Final = 8  # bytes


def exports_folder() -> Path:
    folder: Path = settings.RBEE.data_dir / "exports"
    return folder


def folder_of(request_id: UUID) -> Path:
    return exports_folder() / request_id.hex


class Files:
    """Exports, also of subjects of a tenant that goes, and of the tenant of a subject: they hold the subject too. One of a
    tenant that is being made begins anew, without the subject."""

    name = "files"

    def erase(self, identity: Identity, hold: Hold) -> Erased:
        with colony_tx("exports of whoever is erased"):
            made = {request.id: _is_being_made_for(identity, request) for request in _exports_of(identity)}
            # Whoever works on one finds that it lost it.
            lost: dict[str, Any] = {"progress": {}, "lease_until": None, "fence": F("fence") + 1}
            DataRequest.objects.filter(id__in=[each for each, again in made.items() if again]).update(
                state=RequestState.QUEUED, step="", attempts=0, next_at=timezone.now(), **lost
            )
            DataRequest.objects.filter(id__in=[each for each, again in made.items() if not again]).update(
                state=RequestState.EXPIRED, expires_at=timezone.now(), result={}, **lost
            )
        gone = sum(remove_folder(request_id) for request_id in made)
        return Erased({"exports": gone} if gone else {})

    def remains(self, identity: Identity, needles: Sequence[str]) -> list[str]:
        with colony_tx("exports of whoever is erased"):
            since = _tables_erased_at(identity)
            return [
                f"the export {request.id}"
                for request in _exports_of(identity)
                if folder_of(request.id).exists() and not _is_made_since(since, request)
            ]


class Logs:
    """Logs hold identifiers only. What got in all the same, in the words of a library, is written over where it stands: a
    process that has the file open goes on writing behind it."""

    name = "logs"

    def erase(self, identity: Identity, hold: Hold) -> Erased:
        words = _words(needles_of.opened(bytes(hold.request.needles_sealed)).texts)
        struck = 0
        for path in log_files():
            hold.renew()
            struck += strike_out(path, words)
        return Erased({"words struck out": struck} if struck else {})

    def remains(self, identity: Identity, needles: Sequence[str]) -> list[str]:
        words = _words(needles)
        return [path.name for path in log_files() if _holds(path, words)]


def _holds(path: Path, words: Sequence[bytes]) -> bool:
    longest = max(map(len, words), default=0)
    with path.open("rb") as file:
        kept = b""
        while chunk := file.read(CHUNK):
            data = kept + chunk
            if any(word in data for word in words):
                return True
            kept = data[-longest:]
    return False


def log_files() -> Iterator[Path]:
    data: Path = settings.RBEE.data_dir
    for folder in (data / "logs", data / "hive" / "log"):
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if path.is_file() and not path.is_symlink())


def strike_out(path: Path, words: Sequence[bytes]) -> int:
    """How many. Over chunks that overlap by more than the longest word."""
    longest = max(map(len, words), default=0)
    if not longest:
        return 0
    struck = 0
    with path.open("r+b") as file:
        start = 0
        while True:
            file.seek(start)
            chunk = file.read(CHUNK + longest)
            if not chunk:
                return struck
            for word in words:
                at = chunk.find(word)
                while at >= 0:
                    file.seek(start + at)
                    file.write(b"*" * len(word))
                    struck += 1
                    at = chunk.find(word, at + len(word))
            if len(chunk) <= CHUNK:
                return struck
            start += CHUNK


def remove_folder(request_id: UUID) -> int:
    folder = folder_of(request_id)
    if not folder.exists():
        return 0
    shutil.rmtree(folder)
    return 1


def _exports_of(identity: Identity) -> Iterator[DataRequest]:
    wanted = Q(person_id=identity.id) if identity.whose is Whose.PERSON else Q(tenant_id=identity.tenant_id)
    if identity.whose is Whose.SUBJECT:
        wanted &= Q(subject=identity.subject) | Q(whose=Whose.TENANT.value)
    yield from DataRequest.objects.filter(wanted, kind=RequestKind.EXPORT)


def _is_being_made_for(identity: Identity, request: DataRequest) -> bool:
    """For the tenant of the subject that is erased."""
    is_of_tenant = identity.whose is Whose.SUBJECT and request.whose == Whose.TENANT
    return is_of_tenant and request.state in (RequestState.QUEUED, RequestState.RUNNING)


def _is_made_since(tables_erased_at: float, request: DataRequest) -> bool:
    """It holds nothing of the subject of whose tenant it is."""
    began_at = request.next_at.timestamp()
    return request.whose == Whose.TENANT and 0 < tables_erased_at <= began_at


def _tables_erased_at(identity: Identity) -> float:
    """Of the subject, whose erasure is verified; seconds since 1970. 0: it is somebody else's."""
    if identity.whose is not Whose.SUBJECT:
        return 0.0
    erasure = DataRequest.objects.filter(
        kind=RequestKind.ERASURE, state=RequestState.VERIFYING, whose=identity.whose, tenant_id=identity.tenant_id,
        subject=identity.subject,
    ).first()  # fmt: skip
    done = erasure.progress.get("done", {}) if erasure else {}
    return float(done.get("database", {}).get("at", 0))


def _words(texts: Sequence[str]) -> list[bytes]:
    """Longer ones first: one may be the beginning of another."""
    written = {form for text in texts[:LOOKED_FOR] for form in forms_of(text).values() if len(form) >= LEAST}
    return sorted(written, key=len, reverse=True)
