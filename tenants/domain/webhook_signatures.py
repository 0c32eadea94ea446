"""Secrets of webhook endpoints and what is signed with them, as https://www.standardwebhooks.com has it.

A secret is shown once as `whsec_` and base64, and kept sealed under a key derived from the queen's root secret, bound to
its endpoint.
"""

from __future__ import annotations

import base64
import hmac
import os
from collections.abc import Sequence
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gdpr.secrets import derive, derive_each

PREFIX = "whsec_"
SECRET_BYTES = 32
_NONCE_BYTES = 12
_SECRETS = "tenants.webhook-secret"


def make_secret() -> bytes:
    return os.urandom(SECRET_BYTES)


def shown(secret: bytes) -> str:
    return PREFIX + base64.b64encode(secret).decode()


def seal(secret: bytes, endpoint_id: UUID) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(derive(_SECRETS)).encrypt(nonce, secret, endpoint_id.bytes)


def unseal(sealed: bytes, endpoint_id: UUID) -> bytes:
    """Raises ValueError when it was sealed under none of the root secrets or for another endpoint."""
    return _opened(sealed, endpoint_id)[0]


def resealed(sealed: bytes, endpoint_id: UUID) -> bytes | None:
    """Under the newest root secret; None when it is. Raises ValueError as `unseal` does."""
    secret, is_newest = _opened(sealed, endpoint_id)
    return None if is_newest else seal(secret, endpoint_id)


def headers_of(message_id: str, at_s: int, body: bytes, secrets: Sequence[bytes]) -> dict[str, str]:
    """One signature by each secret, so that a receiver may hold either while it is changed."""
    signed = b".".join((message_id.encode(), str(at_s).encode(), body))
    signatures = (base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def _opened(sealed: bytes, endpoint_id: UUID) -> tuple[bytes, bool]:
    for place, key in enumerate(derive_each(_SECRETS)):
        try:
            secret = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], endpoint_id.bytes)
        except InvalidTag:
            continue
        return secret, place == 0
    raise ValueError(f"the secret of webhook endpoint {endpoint_id} was sealed with another RBEE_SECRET_KEY")
