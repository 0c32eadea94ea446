"""The audit log: what was done or refused, by whom, in the transaction that did it.

Entries hold no personal data: people, tenants and tasks are named by identifiers, and `details` by what the program
itself chose (names of models and hives, hashes of scripts, quantities). What is personal goes into the vault, and the
entry holds its digest: from where a person asked for it (`asked_from`), and what is given as `private`. Entries are not chained by their writers: that
would make every writer wait for one row. Each carries its own leaf hash; a sequencer orders them afterwards.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

from gdpr.domain import vault
from gdpr.ids import month_of, uuid7
from gdpr.keys.base import KeysUnavailable
from gdpr.log.entry import SCHEMA_VERSION, canonical_entry, canonical_json, leaf_hash
from gdpr.models import AuditEntry
from gdpr.scope import OutsideScope, current_scope

__all__ = [
    "SCHEMA_VERSION", "Actor", "answered_request", "canonical_entry", "canonical_json", "leaf_hash", "leaf_of",
    "make_entry", "record", "record_all",
]  # fmt: skip

VAULT = "vault"  # in `details`: what the vault holds of it
SOURCE = "source"

# Of the HTTP request that is being answered: whoever asks about its answer finds what it did.
answered_request: ContextVar[str] = ContextVar("rbee_answered_request", default="")


class Source(NamedTuple):
    """From where somebody asks. Personal, and of the operator's own people nothing that a tenant may read."""

    address: str
    user_agent: str
    is_operators: bool = False


asked_from: ContextVar[Source | None] = ContextVar("rbee_asked_from", default=None)

Private = Mapping[str, Mapping[str, str]]  # fields by kind, as `gdpr.domain.vault` has them
SOMEBODY = frozenset({"user", "key", "keyless", "impersonation"})
USER_AGENT_MAX = 512

logger = logging.getLogger(__name__)


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

    @property
    def subject(self) -> str:
        """Whose the details are of what they do. Of an operator in a tenant's place: the operator's."""
        return self.id.rpartition(":")[2] or self.kind

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
    private: Private | None = None,
    subject: str = "",
) -> AuditEntry:
    """`event` is noun.verb: `key.revoked`. `tenant_id` is that of the scope unless given, `request_id` that of the request
    that is being answered; `details` holds integers, strings, booleans, None, and lists and objects of them. `private` is
    about `subject`, or else about the actor. Raises OutsideScope outside of `tenant_tx` and `colony_tx`, ValueError for
    details that have no canonical form. One INSERT, and two for each that goes into the vault."""
    scope = current_scope()
    if scope is None:
        raise OutsideScope(f"audit entry {event} needs tenant_tx or colony_tx around what it tells of")
    tenant_id = tenant_id or scope.tenant_id
    if kept := _keep(tenant_id, actor, private or {}, subject or actor.subject):
        details = {**(details or {}), VAULT: kept}
    entry = make_entry(
        event,
        actor=actor,
        tenant_id=tenant_id,
        object_ref=object_ref,
        outcome=outcome,
        details=details,
        request_id=request_id or answered_request.get(),
    )
    entry.save()
    return entry


def _keep(tenant_id: UUID | None, actor: Actor, private: Private, subject: str) -> list[dict[str, str]]:
    wanted = [(tenant_id, subject, kind, fields) for kind, fields in private.items() if any(fields.values())]
    if (source := asked_from.get()) is not None and actor.kind in SOMEBODY:
        told = {
            "address": source.address,
            "user_agent": source.user_agent[:USER_AGENT_MAX].replace("\x00", ""),
        }
        wanted.append((None if source.is_operators else tenant_id, actor.subject, SOURCE, told))
    kept = []
    for where, whose, kind, fields in wanted:
        try:
            kept.append(vault.reference(where, whose, kind, canonical_json(dict(fields))))
        except KeysUnavailable as error:
            # Whoever keeps the keys away must not keep people from their work, nor do so unseen.
            logger.error("a detail of an audit entry is lost: %s", error)
            kept.append({"lost": "keys_unavailable", "kind": kind})
    return kept


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
