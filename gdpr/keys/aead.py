"""AES-256-GCM as the keys that are held here use it: a nonce, then what it encrypts."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gdpr.keys.base import WrongKey

NONCE_BYTES = 12
KEY_BYTES = 32


def encrypt(key: bytes, text: bytes, bound_to: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, bound_to)


def decrypt(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """Raises WrongKey."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError):
        raise WrongKey("this was not encrypted by this key for this place, or was altered") from None
