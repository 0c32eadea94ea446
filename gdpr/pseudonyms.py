"""What is kept of a tenant's end users: the same for the same tenant's same user, and nothing that leads back to the name."""

from __future__ import annotations

import hmac
from typing import Final

from gdpr.secrets import SUBJECTS, stable

PSEUDONYM_BYTES: Final = 16


def subject_pseudonym(tenant_id: str, subject: str) -> str:
    """`tenant_id` in hex. Empty for nobody."""
    return pseudonym(stable(SUBJECTS), tenant_id, subject)


def pseudonym(key: bytes, tenant_id: str, name: str) -> str:
    if not name:
        return ""
    named = f"{tenant_id}:{name}".encode("utf-8", "replace")
    return hmac.digest(key, named, "sha256")[:PSEUDONYM_BYTES].hex()
