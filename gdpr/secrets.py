"""Every secret of the queen, derived from the root secret. A label names one use and is never reused.

There may be several root secrets: the newest makes, the others still read what they made (`gdpr.roots` has where they
stand and how they change). What is looked up by a MAC is looked up by one of each (`macs`); what was sealed opens under
any; pseudonyms of end users never change (`stable`), nor does what signs documents and the ledger of erasures (`lasting`).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LENGTH_BYTES = 32
SUBJECTS = "subject-pseudonym"  # the label of the one key that outlives its root secret


def roots() -> tuple[bytes, ...]:
    """The root secrets, newest first. Raises ImproperlyConfigured when there is none."""
    from gdpr.roots import current

    return current().roots


def derive(label: str) -> bytes:
    """32 bytes for `label`, of the newest root secret. Raises ImproperlyConfigured when there is no root secret."""
    return derive_from(roots()[0], label)


def derive_each(label: str) -> list[bytes]:
    """Of each root secret, newest first."""
    return [derive_from(root, label) for root in roots()]


def stable(label: str) -> bytes:
    """For pseudonyms of end users, by which limits, books and erasures find them: the same whatever root secrets come and
    go."""
    from gdpr.roots import current

    found = current()
    return found.subjects or derive_from(found.roots[-1], label)


def lasting(label: str) -> bytes:
    """32 bytes for `label` that are the same whatever root secrets come and go: for what is read again years later."""
    return derive_from(stable(SUBJECTS), label)


def macs(label: str, value: bytes) -> list[bytes]:
    """HMAC-SHA256 of `value` under each root secret's key, newest first: what a row that is looked up may hold."""
    return [hmac.digest(key, value, "sha256") for key in derive_each(label)]


def is_mac(found: bytes, label: str, value: bytes, cut: Callable[[bytes], bytes] = bytes) -> bool:
    """Whether `found` is one of them, cut as `cut` says."""
    good = False
    for mac in macs(label, value):
        good |= hmac.compare_digest(cut(mac), found)
    return good


@lru_cache(maxsize=256)
def derive_from(root: bytes, label: str) -> bytes:
    return HKDF(SHA256(), LENGTH_BYTES, salt=b"rbee", info=label.encode()).derive(root)


def root_id(root: bytes) -> str:
    """By which rows and people name a root secret; leads nobody to it."""
    return derive_from(root, "root-id")[:4].hex()


def newest_root() -> str:
    """What a row says beside a MAC that is made at this moment."""
    return root_id(roots()[0])


def seal(text: str, label: str) -> bytes:
    """What a database may hold of a secret that has to be read again."""
    return _fernet(derive(label)).encrypt(text.encode())


def unseal(sealed: bytes, label: str) -> str:
    """Raises ValueError for what was not sealed under this label and one of the root secrets."""
    for key in derive_each(label):
        try:
            return _fernet(key).decrypt(sealed).decode()
        except InvalidToken:
            continue
    raise ValueError(f"{label}: not sealed under this RBEE_SECRET_KEY")


def resealed(sealed: bytes, label: str) -> bytes | None:
    """Under the newest root secret; None when it is. Raises ValueError as `unseal` does."""
    try:
        _fernet(derive(label)).decrypt(sealed)
    except InvalidToken:
        return seal(unseal(sealed, label), label)
    return None


def _fernet(key: bytes) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(key))
