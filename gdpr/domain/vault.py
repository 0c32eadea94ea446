"""Personal details that the audit log must not hold: from where somebody did it, the words they gave for it.

Each person has a data key in each tenant, and one for what concerns no tenant. It is wrapped by a key that is in no
database (`gdpr.domain.keyring`); what is kept is encrypted by it, bound to its tenant, person, kind and place, so that no
row passes for another one. The entry holds SHA-256 of what is stored and its salt: it stays what it was signed as when
the person is forgotten, and while the item exists it shows that it is the one.

VaultGone       erased, or its time is over, or there never was one
VaultBroken     altered, or moved into another row
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, date, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone

from gdpr.domain.keyring import keyring
from gdpr.domain.partitions import add_months
from gdpr.ids import uuid7
from gdpr.keys.aead import KEY_BYTES, decrypt, encrypt
from gdpr.keys.base import KeysUnavailable, Wrapped, WrongKey
from gdpr.models import SubjectKey, VaultItem
from gdpr.scope import colony_tx, current_scope, tenant_tx

SALT_BYTES: Final = 16
PLAINTEXT_BYTES_MAX: Final = 8192
SWEPT_AT_ONCE: Final = 5000
TRIES: Final = 5
# Against the statement that destroys it: whoever comes second sees what the first one did.
LIVING: Final = """
    SELECT id FROM gdpr_subjectkey
    WHERE tenant_id IS NOT DISTINCT FROM %s AND subject = %s AND destroyed_at IS NULL FOR SHARE
"""

# How long what is of this kind is kept: until the first of the month after that many days.
KINDS: Final[Mapping[str, int]] = {
    "source": 90,  # address and user agent
    "contact": 365,  # name and e-mail address
    "reason": 7 * 365,  # in somebody's own words
}


class VaultGone(LookupError):
    pass


class VaultBroken(Exception):
    pass


def keep(tenant_id: UUID | None, subject: str, kind: str, plaintext: bytes) -> UUID:
    """`subject`: a pseudonym of whom it is about, in hex. `tenant_id` None: of the colony itself. Within the caller's
    transaction. Raises ValueError for what is no kind or too long, KeysUnavailable."""
    return _keep(tenant_id, subject, kind, plaintext).id


def reference(tenant_id: UUID | None, subject: str, kind: str, plaintext: bytes) -> dict[str, str]:
    """`keep`, and what an audit entry holds of it."""
    item = _keep(tenant_id, subject, kind, plaintext)
    return {"vault": item.id.hex, "kind": kind, "digest": digest_of(item)}


def read(item_id: UUID) -> bytes:
    """Of the scope that the caller is in. Raises VaultGone, VaultBroken, KeysUnavailable."""
    item = VaultItem.objects.select_related("key").filter(id=item_id).first()
    if item is None:
        raise VaultGone(f"there is no item {item_id}")
    try:
        return decrypt(_data_key(item.key), bytes(item.ciphertext), _place_of(item))
    except WrongKey:
        raise VaultBroken(f"item {item_id} is not what was kept there") from None


def key_of(tenant_id: UUID | None, subject: str) -> tuple[UUID, bytes]:
    """Of a person, for what another table keeps of them: its identifier and what encrypts. It is not destroyed before the
    caller's transaction ends. Raises KeysUnavailable."""
    with _inside(tenant_id):
        key = _key_of(tenant_id, subject)
        return key.id, _data_key(key)


def opened(key: SubjectKey) -> bytes:
    """What decrypts. Raises VaultGone, KeysUnavailable."""
    return _data_key(key)


def matches(item: VaultItem, digest: str) -> bool:
    """Whether it is the one that an audit entry speaks of."""
    return hmac.compare_digest(digest_of(item), digest)


def digest_of(item: VaultItem) -> str:
    return hashlib.sha256(bytes(item.ciphertext) + bytes(item.salt)).hexdigest()


def destroy_subject(tenant_id: UUID | None, subject: str) -> int:
    """The person's key and all that it opened; None: in every tenant, and of the colony itself. Whoever keeps something
    at the same time is waited for, and theirs goes too. Gives back how many items there were. Idempotent."""
    with _inside(tenant_id):
        keys = SubjectKey.objects.filter(subject=subject)
        return _destroy(keys if tenant_id is None else keys.filter(tenant_id=tenant_id))


def destroy_tenant(tenant_id: UUID) -> int:
    """Of all persons of a tenant. Gives back how many items there were. Idempotent."""
    with _inside(tenant_id):
        return _destroy(SubjectKey.objects.filter(tenant_id=tenant_id))


def sweep(today: date | None = None) -> int:
    """What is over, in steps; returns how many."""
    today = today or datetime.now(UTC).date()
    swept = 0
    while True:
        with colony_tx("vault items that are over"):
            due = VaultItem.objects.filter(ends_on__lte=today).order_by("ends_on")[:SWEPT_AT_ONCE]
            gone, _ = VaultItem.objects.filter(id__in=list(due.values_list("id", flat=True))).delete()
        swept += gone
        if gone < SWEPT_AT_ONCE:
            return swept


def ends_on(kind: str, kept_on: date) -> date:
    """The first day on which it is gone."""
    over = kept_on + timedelta(days=KINDS[kind])
    return add_months(over.replace(day=1), 1)


def _keep(tenant_id: UUID | None, subject: str, kind: str, plaintext: bytes) -> VaultItem:
    if kind not in KINDS:
        raise ValueError(f"{kind} is no kind of the vault")
    if not subject or len(plaintext) > PLAINTEXT_BYTES_MAX:
        raise ValueError("the vault keeps up to 8 KiB about somebody")
    with _inside(tenant_id):
        key = _key_of(tenant_id, subject)
        item = VaultItem(
            id=uuid7(),
            tenant_id=tenant_id,
            key=key,
            subject=subject,
            kind=kind,
            salt=os.urandom(SALT_BYTES),
            ends_on=ends_on(kind, datetime.now(UTC).date()),
        )
        item.ciphertext = encrypt(_data_key(key), plaintext, _place_of(item))
        item.save(force_insert=True)
    return item


def _key_of(tenant_id: UUID | None, subject: str) -> SubjectKey:
    """Locked against its destruction until the caller's transaction ends."""
    for _ in range(TRIES):
        with connection.cursor() as cursor:
            cursor.execute(LIVING, [tenant_id, subject])
            row = cursor.fetchone()
        if row is not None:
            return SubjectKey.objects.get(id=row[0])
        made = SubjectKey(id=uuid7(), tenant_id=tenant_id, subject=subject)
        made.wrapped_by, made.wrapped = keyring().wrap(os.urandom(KEY_BYTES), purpose_of(made))
        SubjectKey.objects.bulk_create(
            [made], ignore_conflicts=True
        )  # somebody else's, made meanwhile, is as good
    raise KeysUnavailable(f"the key of a person is made and destroyed without end: {tenant_id}")


def _destroy(keys: QuerySet[SubjectKey]) -> int:
    held = list(
        keys.filter(destroyed_at=None).select_for_update().order_by("id").values_list("id", flat=True)
    )
    gone, _ = VaultItem.objects.filter(key__in=held).delete()
    SubjectKey.objects.filter(id__in=held).update(wrapped=b"", wrapped_by="", destroyed_at=timezone.now())
    return gone


def _data_key(key: SubjectKey) -> bytes:
    if key.destroyed_at is not None:
        raise VaultGone("this person is forgotten")
    return keyring().unwrap(Wrapped(key.wrapped_by, bytes(key.wrapped)), purpose_of(key))


def purpose_of(key: SubjectKey) -> bytes:
    """What a data key is bound to when it is wrapped."""
    return _joined("rbee subject key", key.tenant_id, key.subject, key.id)


def _place_of(item: VaultItem) -> bytes:
    return _joined("rbee vault item", item.tenant_id, item.subject, item.kind, item.id, item.key_id)


def _joined(*parts: object) -> bytes:
    return "\x00".join("" if part is None else str(part) for part in parts).encode()


def _inside(tenant_id: UUID | None) -> AbstractContextManager[None]:
    scope = current_scope()
    if scope is not None and (scope.tenant_id is None or scope.tenant_id == tenant_id):
        return nullcontext()
    return colony_tx("vault") if tenant_id is None else tenant_tx(tenant_id)
