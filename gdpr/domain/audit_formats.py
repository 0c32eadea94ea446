"""Entries of the audit log in the words of others: JSON and CSV for people and programs, CEF and RFC 5424 for a SIEM.

Each holds all that an entry says, as it says it: whoever has the JSON can hash it again and compare it with the leaf.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

from gdpr.domain.audit import canonical_json
from gdpr.models import AuditEntry

FIELDS: Final = (
    "id", "seq", "at", "tenant_id", "event", "actor", "object_ref", "outcome", "details", "request_id",
    "schema_version", "leaf",
)  # fmt: skip
MSGID_MAX: Final = 32  # RFC 5424, section 6
APP: Final = "rbee"
LOG_AUDIT: Final = 13  # the facility
WARNING, NOTICE = 4, 5
CEF_SEVERITY: Final = {WARNING: 6, NOTICE: 3}

_CEF_KEYS: Final = {
    "externalId": "id",
    "suser": "actor",
    "cs1": "object_ref",
    "outcome": "outcome",
    "cs2": "tenant_id",
    "cs3": "request_id",
    "cs4": "details",
    "cs5": "leaf",
    "cn1": "seq",
}
_CEF_LABELS: Final = {
    "cs1": "object", "cs2": "tenant", "cs3": "request", "cs4": "details", "cs5": "leaf", "cn1": "sequence"
}  # fmt: skip


def entry_fields(entry: AuditEntry) -> dict[str, Any]:
    """As `canonical_entry` has them, with the leaf that it is hashed to and its place in the log."""
    return {
        "id": str(entry.id),
        "seq": entry.seq,
        "at": moment(entry),
        "tenant_id": str(entry.tenant_id) if entry.tenant_id else None,
        "event": entry.event,
        "actor": entry.actor,
        "object_ref": entry.object_ref,
        "outcome": entry.outcome,
        "details": entry.details,
        "request_id": entry.request_id,
        "schema_version": entry.schema_version,
        "leaf": bytes(entry.leaf).hex(),
    }


def moment(entry: AuditEntry) -> str:
    return entry.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def json_line(entry: AuditEntry) -> str:
    return json.dumps(entry_fields(entry), ensure_ascii=False, separators=(",", ":"))


def json_texts(pages: Iterable[Iterable[AuditEntry]]) -> Iterator[bytes]:
    """One array, an entry in each line. It ends with a bracket: one that is cut off is no JSON."""
    yield b"["
    comma = "\n"
    for page in pages:
        lines = []
        for entry in page:
            lines.append(comma + json_line(entry))
            comma = ",\n"
        yield "".join(lines).encode()
    yield b"\n]\n"


def line_texts(pages: Iterable[Iterable[AuditEntry]], line: Callable[[AuditEntry], str]) -> Iterator[bytes]:
    for page in pages:
        yield "".join(f"{line(entry)}\n" for entry in page).encode()


def cef_line(entry: AuditEntry) -> str:
    """ArcSight's Common Event Format, version 0. What is empty is left out."""
    fields: Mapping[str, Any] = entry_fields(entry)
    extension = [f"rt={int(entry.at.timestamp() * 1000)}"]
    for key, name in _CEF_KEYS.items():
        value = fields[name]
        if value in (None, "", {}):
            continue
        text = canonical_json(value).decode() if name == "details" else str(value)
        extension.append(f"{key}={_cef_value(text)}")
        if key in _CEF_LABELS:
            extension.append(f"{key}Label={_CEF_LABELS[key]}")
    event = _cef_header(entry.event)
    severity = CEF_SEVERITY[_severity(entry)]
    return f"CEF:0|rbee|rbee|{entry.schema_version}|{event}|{event}|{severity}|{' '.join(extension)}"


def host_name() -> str:
    """Of this colony, as it stands in messages of syslog."""
    return (urlsplit(settings.RBEE.public_url).hostname or "-")[:255]


def syslog_line(entry: AuditEntry, *, host: str, body: Callable[[AuditEntry], str] = json_line) -> str:
    """One message of RFC 5424. Its time is that of the entry, its MSGID the event."""
    priority = LOG_AUDIT * 8 + _severity(entry)
    msgid = re.sub(r"[^\x21-\x7e]", "_", entry.event)[:MSGID_MAX] or "-"
    return f"<{priority}>1 {moment(entry)} {host} {APP} - {msgid} - {body(entry)}"


def _severity(entry: AuditEntry) -> int:
    return NOTICE if entry.outcome == "ok" else WARNING


def _cef_header(text: str) -> str:
    return _one_line(text.replace("\\", "\\\\").replace("|", "\\|"))


def _cef_value(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("=", "\\=")
    return escaped.replace("\r", "\\r").replace("\n", "\\n")


def _one_line(text: str) -> str:
    return text.replace("\r", " ").replace("\n", " ")
