"""How large a log is and what its root is, signed: C2SP tlog-checkpoint."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gdpr.log.note import NoteRefused, Signer, VerifyKey, open_note, sign_note
from gdpr.log.tree import HASH_BYTES

_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    origin: str
    size: int
    root: bytes

    def signed(self, signer: Signer) -> str:
        return sign_note(f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n", signer)


def open_checkpoint(note: str | bytes, keys: Sequence[VerifyKey]) -> Checkpoint:
    """The origin is the name of the key that signed. Raises NoteRefused."""
    checkpoint = _read(open_note(note, keys))
    if checkpoint.origin not in {key.name for key in keys}:
        raise NoteRefused(f"it is of another log, {checkpoint.origin!r}")
    return checkpoint


def _read(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 4 or not lines[0] or not _SIZE.fullmatch(lines[1]):
        raise NoteRefused("it is no checkpoint: those have an origin, a size and a root")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except (binascii.Error, ValueError):
        root = b""
    if len(root) != HASH_BYTES or base64.b64encode(root).decode() != lines[2]:
        raise NoteRefused("the root of this checkpoint is no hash")
    return Checkpoint(lines[0], int(lines[1]), root)
