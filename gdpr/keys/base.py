"""What a place that keeps key-encryption keys can do. Data keys leave it wrapped and come back to be unwrapped; the key
that wraps them never enters the database, nor a backup of it.

Identifiers of keys begin with the name of their place: `file:…`, `kms:…`, `root:…`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class KeysUnavailable(Exception):
    """The place of the keys cannot be reached, or has no key of this identifier. Nothing is wrong with what is wrapped."""


class WrongKey(ValueError):
    """It was not wrapped by this key, or not for this purpose, or was altered."""


class Wrapped(NamedTuple):
    key_id: str
    blob: bytes


class KeyInfo(NamedTuple):
    key_id: str
    made_at: str  # ISO 8601, or empty where the place does not tell
    is_newest: bool


class KeyEncryption(Protocol):
    """`purpose` is bound to what is wrapped: a data key that is put into another row does not open."""

    place: str

    def wrap(self, data_key: bytes, purpose: bytes) -> Wrapped:
        """By the newest key. Raises KeysUnavailable."""
        ...

    def unwrap(self, wrapped: Wrapped, purpose: bytes) -> bytes:
        """Raises KeysUnavailable, WrongKey."""
        ...

    def list_keys(self) -> list[KeyInfo]:
        """Newest first. Raises KeysUnavailable."""
        ...

    def newest(self) -> str:
        """The identifier of the key that wraps. Raises KeysUnavailable."""
        ...

    def rotate(self) -> str:
        """Makes a key that wraps from then on; gives back its identifier. Raises KeysUnavailable, NotRotatable."""
        ...

    def retire(self, key_id: str) -> None:
        """For good: what it wrapped cannot be read any more. Raises KeysUnavailable, NotRotatable."""
        ...


class NotRotatable(Exception):
    """Not from here; the message says where."""
