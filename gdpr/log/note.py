"""Texts with signatures, as C2SP signed-note has them: Ed25519, a name for each key, readable by people and by other tools.

    signer = make_signer("rbee.example.org/audit")
    note = sign_note("what is signed\n", signer)
    open_note(note, [signer.key])                # the text, or NoteRefused

Keys are written as golang.org/x/mod/sumdb/note writes them: `name+id+key` to verify, `PRIVATE+KEY+name+id+key` to sign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ED25519: Final = b"\x01"
PRIVATE: Final = "PRIVATE+KEY+"
NOTE_BYTES_MAX: Final = 1_000_000
SIGNATURES_MAX: Final = 100

_DASH = "\u2014 "
_SECRET_KEY = re.compile(r"PRIVATE\+KEY\+([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)")
_VERIFY_KEY = re.compile(r"([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)")


class NoteRefused(ValueError):
    """It is no signed note, or no key that is trusted signed it."""


class KeyRefused(ValueError):
    """The text of a key makes no sense."""


@dataclass(frozen=True, slots=True)
class VerifyKey:
    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        return key_id(self.name, ED25519, self.public)

    def verifies(self, message: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_base64(ED25519 + self.public)}"


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]


class Signer(Protocol):
    """Who signs for a key. One that asks elsewhere (`signers`) may raise OSError, by `key` also KeyRefused."""

    @property
    def key(self) -> VerifyKey: ...

    def sign(self, message: bytes) -> bytes: ...


class FileSigner:
    """The key in memory, as it is read from a file of its own."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        self._private = private
        self._key = VerifyKey(name, private.public_key().public_bytes_raw())

    @property
    def key(self) -> VerifyKey:
        return self._key

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    def secret_text(self) -> str:
        seed = self._private.private_bytes_raw()
        return f"{PRIVATE}{self._key.name}+{self._key.id.hex()}+{_base64(ED25519 + seed)}"


def make_signer(name: str) -> FileSigner:
    """With a key of its own. Raises KeyRefused for a name that no note can hold."""
    refuse_name(name)
    return FileSigner(name, Ed25519PrivateKey.generate())


def refuse_name(name: str) -> None:
    """Raises KeyRefused."""
    if not name or "+" in name or any(char.isspace() or not char.isprintable() for char in name):
        raise KeyRefused(f"{name!r} is no name of a key: it has neither spaces nor a plus")


def read_signer(text: str) -> FileSigner:
    """From `secret_text`. Raises KeyRefused, which quotes nothing of it."""
    found = _SECRET_KEY.fullmatch(text.strip())
    seed = _key_bytes(found[3]) if found else None
    if found is None or seed is None:
        raise KeyRefused(
            "this is no signing key: it begins with PRIVATE+KEY+ and has a name, an id and a key"
        )
    signer = FileSigner(found[1], Ed25519PrivateKey.from_private_bytes(seed))
    if signer.key.id.hex() != found[2]:
        raise KeyRefused("the id of this signing key is not of its name and key")
    return signer


def read_verify_key(text: str) -> VerifyKey:
    """From `str(key)`. Raises KeyRefused."""
    name, identifier, public = read_key(text, ED25519)
    key = VerifyKey(name, public)
    if key.id != identifier:
        raise KeyRefused(f"the id of the key {name} is not of its name and key")
    return key


def read_key(text: str, kind: bytes) -> tuple[str, bytes, bytes]:
    """Name, id and public key of one that is written as NAME+ID+KEY. Raises KeyRefused."""
    found = _VERIFY_KEY.fullmatch(text.strip())
    public = _key_bytes(found[3], kind) if found else None
    if found is None or public is None:
        raise KeyRefused(f"{_shown(text)} is no key to verify by: it is written as NAME+ID+KEY")
    return found[1], bytes.fromhex(found[2]), public


def read_verify_keys(text_or_path: str) -> list[VerifyKey]:
    """A key, or the name of a file with one on each line. Raises KeyRefused."""
    if _VERIFY_KEY.fullmatch(text_or_path.strip()):
        return [read_verify_key(text_or_path)]
    try:
        lines = Path(text_or_path).expanduser().read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError, RuntimeError) as error:
        raise KeyRefused(
            f"{_shown(text_or_path)} is neither a key (NAME+ID+KEY) nor a file of keys"
        ) from error
    keys = [read_verify_key(line) for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise KeyRefused(f"{_shown(text_or_path)} holds no key")
    return keys


def sign_note(text: str, *signers: Signer) -> str:
    """Raises ValueError for a text that a note cannot hold."""
    if not text.endswith("\n") or _has_control(text):
        raise ValueError("the text of a note ends in a newline, and has no other control characters")
    lines = [
        signature_line(signer.key.name, signer.key.id + signer.sign(text.encode())) for signer in signers
    ]
    return f"{text}\n{''.join(lines)}"


def signature_line(name: str, raw: bytes) -> str:
    """`raw` begins with the id of the key."""
    return f"{_DASH}{name} {_base64(raw)}\n"


def open_note(note: str | bytes, keys: Sequence[VerifyKey]) -> str:
    """The text, once one of `keys` has signed it and no signature of theirs is wrong. Raises NoteRefused."""
    text, signatures = split_note(note)
    message, is_signed = text.encode(), False
    for name, signature in signatures:
        for key in keys:
            if key.name != name or key.id != signature[:4]:
                continue
            if not key.verifies(message, signature[4:]):
                raise NoteRefused(f"the signature of {name} is wrong")
            is_signed = True
    if not is_signed:
        wanted = ", ".join(f"{key.name}+{key.id.hex()}" for key in keys)
        raise NoteRefused(f"not signed by {wanted or 'any key that was given'}")
    return text


def split_note(note: str | bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Its text, and of each signature the name and the bytes, which nobody has checked. Raises NoteRefused."""
    try:
        whole = note.decode() if isinstance(note, bytes) else note
    except UnicodeDecodeError:
        raise NoteRefused("it is not text") from None
    if len(whole) > NOTE_BYTES_MAX or _has_control(whole):
        raise NoteRefused("it is too long, or has control characters")
    at = whole.rfind("\n\n")
    if at < 0 or not whole.endswith("\n"):
        raise NoteRefused("it has no signature")
    text, lines = whole[: at + 1], whole[at + 2 : -1].split("\n")
    if len(lines) > SIGNATURES_MAX or len(set(lines)) < len(lines):
        raise NoteRefused("it has too many signatures, or one twice")
    return text, [_signature(line) for line in lines]


def _signature(line: str) -> tuple[str, bytes]:
    name, _, encoded = line.removeprefix(_DASH).partition(" ")
    raw = _decoded(encoded)
    if not line.startswith(_DASH) or not name or "+" in name or raw is None or len(raw) < 5:
        raise NoteRefused("a line of its signatures makes no sense")
    return name, raw


def _has_control(text: str) -> bool:
    return any(char < " " and char != "\n" for char in text)


def _key_bytes(encoded: str, kind: bytes = ED25519) -> bytes | None:
    raw = _decoded(encoded)
    return raw[1:] if raw is not None and len(raw) == 33 and raw[:1] == kind else None


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _decoded(encoded: str) -> bytes | None:
    """None for what is not the one way in which these bytes are written."""
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if _base64(raw) == encoded else None


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}…")
