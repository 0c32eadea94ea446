"""Checks the documents that a colony signs, with its public key and nothing else: certificates of erasure, manifests."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from rbee_cli.errors import CliError

CONTEXT: Final = b"rbee gdpr document v1\n"
ALGORITHM: Final = "Ed25519"


def checked_document(signed: Any, key: str) -> dict[str, Any]:
    """What is signed, once `key` (base64) has signed it. Raises CliError."""
    try:
        document, signature = signed["document"], signed["signature"]
        if signature["algorithm"] != ALGORITHM or signature["key"] != key:
            raise CliError(f"it was signed by another key: {signature['key']}")
        public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key, validate=True))
        value = base64.b64decode(signature["value"], validate=True)
        canonical = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        public.verify(value, CONTEXT + canonical.encode())
    except (KeyError, TypeError, ValueError, InvalidSignature):
        raise CliError("the signature does not fit: it was altered, or is no document of a colony") from None
    if not isinstance(document, dict):
        raise CliError("the signature does not fit: it was altered, or is no document of a colony")
    return document
