"""Every secret of the queen, derived from the one root secret. A label names one use and is never reused."""

from __future__ import annotations

from functools import lru_cache

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
