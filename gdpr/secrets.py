"""Every secret of the queen, derived from the one root secret. A label names one use and is never reused."""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LENGTH_BYTES = 32


def derive(label: str) -> bytes:
    """32 bytes for `label`. Raises ImproperlyConfigured when there is no root secret."""
    from django.conf import settings

    settings.RBEE.require("secret_key")
    return derive_from(settings.RBEE.secret_key, label)


@lru_cache(maxsize=64)
def derive_from(root: bytes, label: str) -> bytes:
    return HKDF(SHA256(), LENGTH_BYTES, salt=b"rbee", info=label.encode()).derive(root)


def seal(text: str, label: str) -> bytes:
    """What a database may hold of a secret that has to be read again."""
    return _fernet(derive(label)).encrypt(text.encode())


def unseal(sealed: bytes, label: str) -> str:
    """Raises ValueError for what was not sealed under this label and root secret."""
    try:
        return _fernet(derive(label)).decrypt(sealed).decode()
    except InvalidToken as error:
        raise ValueError(f"{label}: not sealed under this RBEE_SECRET_KEY") from error


def _fernet(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))
