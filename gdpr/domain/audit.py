"""The audit log: what was done or refused, by whom, in the transaction that did it.

Entries hold no personal data: people, tenants and tasks are named by identifiers, and `details` by what the program
itself chose (names of models and hives, hashes of scripts, quantities). Entries are not chained by their writers: that
would make every writer wait for one row. Each carries its own leaf hash; a sequencer orders them afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from gdpr.ids import month_of, uuid7
from gdpr.log.entry import SCHEMA_VERSION, canonical_entry, canonical_json, leaf_hash
from gdpr.models import AuditEntry
from gdpr.scope import OutsideScope, current_scope

__all__ = [
    "SCHEMA_VERSION", "Actor", "answered_request", "canonical_entry", "canonical_json", "leaf_hash", "leaf_of",
    "make_entry", "record", "record_all",
]  # fmt: skip

# Of the HTTP request that is being answered: whoever asks about its answer finds what it did.
answered_request: ContextVar[str] = ContextVar("rbee_answered_request", default="")


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. `id` is a pseudonym: a key's kid, a user's id, a hive's id, the name of a part of rbee."""

    kind: str
    id: str = ""

    @classmethod
    def key(cls, kid: str) -> Actor:
        return cls("key", kid)

    @classmethod
    def user(cls, user_id: UUID) -> Actor:
        return cls("user", user_id.hex)

    @classmethod
    def hive(cls, hive_id: str) -> Actor:
        return cls("hive", hive_id)

    @classmethod
    def system(cls, part: str) -> Actor:
        return cls("system", part)

    @classmethod
    def keyless(cls) -> Actor:
        """A caller of home mode, on this machine or a listed network."""
        return cls("keyless")

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}" if self.id else self.kind


def record(
    event: str,
    *,
    actor: Actor,
    tenant_id: UUID | None = None,
    object_ref: str = "",
    outcome: str = "ok",
    details: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> AuditEntry:
    """`event` is noun.verb: `key.revoked`. `tenant_id` is that of the scope unless given, `request_id` that of the request
    that is being answered; `details` holds integers, strings, booleans, None, and lists and objects of them. Raises
    OutsideScope outside of `tenant_tx` and `colony_tx`, ValueError for details that have no canonical form. One INSERT."""
    scope = current_scope()
    if scope is None:
        raise OutsideScope(f"audit entry {event} needs tenant_tx or colony_tx around what it tells of")
    entry = make_entry(
        event,
        actor=actor,
        tenant_id=tenant_id or scope.tenant_id,
        object_ref=object_ref,
        outcome=outcome,
        details=details,
        request_id=request_id or answered_request.get(),
    )
    entry.save()
    return entry


def make_entry(
    event: str,
    *,
    actor: Actor | str,
    tenant_id: UUID | None,
    object_ref: str = "",
    outcome: str = "ok",
    details: Mapping[str, Any] | None = None,
    request_id: str = "",
    at: datetime | None = None,
) -> AuditEntry:
    """For `record_all`. `at`: when it happened, if not at this moment. Raises ValueError as `record` does."""
    entry_id = uuid7()
    entry = AuditEntry(
        month=month_of(entry_id),
        id=entry_id,
        tenant_id=tenant_id,
        event=event,
        actor=str(actor),
        object_ref=object_ref,
        outcome=outcome,
        details=dict(details or {}),
        request_id=request_id,
        at=at or datetime.now(UTC),
        schema_version=SCHEMA_VERSION,
    )
    entry.leaf = leaf_of(entry)
    return entry


def record_all(entries: Iterable[AuditEntry]) -> None:
    """Inside of `colony_tx`. One INSERT."""
    AuditEntry.objects.bulk_create(entries)


def leaf_of(entry: AuditEntry) -> bytes:
    """What `leaf` must be, from the other columns as they are."""
    columns = (
        "id", "tenant_id", "event", "actor", "object_ref", "outcome", "details", "request_id", "at", "schema_version"
    )  # fmt: skip
    return leaf_hash(canonical_entry(**{name: getattr(entry, name) for name in columns}))
