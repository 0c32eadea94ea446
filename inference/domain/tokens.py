"""Credentials that the queen gives to hives: made here, shown once, kept as HMACs."""

from __future__ import annotations

import hmac
import os
import secrets
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gdpr.secrets import derive

_NONCE_BYTES = 12
_SECRET_BYTES = 24


def make_token(prefix: str) -> str:
    """192 random bits behind a prefix that secret scanners can be told to look for."""
    return f"{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def token_mac(use: str, token: str) -> str:
    """What is stored and looked up in place of a token. `use` is join or hive, so neither passes for the other."""
    return hmac.digest(derive(f"inference.{use}-token"), token.encode("utf-8", "replace"), "sha256").hex()


def seal_password(password: str, hive_id: UUID) -> bytes:
    """Readable only with the queen's root secret, and only as the password of this hive."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + _cipher().encrypt(nonce, password.encode(), hive_id.bytes)


def open_password(sealed: bytes, hive_id: UUID) -> str:
    """Raises ValueError when it was sealed under another root secret or for another hive."""
    try:
        return _cipher().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], hive_id.bytes).decode()
    except InvalidTag:
        raise ValueError(
            f"the Redis password of hive {hive_id} was sealed with another RBEE_SECRET_KEY"
        ) from None


def _cipher() -> AESGCM:
    return AESGCM(derive("inference.hive-redis-password"))
