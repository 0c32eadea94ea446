"""Credentials that the queen gives to hives: made here, shown once, kept as HMACs."""

from __future__ import annotations

import os
import secrets
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gdpr.secrets import derive, derive_each, macs

_NONCE_BYTES = 12
_SECRET_BYTES = 24
_PASSWORDS = "inference.hive-redis-password"


def make_token(prefix: str) -> str:
    """192 random bits behind a prefix that secret scanners can be told to look for."""
    return f"{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def token_mac(use: str, token: str) -> str:
    """What is stored in place of a token. `use` is join or hive, so neither passes for the other."""
    return token_macs(use, token)[0]


def token_macs(use: str, token: str) -> list[str]:
    """By one of these a token is found, under each root secret; newest first."""
    return [mac.hex() for mac in macs(f"inference.{use}-token", token.encode("utf-8", "replace"))]


def seal_password(password: str, hive_id: UUID) -> bytes:
    """Readable only with the queen's root secret, and only as the password of this hive."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(derive(_PASSWORDS)).encrypt(nonce, password.encode(), hive_id.bytes)


def open_password(sealed: bytes, hive_id: UUID) -> str:
    """Raises ValueError when it was sealed under none of the root secrets or for another hive."""
    return _opened(sealed, hive_id)[0]


def resealed_password(sealed: bytes, hive_id: UUID) -> bytes | None:
    """Under the newest root secret; None when it is. Raises ValueError as `open_password` does."""
    password, is_newest = _opened(sealed, hive_id)
    return None if is_newest else seal_password(password, hive_id)


def _opened(sealed: bytes, hive_id: UUID) -> tuple[str, bool]:
    for place, key in enumerate(derive_each(_PASSWORDS)):
        try:
            password = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], hive_id.bytes)
        except InvalidTag:
            continue
        return password.decode(), place == 0
    raise ValueError(f"the Redis password of hive {hive_id} was sealed with another RBEE_SECRET_KEY")
