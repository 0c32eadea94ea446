"""Signed documents: certificates of erasure and the manifests of exports, which anybody checks with the colony's public
key and nothing else.

    {"document": {…}, "signature": {"algorithm": "Ed25519", "key": BASE64, "value": BASE64}}

What is signed is CONTEXT and the document in canonical JSON (RFC 8785). The key is derived from the first root secret and outlives it, so
a database that is restored or stolen signs nothing, and a certificate is checked years later by the key of that day.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from gdpr.domain.audit import canonical_json
from gdpr.secrets import lasting

LABEL: Final = "gdpr-documents"
CONTEXT: Final = b"rbee gdpr document v1\n"
ALGORITHM: Final = "Ed25519"


class BadSignature(ValueError):
    """Not signed by this key, or altered since."""


def sign_document(document: Mapping[str, Any]) -> dict[str, Any]:
    value = _key(lasting(LABEL)).sign(CONTEXT + canonical_json(document))
    return {
        "document": document,
        "signature": {"algorithm": ALGORITHM, "key": public_key(), "value": base64.b64encode(value).decode()},
    }


def public_key() -> str:
    return base64.b64encode(_key(lasting(LABEL)).public_key().public_bytes_raw()).decode()


def open_document(signed: Any, key: str) -> dict[str, Any]:
    """`key`: of whom it has to be. Raises BadSignature."""
    try:
        document, signature = signed["document"], signed["signature"]
        if signature["algorithm"] != ALGORITHM or signature["key"] != key:
            raise BadSignature("it is signed by another key")
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        value = base64.b64decode(signature["value"], validate=True)
        public.verify(value, CONTEXT + canonical_json(document))
    except (KeyError, TypeError, ValueError, InvalidSignature) as error:
        if isinstance(error, BadSignature):
            raise
        raise BadSignature("the signature does not fit the document") from error
    if not isinstance(document, dict):
        raise BadSignature("the document is no object")
    return document


@lru_cache(maxsize=2)
def _key(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)
