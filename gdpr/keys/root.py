"""Where no file of keys and no KMS is named: keys derived from the root secrets, for colonies that keep one secret only.
They change when RBEE_SECRET_KEY does."""

from __future__ import annotations

from gdpr import secrets
from gdpr.keys.aead import decrypt, encrypt
from gdpr.keys.base import KeyInfo, KeysUnavailable, NotRotatable, Wrapped

LABEL = "vault-keys"


class RootKeys:
    place = "root"

    def wrap(self, data_key: bytes, purpose: bytes) -> Wrapped:
        root = self._roots()[0]
        return Wrapped(_id(root), encrypt(secrets.derive_from(root, LABEL), data_key, purpose))

    def unwrap(self, wrapped: Wrapped, purpose: bytes) -> bytes:
        for root in self._roots():
            if _id(root) == wrapped.key_id:
                return decrypt(secrets.derive_from(root, LABEL), wrapped.blob, purpose)
        raise KeysUnavailable(
            f"{wrapped.key_id} was derived from another RBEE_SECRET_KEY: name that one in RBEE_SECRET_KEY_PREVIOUS"
        )

    def list_keys(self) -> list[KeyInfo]:
        return [KeyInfo(_id(root), "", place == 0) for place, root in enumerate(self._roots())]

    def newest(self) -> str:
        return _id(self._roots()[0])

    def rotate(self) -> str:
        raise NotRotatable(
            "these keys are derived from RBEE_SECRET_KEY: rotate that, or name a file by RBEE_KEY_FILE"
        )

    def retire(self, key_id: str) -> None:
        raise NotRotatable("these keys are derived from RBEE_SECRET_KEY: retire that")

    def _roots(self) -> tuple[bytes, ...]:
        return secrets.roots()


def _id(root: bytes) -> str:
    return f"root:{secrets.root_id(root)}"
