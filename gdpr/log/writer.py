"""Adds entries to the files of a log, and signs what they hold then.

Files come first and the checkpoint last, each durable before the next. A process that dies in between leaves files that
no checkpoint speaks of; whoever adds the same entries again finds them as they should be.
"""

from __future__ import annotations

from collections.abc import Iterable

from gdpr.log.checkpoint import Checkpoint, open_checkpoint
from gdpr.log.entry import leaf_hash
from gdpr.log.note import NoteRefused, Signer, VerifyKey, read_verify_key
from gdpr.log.store import CHECKPOINT, HISTORY, KEYS, Store
from gdpr.log.tiles import ENTRIES, WIDTH, TileRefused, Tiles, pack_entries, superseded, tile_path
from gdpr.log.tree import EMPTY_ROOT, joined, perfect_root


class LogBroken(Exception):
    """What the store holds is no log that may be continued: its signature or its hashes are wrong."""


class LogWriter:
    """One at a time for a store. Raises LogBroken, OSError, and StoreConflict where files are written."""

    def __init__(self, store: Store, signer: Signer) -> None:
        self.store = store
        self.signer = signer
        self.published = newest_checkpoint(store, self._keys())
        self.size = self.published.size
        self._bundle: list[bytes] = []  # entries of the last bundle, while it is not full
        self._edges: list[list[bytes]] = []  # by level, the hashes of the last tile, while it is not full
        self._load()
        if self.root() != self.published.root:
            raise LogBroken(f"the tiles of {store} are not those that its checkpoint was signed for")

    def _keys(self) -> list[VerifyKey]:
        """The signer's, and those before it."""
        keys = known_keys(self.store)
        if self.signer.key not in keys:
            keys = [*keys, self.signer.key]
            self.store.replace(KEYS, "".join(f"{key}\n" for key in keys).encode())
        return keys

    def _load(self) -> None:
        tiles = Tiles(self.size, self.store.read, self.store.widths)
        level, items = 0, self.size
        try:
            if self.size % WIDTH:
                self._bundle = list(tiles.bundle(self.size // WIDTH))
            while items:
                self._edges.append(list(tiles.hashes(level, items // WIDTH)) if items % WIDTH else [])
                level, items = level + 1, items // WIDTH
        except TileRefused as error:
            raise LogBroken(f"{self.store}: {error}") from None

    def add(self, entries: Iterable[bytes]) -> None:
        """Writes the files that become full. What is left is written by `publish`."""
        for entry in entries:
            number = self.size // WIDTH
            self._bundle.append(entry)
            self._push(0, leaf_hash(entry))
            if len(self._bundle) == WIDTH:
                self.store.write(tile_path(ENTRIES, number), pack_entries(self._bundle))
                self._bundle = []
            self.size += 1

    def _push(self, level: int, value: bytes) -> None:
        if level == len(self._edges):
            self._edges.append([])
        edge = self._edges[level]
        edge.append(value)
        if len(edge) == WIDTH:
            number = self.size // WIDTH ** (level + 1)
            self.store.write(tile_path(level, number), b"".join(edge))
            self._edges[level] = []
            self._push(level + 1, perfect_root(edge))

    def root(self) -> bytes:
        roots: list[bytes] = []
        for edge in reversed(self._edges):
            begin = 0
            while begin < len(edge):
                width = 1 << ((len(edge) - begin).bit_length() - 1)
                roots.append(perfect_root(edge[begin : begin + width]))
                begin += width
        return joined(roots)

    def publish(self, *, keep: bool = False) -> Checkpoint:
        """A checkpoint of all that was added. `keep` it for ever, beside the newest."""
        before = self.published
        if self.size != before.size:
            self._write_partial()
            newest = Checkpoint(self.signer.key.name, self.size, self.root())
            self.store.replace(CHECKPOINT, newest.signed(self.signer).encode())
            self.published = newest
            for kind, number, width in superseded(before.size, self.size):
                self.store.remove_partial(tile_path(kind, number), width)
        if keep:
            self.store.write(history_path(self.size), self.store.read(CHECKPOINT) or b"")
        return self.published

    def _write_partial(self) -> None:
        """The files that are not full."""
        if self._bundle:
            path = tile_path(ENTRIES, self.size // WIDTH, len(self._bundle))
            self.store.write(path, pack_entries(self._bundle))
        for level, edge in enumerate(self._edges):
            if edge:
                number = self.size // WIDTH ** (level + 1)
                self.store.write(tile_path(level, number, len(edge)), b"".join(edge))


def newest_checkpoint(store: Store, keys: list[VerifyKey]) -> Checkpoint:
    """That of an empty log when there is none. Raises LogBroken."""
    note = store.read(CHECKPOINT)
    if note is None:
        return Checkpoint("", 0, EMPTY_ROOT)
    try:
        return open_checkpoint(note, keys)
    except NoteRefused as refused:
        raise LogBroken(f"the checkpoint of {store} is refused: {refused}") from None


def known_keys(store: Store) -> list[VerifyKey]:
    """That have signed this log, as the store says: who wants to be sure got them in another way."""
    text = (store.read(KEYS) or b"").decode()
    return [read_verify_key(line) for line in text.splitlines() if line]


def history_path(size: int) -> str:
    return f"{HISTORY}/{size:018d}"
