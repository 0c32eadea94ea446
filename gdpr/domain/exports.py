"""Making an archive of what is held of somebody (Art. 15 and 20): a zip with a JSON file for each table and its JSON Schema,
the same as CSV, files, a README, and a signed manifest with counts and SHA-256 of all of them.

Memory is bounded: a page of rows at a time goes into files of a folder, and the files into the zip. Where it is stands on
the request after each page, so another worker goes on there; a file that is shorter than that is begun again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import time
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from django.conf import settings
from django.utils import timezone

from gdpr.domain import signing
from gdpr.domain.audit import Actor
from gdpr.domain.files import folder_of, remove_folder
from gdpr.domain.portable import Table, files_of, line_of, schema_of, tables_of
from gdpr.domain.requests import Hold, find_open, make_request, scope_of, tell, whose_text, works_on
from gdpr.holding import Identity
from gdpr.request_models import DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx

TYPE: Final = "rbee.export"
VERSION: Final = 1
MANIFEST: Final = "manifest.json"
ARCHIVE: Final = "export.zip"
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run
CHUNK: Final = 1024 * 1024
DATE: Final = (1980, 1, 1, 0, 0, 0)

README: Final = """\
This archive holds what this colony keeps of {of}.

json/TABLE.json      all rows of a table, one to a line; times are in UTC, bytes are hexadecimal after \\x
schema/TABLE.json    the JSON Schema of each of these files, and for what a column is kept
csv/TABLE.csv        the same rows for a spreadsheet
files/               files beside the tables
manifest.json        how many rows each table has, the SHA-256 of every file, and the colony's signature (Ed25519)

Secrets are not in here: no password, no key, nothing by which one could log in.
`rbee gdpr import FILE` reads the archive of a tenant into another colony, after it has checked the manifest.
"""


def begin_export(identity: Identity, *, format: str, actor: Actor, reuses: bool = False) -> DataRequest:  # noqa: A002
    """One that is being made is the answer. `reuses`: also one that is ready and has not expired."""
    with scope_of(identity, "an export begins"):
        running = find_open(RequestKind.EXPORT, identity)
        if running is not None and running.state != RequestState.FAILED and running.format == format:
            return running
        if reuses and (ready := _find_ready(identity, format)) is not None:
            return ready
        request = make_request(RequestKind.EXPORT, identity, actor=actor, format=format)
        tell(request, "export.requested", actor, {"format": format})
    return request


def archive_of(request: DataRequest) -> Path | None:
    """None: it is not ready, or gone."""
    path = folder_of(request.id) / ARCHIVE
    return path if request.state == RequestState.READY and path.is_file() else None


def tell_download(request: DataRequest, actor: Actor) -> None:
    with scope_of(request.identity, "an export is read"):
        tell(request, "export.downloaded", actor)


def expire_exports() -> int:
    with colony_tx("exports that are over"):
        over = list(
            DataRequest.objects.filter(
                kind=RequestKind.EXPORT, state=RequestState.READY, expires_at__lte=timezone.now()
            )
        )
    for request in over:
        remove_folder(request.id)
        with scope_of(request.identity, "an export is over"):
            DataRequest.objects.filter(id=request.id).update(state=RequestState.EXPIRED)
            tell(request, "export.expired", Actor.system("gdpr"))
    return len(over)


@works_on(RequestKind.EXPORT)
def work(hold: Hold, until: float) -> None:
    identity = hold.request.identity
    folder = folder_of(hold.request.id)
    tables = {table.label: table for table in tables_of(identity)}
    if hold.request.state == RequestState.QUEUED:
        with scope_of(identity, "an export counts"):
            totals = {label: table.rows().count() for label, table in tables.items()}
        hold.request.progress = {"left": list(tables), "totals": totals, "rows": {}, "at": None}
        folder.mkdir(parents=True, exist_ok=True)
        hold.move(RequestState.RUNNING, "write")
    for label in list(hold.progress["left"]):
        if not _write_table(hold, folder, tables[label], until):
            hold.release()
            return
    hold.save(step="pack")
    _pack(hold, folder, tables)


def _write_table(hold: Hold, folder: Path, table: Table, until: float) -> bool:
    """False: the time is over before the table is."""
    progress, format_ = hold.progress, hold.request.format
    at = progress["at"] or {"table": table.label, "after": None, "rows": 0, "json": 0, "csv": 0}
    with _Writer(folder, table, format_) as writer:
        if not writer.goes_on_from(at):
            at = {"table": table.label, "after": None, "rows": 0, "json": 0, "csv": 0}
        while True:
            with scope_of(hold.request.identity, "an export reads"):
                rows, last = table.page(at["after"])
            if not rows:
                break
            writer.write(rows, is_first=at["rows"] == 0)
            at = {"table": table.label, "after": last, "rows": at["rows"] + len(rows), **writer.sizes()}
            progress["at"] = at
            hold.save()
            if time.monotonic() >= until:
                return False
        writer.finish(is_empty=at["rows"] == 0)
    progress["rows"][table.label] = at["rows"]
    progress["left"] = [label for label in progress["left"] if label != table.label]
    progress["at"] = None
    hold.save()
    return True


class _Writer:
    """The two files of a table."""

    def __init__(self, folder: Path, table: Table, format_: str) -> None:
        self.table = table
        self.json = (folder / f"{table.label}.json").open("a+b") if format_ != "csv" else None
        self.csv = (folder / f"{table.label}.csv").open("a+b") if format_ != "json" else None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        for file in (self.json, self.csv):
            if file:
                file.close()

    def goes_on_from(self, at: Mapping[str, Any]) -> bool:
        """Cut to where the request says they are. False: they are shorter, and begun again."""
        fits = True
        for name, file in (("json", self.json), ("csv", self.csv)):
            if file and file.seek(0, 2) < at[name]:
                fits = False
        for name, file in (("json", self.json), ("csv", self.csv)):
            if file:
                file.truncate(at[name] if fits else 0)
        return fits

    def write(self, rows: Iterable[Mapping[str, Any]], *, is_first: bool) -> None:
        rows = list(rows)
        if self.json:
            self.json.write((b"[\n" if is_first else b",\n") + b",\n".join(map(line_of, rows)))
            self.json.flush()
        if self.csv:
            keys = self.table.keys()
            lines = [keys] if is_first else []
            self.csv.write(_csv([*lines, *([_cell(row.get(key)) for key in keys] for row in rows)]))
            self.csv.flush()

    def sizes(self) -> dict[str, int]:
        return {
            "json": self.json.seek(0, 2) if self.json else 0,
            "csv": self.csv.seek(0, 2) if self.csv else 0,
        }

    def finish(self, *, is_empty: bool) -> None:
        if self.json:
            self.json.write(b"[]\n" if is_empty else b"\n]\n")
        if self.csv and is_empty:
            self.csv.write(_csv([self.table.keys()]))


def _pack(hold: Hold, folder: Path, tables: Mapping[str, Table]) -> None:
    request, part = hold.request, folder / f"{ARCHIVE}.part"
    files: dict[str, dict[str, Any]] = {}
    counts = hold.progress["rows"]
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:

        def add(name: str, chunks: Iterable[bytes]) -> None:
            files[name] = _add(archive, name, chunks, hold)

        add("README.txt", [README.format(of=whose_text(request.identity)).encode()])
        for label, table in tables.items():
            if request.format != "csv":
                add(f"json/{label}.json", _chunks(folder / f"{label}.json"))
                add(f"schema/{label}.json", [_json(schema_of(table))])
            if request.format != "json":
                add(f"csv/{label}.csv", _chunks(folder / f"{label}.csv"))
        for name, content in files_of(request.identity):
            add(f"files/{name}", [content])
        manifest = _manifest(request, tables, counts, files)
        _add(archive, MANIFEST, [_json(signing.sign_document(manifest))], hold)
    digest = hashlib.sha256()
    for chunk in _chunks(part):
        hold.renew()
        digest.update(chunk)
    size = part.stat().st_size
    part.replace(folder / ARCHIVE)
    for path in folder.iterdir():
        if path.name != ARCHIVE:
            path.unlink()
    hold.end(
        RequestState.READY, "export.ready", {"rows": sum(counts.values()), "sha256": digest.hexdigest()},
        result={"bytes": size, "sha256": digest.hexdigest(), "rows": counts},
        expires_at=timezone.now() + timedelta(days=settings.RBEE.export_days),
    )  # fmt: skip


def _manifest(
    request: DataRequest, tables: Mapping[str, Table], counts: Mapping[str, int], files: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "type": TYPE,
        "version": VERSION,
        "request": str(request.id),
        "whose": request.whose,
        "of": whose_text(request.identity),
        "tenant": str(request.tenant_id) if request.tenant_id else None,
        "colony": settings.RBEE.public_url,
        "made_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "format": request.format,
        "tables": {
            label: {"rows": counts[label], "imported": table.is_imported, "derived": table.is_derived}
            for label, table in tables.items()
        },
        "files": dict(files),
    }


def _add(archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes], hold: Hold) -> dict[str, Any]:
    digest, size = hashlib.sha256(), 0
    entry = zipfile.ZipInfo(name, DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as file:
        for chunk in chunks:
            hold.renew()
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return {"bytes": size, "sha256": digest.hexdigest()}


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def _find_ready(identity: Identity, format_: str) -> DataRequest | None:
    return (
        DataRequest.objects.filter(
            kind=RequestKind.EXPORT,
            state=RequestState.READY,
            format=format_,
            whose=identity.whose.value,
            tenant_id=identity.tenant_id,
            person_id=identity.id,
            subject=identity.subject,
            expires_at__gt=timezone.now(),
        )
        .order_by("-id")
        .first()
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def _csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, dict | list):
        return msgspec.json.encode(value, order="deterministic").decode()
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value
