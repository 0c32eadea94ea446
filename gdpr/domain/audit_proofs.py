"""What proves that an entry is in the audit log, and that the log only grew: read from its files, which the sequencer
writes. A proof is checked before it leaves, so that nobody is sent one that a damaged file made wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from django.conf import settings

from gdpr.domain.audit import leaf_of
from gdpr.log.checkpoint import Checkpoint, open_checkpoint
from gdpr.log.entry import leaf_hash
from gdpr.log.note import KeyRefused, NoteRefused
from gdpr.log.proof import Proof, ProofRefused, check_proof, encoded, make_proof
from gdpr.log.store import CHECKPOINT, KEYS, FolderStore
from gdpr.log.tiles import TileRefused, Tiles
from gdpr.log.tree import consistency_proof, tree_root, verify_consistency
from gdpr.log.writer import known_keys
from gdpr.models import AuditEntry

NOT_THERE: Final = "The audit log has no checkpoint yet; try again."


class LogUnavailable(Exception):
    """Not at this moment: nothing is published yet, or not this entry."""


class LogDamaged(Exception):
    """Its files do not prove what was signed. `rbee audit verify` says where."""


@dataclass(frozen=True, slots=True)
class Consistency:
    old: int
    new: int
    hashes: list[str]
    old_root: bytes
    new_root: bytes


class PublishedLog:
    """As of its newest checkpoint. Raises LogUnavailable and LogDamaged."""

    def __init__(self) -> None:
        store = FolderStore(settings.RBEE.audit_dir)
        try:
            note, self.keys = store.read(CHECKPOINT), known_keys(store)
            if note is None:
                raise LogUnavailable(NOT_THERE)
            self.note = note.decode()
            self.checkpoint: Checkpoint = open_checkpoint(note, self.keys)
            # By the clock of who wrote the file: it is no part of what is signed.
            self.written_at = datetime.fromtimestamp((store.folder / CHECKPOINT).stat().st_mtime, UTC)
        except OSError as error:
            raise LogUnavailable(f"The files of the audit log cannot be read: {error.strerror}.") from error
        except (NoteRefused, KeyRefused, UnicodeDecodeError) as error:
            raise LogDamaged(str(error)) from error
        self.keys_text = (store.read(KEYS) or b"").decode()
        self._tiles = Tiles(self.checkpoint.size, store.read, store.widths)

    def prove_entry(self, entry: AuditEntry) -> Proof:
        if entry.seq is None or entry.seq >= self.checkpoint.size:
            raise LogUnavailable("This entry is in no checkpoint yet; try again in two seconds.")
        try:
            proof = make_proof(entry.seq, self.note, self._tiles)
            check_proof(str(proof), self.keys)
            is_this = leaf_hash(proof.entry) == leaf_of(entry)
        except (TileRefused, ProofRefused, ValueError) as error:
            raise LogDamaged(f"entry {entry.seq}: {error}") from error
        if not is_this:
            raise LogDamaged(f"entry {entry.seq} is not the row {entry.id}")
        return proof

    def prove_growth(self, old: int, new: int) -> Consistency:
        """Raises ValueError for sizes that it never had."""
        if not 0 <= old <= new <= self.checkpoint.size:
            raise ValueError(f"sizes go from 0 to {self.checkpoint.size}, the older one first")
        try:
            roots = [tree_root(size, self._tiles.node) for size in (old, new)]
            hashes = consistency_proof(old, new, self._tiles.node)
        except TileRefused as error:
            raise LogDamaged(str(error)) from error
        is_signed = new != self.checkpoint.size or roots[1] == self.checkpoint.root
        if not is_signed or not verify_consistency(old, new, hashes, roots[0], roots[1]):
            raise LogDamaged(f"its tiles are not those of the checkpoint of {self.checkpoint.size}")
        return Consistency(old, new, encoded(hashes), roots[0], roots[1])


def find_entry(*, entry_id: UUID | None = None, index: int | None = None) -> AuditEntry | None:
    """Of the scope. By one of the two."""
    entries = AuditEntry.objects.all()
    return (entries.filter(id=entry_id) if entry_id else entries.filter(seq=index)).first()
