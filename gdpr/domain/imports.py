"""Reading the archive of a tenant into this colony. Its manifest is checked before anything is read: the signature, and the
SHA-256 of every file. Each page of rows and the note of where it ended are one transaction, so a worker that dies leaves
nothing twice and nothing out. In the end this colony makes the same files of what it has, and compares.

Keys, passwords and other secrets are in no archive: keys that come over are good for nothing until they are rotated, and
people set a password by e-mail.
"""

from __future__ import annotations

import hashlib
import json
import time
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, models

from gdpr.domain import signing
from gdpr.domain.audit import Actor
from gdpr.domain.exports import ARCHIVE, MANIFEST, TYPE, VERSION
from gdpr.domain.files import folder_of, remove_folder
from gdpr.domain.portable import Table, line_of, natural_key_of, prepare_rows, tables_of
from gdpr.domain.requests import Hold, RequestRefused, make_request, tell, works_on
from gdpr.holding import Identity, Whose
from gdpr.ids import uuid7
from gdpr.request_models import DataRequest, RequestKind, RequestState
from gdpr.scope import colony_tx, tenant_tx

AT_ONCE: Final = 1000
CHUNK: Final = 1024 * 1024
MANIFEST_BYTES_MAX: Final = 4 * 1024 * 1024
LINE_BYTES_MAX: Final = 16 * 1024 * 1024
SLICE_S: Final = 5.0  # at least, once a table is read where it stood


class BadArchive(ValueError):
    """Why it is not read."""


class Differs(Exception):
    """What is in the tables is not what the archive says."""


def new_import_file() -> tuple[UUID, Path]:
    """Where an archive is to be put before `begin_import`."""
    request_id = uuid7()
    folder = folder_of(request_id)
    folder.mkdir(parents=True, mode=0o700)
    return request_id, folder / ARCHIVE


def begin_import(request_id: UUID, *, key: str, actor: Actor) -> DataRequest:
    """`key`: of the colony that made it; empty: of whichever signed it. Raises BadArchive and RequestRefused."""
    path = folder_of(request_id) / ARCHIVE
    try:
        manifest = read_manifest(path, key)
        identity = Identity(Whose.TENANT, tenant_id=UUID(manifest["tenant"]))
        _refuse_known(identity)
    except Exception:
        remove_folder(request_id)
        raise
    with colony_tx("an import begins"):
        request = make_request(
            RequestKind.IMPORT, identity, actor=actor, id=request_id, result={"from": manifest["colony"]}
        )
        tell(request, "import.requested", actor, {"request": manifest["request"]})
    return request


def read_manifest(path: Path, key: str = "") -> dict[str, Any]:
    """Raises BadArchive, also when a file is not what the manifest says."""
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(MANIFEST)
            if info.file_size > MANIFEST_BYTES_MAX:
                raise BadArchive("its manifest is too large")
            signed = json.loads(archive.read(info))
            manifest = signing.open_document(signed, key or signed["signature"]["key"])
            _check_files(archive, manifest)
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OSError) as error:
        if isinstance(error, BadArchive):
            raise
        raise BadArchive(f"this is no archive of rbee, or it was altered: {_why(error)}") from error
    if manifest.get("type") != TYPE or manifest.get("version") != VERSION:
        raise BadArchive("this is an archive of another version of rbee")
    if manifest.get("whose") != Whose.TENANT.value or manifest.get("format") == "csv":
        raise BadArchive("only the archive of a tenant that has JSON is read")
    return manifest


def _check_files(archive: zipfile.ZipFile, manifest: Mapping[str, Any]) -> None:
    files: Mapping[str, Any] = manifest["files"]
    if set(archive.namelist()) != {*files, MANIFEST}:
        raise BadArchive("it has other files than its manifest")
    for name, said in files.items():
        digest, size = hashlib.sha256(), 0
        with archive.open(name) as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                if size > said["bytes"]:
                    break
        if size != said["bytes"] or digest.hexdigest() != said["sha256"]:
            raise BadArchive(f"{name} is not what the manifest says")


def _refuse_known(identity: Identity) -> None:
    """A tenant is made of nothing here: what is there already would be mixed with it."""
    for table in tables_of(identity):
        if table.is_imported:
            with colony_tx("whether a tenant is here"):
                if table.rows().exists():
                    raise RequestRefused("This tenant is here already.")


@works_on(RequestKind.IMPORT)
def work(hold: Hold, until: float) -> None:
    identity = hold.request.identity
    path = folder_of(hold.request.id) / ARCHIVE
    tables = {table.label: table for table in tables_of(identity)}
    if hold.request.state == RequestState.QUEUED:
        manifest = read_manifest(path)
        said: Mapping[str, Any] = manifest["tables"]
        labels = [label for label, table in tables.items() if table.is_imported and label in said]
        hold.request.progress = {
            "left": labels,
            "at": 0,
            "rows": {},
            "totals": {label: said[label]["rows"] for label in labels},
            "sha256": {label: manifest["files"][f"json/{label}.json"]["sha256"] for label in said},
        }
        hold.move(RequestState.RUNNING, "read")
    with zipfile.ZipFile(path) as archive:
        for label in list(hold.progress["left"]):
            if not _read_table(hold, archive, tables[label], until):
                hold.release()
                return
    hold.save(step="compare")
    _compare(hold, tables)
    remove_folder(hold.request.id)
    rows = hold.progress["rows"]
    hold.end(RequestState.READY, "import.done", {"rows": sum(rows.values())}, result={"rows": rows})


def _read_table(hold: Hold, archive: zipfile.ZipFile, table: Table, until: float) -> bool:
    progress = hold.progress
    total = progress["totals"][table.label]
    if progress["at"] == 0:
        _make_months(hold, archive, table)
    begun = False
    for rows in _pages(archive, table, skip=progress["at"]):
        if not begun:  # what was read before had to be passed over, which takes its time
            begun, until = True, max(until, time.monotonic() + SLICE_S)
        before = progress["at"]
        try:
            with colony_tx("an import writes"):
                prepare_rows(table.label, rows)
                _insert(table, rows)
                progress["at"] = before + len(rows)
                hold.save()
        except IntegrityError as error:
            progress["at"] = before
            raise Differs(f"{table.label} has rows that are in the way") from error
        if time.monotonic() >= until and progress["at"] < total:
            return False
    progress["rows"][table.label] = progress["at"]
    progress["left"] = [label for label in progress["left"] if label != table.label]
    progress["at"] = 0
    hold.save()
    return True


def _pages(archive: zipfile.ZipFile, table: Table, skip: int) -> Iterator[list[dict[str, Any]]]:
    page: list[dict[str, Any]] = []
    known = set(table.keys())
    with archive.open(f"json/{table.label}.json") as file:
        seen = 0
        while line := file.readline(LINE_BYTES_MAX):
            text = line.strip().removesuffix(b",")
            if text in (b"[", b"]", b"[]", b""):
                continue
            seen += 1
            if seen <= skip:
                continue
            row = msgspec.json.decode(text)
            page.append({name: value for name, value in row.items() if name in known})
            if len(page) == AT_ONCE:
                yield page
                page = []
    if page:
        yield page


def _insert(table: Table, rows: list[dict[str, Any]]) -> None:
    """By PostgreSQL's own reading of JSON, which is exact. In a scope."""
    for row in rows:
        for name in table.columns:
            found: Any = table.model._meta.get_field(name)
            natural = natural_key_of(found.related_model) if found.is_relation else ""
            if natural:
                row[str(found.column)] = _named(found.related_model, natural, row.pop(name))
        row.update({_column(table, name): fill() for name, fill in table.fill.items()})
        for column in table.model._meta.concrete_fields:
            if column.column and column.column not in row:
                row[str(column.column)] = _nothing(column)
    columns = sorted(rows[0])
    names = ", ".join(connection.ops.quote_name(column) for column in columns)
    name = connection.ops.quote_name(table.model._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {name} ({names}) SELECT {names} FROM jsonb_populate_recordset(NULL::{name}, %s::jsonb)",  # noqa: S608 -- names of columns
            [msgspec.json.encode(rows).decode()],
        )


def _column(table: Table, name: str) -> str:
    found: Any = table.model._meta.get_field(name)
    return str(found.column)


def _named(model: type[models.Model], natural: str, value: str | None) -> Any:
    if value is None:
        return None
    found = model._base_manager.filter(**{natural: value}).values_list("pk", flat=True).first()
    if found is None:
        raise Differs(f"there is no {model._meta.label} {value} here: make it first")
    return str(found)


def _nothing(found: Any) -> Any:
    """For what no archive has."""
    if found.null:
        return None
    if isinstance(found, models.BinaryField):
        return "\\x"
    default = found.get_default()
    return default if isinstance(default, str | int | bool | dict | list) else ""


def _make_months(hold: Hold, archive: zipfile.ZipFile, table: Table) -> None:
    """Partitions of the months that it has."""
    if "month" not in table.columns:
        return
    months: set[str] = set()
    for page in _pages(archive, table, skip=0):
        months.update(row["month"] for row in page)
        hold.renew()
    with connection.cursor() as cursor:
        for month in sorted(months):
            cursor.execute("SELECT rbee_make_partitions(%s, %s)", [date.fromisoformat(month)] * 2)


def _compare(hold: Hold, tables: Mapping[str, Table]) -> None:
    """Derived tables too. Raises Differs."""
    assert hold.request.tenant_id is not None
    differing = []
    for label, wanted in hold.progress["sha256"].items():
        table = tables.get(label)
        if table is None or not (table.is_imported or table.is_derived):
            continue
        if _digest(hold, table) != wanted:
            differing.append(label)
    if differing:
        raise Differs(", ".join(differing))


def _digest(hold: Hold, table: Table) -> str:
    """Of the file that an export would make of it."""
    digest, after, is_first = hashlib.sha256(), None, True
    while True:
        with tenant_tx(hold.request.tenant_id):  # type: ignore[arg-type]
            rows, last = table.page(after)
        if not rows:
            break
        digest.update((b"[\n" if is_first else b",\n") + b",\n".join(map(line_of, rows)))
        is_first, after = False, last
        hold.renew()
    digest.update(b"[]\n" if is_first else b"\n]\n")
    return digest.hexdigest()


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, signing.BadSignature) else type(error).__name__
