"""The keys that hives sign their receipts with, of today and of before."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from billing.reconciliation_models import ReceiptKey


def keep_key(hive_id: UUID, public_key: str) -> None:
    """In the transaction in which the hive joins. One that is known is not kept again."""
    if not ReceiptKey.objects.filter(hive_id=hive_id, public_key=public_key).exists():
        ReceiptKey.objects.create(hive_id=hive_id, public_key=public_key)


class KeyRing:
    """`more`: keys of hives that joined before keys were kept."""

    def __init__(self, more: Iterable[tuple[UUID, str]] = ()) -> None:
        self._keys: dict[UUID, list[Ed25519PublicKey]] = {}
        known = ReceiptKey.objects.order_by("-id").values_list("hive_id", "public_key")
        for hive_id, text in dict.fromkeys([*known, *more]):
            if key := _read(text):
                self._keys.setdefault(hive_id, []).append(key)

    def is_signed(self, hive_id: UUID, payload: bytes, signature: bytes) -> bool:
        for key in self._keys.get(hive_id, ()):
            try:
                key.verify(signature, payload)
            except InvalidSignature:
                continue
            return True
        return False


def _read(text: str) -> Ed25519PublicKey | None:
    try:
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(text))
    except (binascii.Error, ValueError):
        return None
