"""A proof in one text that anybody checks without us: C2SP tlog-proof."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gdpr.log.checkpoint import Checkpoint, open_checkpoint
from gdpr.log.entry import leaf_hash
from gdpr.log.note import VerifyKey
from gdpr.log.tiles import Tiles
from gdpr.log.tree import HASH_BYTES, inclusion_proof, verify_inclusion

HEADER = "c2sp.org/tlog-proof@v1"

_INDEX = re.compile(r"index (0|[1-9][0-9]{0,17})")


class ProofRefused(ValueError):
    """It is no proof, or proves nothing of this entry."""


@dataclass(frozen=True, slots=True)
class Proof:
    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str  # the signed note
    entry: bytes = b""  # what is proved, where it travels along

    def __str__(self) -> str:
        extra = [f"extra {base64.b64encode(self.entry).decode()}"] if self.entry else []
        lines = [HEADER, *extra, f"index {self.index}", *encoded(self.hashes), "", self.checkpoint]
        return "\n".join(lines)


def make_proof(index: int, checkpoint: str, tiles: Tiles) -> Proof:
    """With its entry. Raises ValueError for an index that is not in the log, and TileRefused."""
    hashes = inclusion_proof(index, tiles.size, tiles.node)
    return Proof(index, tuple(hashes), checkpoint, tiles.entry(index))


def check_proof(
    text: str, keys: Sequence[VerifyKey], *, entry: bytes | None = None
) -> tuple[Proof, Checkpoint]:
    """Of `entry`, else of the one that travels along. Raises ProofRefused, and NoteRefused for its checkpoint."""
    proof = read_proof(text)
    checkpoint = open_checkpoint(proof.checkpoint, keys)
    leaf = leaf_hash(proof.entry if entry is None else entry)
    if not verify_inclusion(leaf, proof.index, checkpoint.size, proof.hashes, checkpoint.root):
        raise ProofRefused(f"it does not prove that this is entry {proof.index} of {checkpoint.size}")
    return proof, checkpoint


def read_proof(text: str) -> Proof:
    head, blank, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    extra = lines.pop(0).removeprefix("extra ") if lines and lines[0].startswith("extra ") else ""
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if header != HEADER or index is None or not blank:
        raise ProofRefused(f"it is no proof: the first line of one is {HEADER}, and it has an index")
    return Proof(int(index[1]), tuple(map(_hash, lines[1:])), checkpoint, _bytes(extra))


def encoded(hashes: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(each).decode() for each in hashes]


def _hash(line: str) -> bytes:
    found = _bytes(line)
    if len(found) != HASH_BYTES:
        raise ProofRefused("a line of it is no hash")
    return found


def _bytes(text: str) -> bytes:
    """Written in the one way there is."""
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = None
    if found is None or base64.b64encode(found).decode() != text:
        raise ProofRefused("a line of it is not base64")
    return found
