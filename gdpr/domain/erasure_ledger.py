"""What was erased, in a file outside of the database: a backup that is restored knows nothing of it.

A line for each erasure, written and synced before the first thing is deleted; pseudonyms only. Each line carries the hash
of the one before and an HMAC, so that one that was taken out, altered or torn is noticed. A database is behind the ledger
when it does not know a line's request, or still has it in grace; until `rbee gdpr replay` has erased those again, nothing
is served.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from django.conf import settings

from gdpr.holding import Identity, Whose
from gdpr.request_models import STANDING, DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx
from gdpr.secrets import lasting

LABEL: Final = "erasure-ledger"
FIRST: Final = "0" * 64


class LedgerBroken(Exception):
    """A line was altered or taken out. Somebody has to look at it before anything is served."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """Of one erasure."""

    request: str
    at: str
    whose: str
    tenant: str = ""
    person: str = ""
    subject: str = ""
    before: str  # SHA-256 of the line before
    mac: str = ""

    @property
    def identity(self) -> Identity:
        return Identity(
            Whose(self.whose),
            id=UUID(self.person) if self.person else None,
            tenant_id=UUID(self.tenant) if self.tenant else None,
            subject=self.subject,
        )


def ledger_path() -> Path:
    path: Path = settings.RBEE.erasure_ledger or settings.RBEE.data_dir / "erasures.ledger"
    return path


def write_line(request: DataRequest) -> None:
    """Once for each request. On the disk when this returns."""
    path = ledger_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        whole = file.read()
        if not whole.endswith(b"\n") and whole:  # a line whose writer died within it counts for nothing
            whole = whole[: whole.rfind(b"\n") + 1]
            file.truncate(len(whole))
        lines = whole.splitlines()
        if any(line.request == request.id.hex for line in _read(whole)):
            return
        line = Line(
            request=request.id.hex,
            at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            whose=request.whose,
            tenant=request.tenant_id.hex if request.tenant_id else "",
            person=request.person_id.hex if request.person_id else "",
            subject=request.subject,
            before=hashlib.sha256(lines[-1]).hexdigest() if lines else FIRST,
        )
        file.write(_encode(msgspec.structs.replace(line, mac=_mac(line))) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def read_lines() -> list[Line]:
    """Raises LedgerBroken."""
    path = ledger_path()
    if not path.exists():
        return []
    whole = path.read_bytes()
    return list(_read(whole[: whole.rfind(b"\n") + 1]))


def lines_behind() -> list[Line]:
    """Those that this database does not know to be erased. Raises LedgerBroken. One query when there are lines."""
    lines = read_lines()
    if not lines:
        return []
    with colony_tx("erasures that the ledger knows"):
        known = DataRequest.objects.filter(
            kind=RequestKind.ERASURE, id__in=[UUID(line.request) for line in lines]
        )
        going = set(known.exclude(state__in=[*STANDING, RequestState.CANCELLED]).values_list("id", flat=True))
    return [line for line in lines if UUID(line.request) not in going]


def stamp() -> tuple[int, int]:
    """Another one when the ledger has changed."""
    try:
        found = ledger_path().stat()
    except OSError:
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)


def _read(whole: bytes) -> Iterator[Line]:
    before = FIRST
    for number, raw in enumerate(whole.splitlines(), 1):
        try:
            line = msgspec.json.decode(raw, type=Line)
        except msgspec.MsgspecError as error:
            raise LedgerBroken(f"line {number} of the ledger of erasures is not understood") from error
        if line.before != before or not hmac.compare_digest(line.mac, _mac(line)):
            raise LedgerBroken(
                f"line {number} of the ledger of erasures was altered, or one before it was taken out"
            )
        before = hashlib.sha256(raw).hexdigest()
        yield line


def _mac(line: Line) -> str:
    unsigned = _encode(msgspec.structs.replace(line, mac=""))
    return hmac.digest(lasting(LABEL), unsigned, "sha256").hex()


def _encode(line: Line) -> bytes:
    fields: dict[str, Any] = msgspec.to_builtins(line)
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
