"""The bytes of an audit entry that are hashed and kept for ever: one form for one meaning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

SCHEMA_VERSION: Final = 1
ENTRY_BYTES_MAX: Final = 65_535  # an entry's length is 16 bits in the bundles of a transparency log
LEAF_PREFIX: Final = b"\x00"

_JSON_INTEGER_MAX: Final = 2**53 - 1


def leaf_hash(entry: bytes) -> bytes:
    """SHA-256 as RFC 6962 has it for leaves, so that no inner node can pass for one."""
    return hashlib.sha256(LEAF_PREFIX + entry).digest()


def canonical_entry(
    *,
    id: UUID,  # noqa: A002 -- the column's name
    tenant_id: UUID | None,
    event: str,
    actor: str,
    object_ref: str,
    outcome: str,
    details: Mapping[str, Any],
    request_id: str,
    at: datetime,
    schema_version: int = SCHEMA_VERSION,
) -> bytes:
    """The bytes that are hashed. Raises ValueError when they are longer than a log takes."""
    entry = canonical_json(
        {
            "actor": actor,
            "at": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "details": dict(details),
            "event": event,
            "id": str(id),
            "object_ref": object_ref,
            "outcome": outcome,
            "request_id": request_id,
            "schema_version": schema_version,
            "tenant_id": None if tenant_id is None else str(tenant_id),
        }
    )
    if len(entry) > ENTRY_BYTES_MAX:
        raise ValueError(f"audit entry {event} has {len(entry)} bytes; at most {ENTRY_BYTES_MAX} fit")
    return entry


def canonical_json(value: object) -> bytes:
    """RFC 8785 for what entries hold: no floats, ASCII keys, integers that every reader of JSON keeps."""
    _refuse_ambiguous(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _refuse_ambiguous(value: object) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("PostgreSQL's JSON cannot hold U+0000")
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, int):
        if abs(value) > _JSON_INTEGER_MAX:
            raise ValueError(f"{value} is beyond the integers that JSON keeps exactly")
    elif isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str) or not key.isascii() or "\x00" in key:
                raise ValueError(f"{key!r} is no key of an audit entry")
            _refuse_ambiguous(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_ambiguous(item)
    else:
        raise ValueError(f"{type(value).__name__} has no canonical form in an audit entry")
