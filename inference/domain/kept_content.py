"""What tenants asked and were answered, where they want it kept: how it is written, read, and goes.

It is encrypted by the key of its end user, which an erasure destroys, and bound to its tenant, end user, task and key, so that
no row passes for another one. A writer asks again whether it is wanted, in the transaction that writes: what a queen gathered
before it was turned off, or before its end user was frozen, is not written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils import timezone

from gdpr.domain import vault
from gdpr.domain.audit import Actor, record
from gdpr.domain.frozen import erased_since, shut_out_freezes
from gdpr.domain.portable import File
from gdpr.holding import Identity, Whose
from gdpr.keys.aead import decrypt, encrypt
from gdpr.keys.base import WrongKey
from gdpr.scope import colony_tx, tenant_tx
from inference.content_models import KeptContent
from tenants.enums import TenantStatus
from tenants.models import Tenant

AT_ONCE: Final = 200  # rows, each of at most a MiB


class Gathered(NamedTuple):
    """Of one task, in the memory of a queen. `request` and `answer` may be cut short; `…_bytes` say how long they were."""

    tenant_id: str  # in hex
    task_id: str
    subject: str  # pseudonym, or empty
    request_id: str
    endpoint: str
    model: str
    at_ms: int
    request: bytes
    answer: bytes
    request_bytes: int
    answer_bytes: int

    @property
    def size(self) -> int:
        return len(self.request) + len(self.answer)


class Words(msgspec.Struct, frozen=True, array_like=True):
    """What is encrypted."""

    request: bytes
    answer: bytes


def write_content(gathered: Sequence[Gathered]) -> int:
    """How many are kept; one that is there already counts. Raises what the database raises, and KeysUnavailable."""
    kept = 0
    for tenant_id, its in groupby(sorted(gathered), key=lambda each: each.tenant_id):
        kept += _write(UUID(tenant_id), list(its))
    return kept


def _write(tenant_id: UUID, gathered: Sequence[Gathered]) -> int:
    with tenant_tx(tenant_id):
        shut_out_freezes(tenant_id)
        days = _days_of(tenant_id)
        if not days:
            return 0
        subjects = {each.subject for each in gathered if each.subject}
        gone = erased_since(subjects, min(_moment(each.at_ms) for each in gathered)) if subjects else set()
        wanted = [each for each in gathered if each.subject not in gone]
        keys = {
            subject: vault.key_of(tenant_id, subject or tenant_id.hex)
            for subject in {w.subject for w in wanted}
        }
        rows = [_row(tenant_id, each, days, *keys[each.subject]) for each in wanted]
        KeptContent.objects.bulk_create(rows, ignore_conflicts=True)
    return len(rows)


def _days_of(tenant_id: UUID) -> int:
    found = Tenant.objects.filter(id=tenant_id).exclude(status=TenantStatus.CLOSED)
    days = found.values_list("content_days", flat=True).first() or 0
    return min(days, settings.RBEE.content_days_max)


def _row(tenant_id: UUID, gathered: Gathered, days: int, key_id: UUID, secret: bytes) -> KeptContent:
    at = _moment(gathered.at_ms)
    row = KeptContent(
        id=UUID(gathered.task_id),
        tenant_id=tenant_id,
        key_id=key_id,
        subject=gathered.subject,
        request_id=gathered.request_id,
        endpoint=gathered.endpoint,
        model=gathered.model,
        at=at,
        expires_at=at + timedelta(days=days),
        request_bytes=gathered.request_bytes,
        answer_bytes=gathered.answer_bytes,
        is_truncated=gathered.size < gathered.request_bytes + gathered.answer_bytes,
    )
    words = msgspec.msgpack.encode(Words(gathered.request, gathered.answer))
    row.ciphertext = encrypt(secret, words, _place_of(row))
    return row


def kept_rows() -> QuerySet[KeptContent]:
    """In a scope; what is over is absent, also before the chore comes by."""
    now = timezone.now()
    return KeptContent.objects.filter(expires_at__gt=now, at__gt=_oldest(now))


def read_content(task_id: UUID, *, actor: Actor) -> tuple[KeptContent, Words] | None:
    """In the scope of its tenant; that somebody read it is recorded. None: there is none. Raises VaultGone, VaultBroken and
    KeysUnavailable."""
    row = kept_rows().select_related("key").filter(id=task_id).first()
    if row is None:
        return None
    words = open_content(row)
    record("content.read", actor=actor, tenant_id=row.tenant_id, object_ref=f"task:{row.id.hex}")
    return row, words


def open_content(row: KeptContent) -> Words:
    """Raises VaultGone, VaultBroken and KeysUnavailable."""
    try:
        text = decrypt(vault.opened(row.key), bytes(row.ciphertext), _place_of(row))
    except WrongKey:
        raise vault.VaultBroken(f"the content of task {row.id} is not what was kept there") from None
    return msgspec.msgpack.decode(text, type=Words)


def sweep_content(now: datetime | None = None) -> int:
    """What is over, in steps; returns how many tasks'."""
    now = now or timezone.now()
    over = Q(expires_at__lte=now) | Q(at__lte=_oldest(now))
    swept = 0
    while True:
        with colony_tx("kept content that is over"):
            gone = delete_content(KeptContent.objects.filter(over))
            if gone:
                record("content.expired", actor=Actor.system("retention"), details={"tasks": gone})
        swept += gone
        if not gone:
            return swept


def delete_content(rows: QuerySet[KeptContent]) -> int:
    """Some of them; 0: none was left."""
    gone, _ = KeptContent.objects.filter(
        id__in=list(rows.values_list("id", flat=True)[: AT_ONCE * 10])
    ).delete()
    return gone


def content_files(identity: Identity) -> Iterator[File]:
    """For an export: one for each task, in clear words."""
    assert identity.tenant_id is not None, "an identity names its owner"
    after: UUID | None = None
    while True:
        with tenant_tx(identity.tenant_id):
            rows = kept_rows().select_related("key").order_by("id")
            if identity.whose is Whose.SUBJECT:
                rows = rows.filter(subject=identity.subject)
            if after is not None:
                rows = rows.filter(id__gt=after)
            page = list(rows[:AT_ONCE])
            files = list(_files(page))
        yield from files
        if len(page) < AT_ONCE:
            return
        after = page[-1].id


def _files(rows: Iterable[KeptContent]) -> Iterator[File]:
    for row in rows:
        try:
            words = open_content(row)
        except vault.VaultGone:
            continue  # erased since the page was read
        yield f"content/{row.id.hex}.json", msgspec.json.format(msgspec.json.encode(shown(row, words)))


def shown(row: KeptContent, words: Words) -> dict[str, Any]:
    """Words as they went over the wire: a stream is its events."""
    return {
        **described(row),
        "request": words.request.decode("utf-8", "replace"),
        "answer": words.answer.decode("utf-8", "replace"),
    }


def described(row: KeptContent) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "object": "task.content",
        "request_id": row.request_id,
        "subject": row.subject or None,
        "endpoint": row.endpoint,
        "model": row.model,
        "at": row.at,
        "expires_at": row.expires_at,
        "request_bytes": row.request_bytes,
        "answer_bytes": row.answer_bytes,
        "is_truncated": row.is_truncated,
    }


def _oldest(now: datetime) -> datetime:
    return now - timedelta(days=settings.RBEE.content_days_max)


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _place_of(row: KeptContent) -> bytes:
    parts = ("rbee kept content", row.tenant_id, row.subject, row.id, row.key_id)
    return "\x00".join(str(part) for part in parts).encode()
