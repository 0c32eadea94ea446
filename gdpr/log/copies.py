"""A second place for a log, out of reach of whoever can change the first: another folder or host, or locked objects.

What is copied depends on the two sizes alone, so that a copy which was interrupted goes on where it was. A second place
that holds another history is never written to: it is the evidence. Entries whose time is over are told of there, and
removed by whoever keeps it.
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final

from gdpr.log.checkpoint import Checkpoint, open_checkpoint
from gdpr.log.note import NoteRefused, VerifyKey
from gdpr.log.store import CHECKPOINT, HISTORY, KEYS, WITNESSED, FolderStore, Store, StoreConflict
from gdpr.log.term import MINIMUM_INDEX, bundles_gone, read_minimum
from gdpr.log.tiles import ENTRIES, TileRefused, Tiles, files_of, superseded, tile_path
from gdpr.log.tree import tree_root
from gdpr.log.writer import known_keys

COPY_EVERY_S: Final = 30.0
COPIED: Final = "copied"  # beside the log, never in its second place: when that was up to date

logger = logging.getLogger(__name__)


class CopyRefused(Exception):
    """The second place holds what is not the beginning of this log."""


def copy_log(source: Store, target: Store, keys: list[VerifyKey]) -> int:
    """Returns how many entries the second place got. Raises CopyRefused, TileRefused, StoreConflict, OSError."""
    # Before the checkpoint, which tells of the one and is not older than the other.
    minimum, witnessed = read_minimum(source), source.read(WITNESSED)
    note = source.read(CHECKPOINT)
    if note is None:
        return 0
    newest = open_checkpoint(note, keys)
    tiles = Tiles(newest.size, source.read, source.widths)
    older = _of_target(target, keys)
    if older is not None:
        _refuse_other_history(older, newest, tiles)
    begin = older.size if older else 0
    gone = bundles_gone(minimum)
    for kind, number, width in files_of(begin, newest.size):
        if kind == ENTRIES and number < gone and source.read(tile_path(kind, number)) is None:
            continue
        target.write(tile_path(kind, number, width), tiles.file(kind, number))
    have = set(target.names(HISTORY))
    for name in source.names(HISTORY):
        if name not in have:
            target.write(f"{HISTORY}/{name}", source.read(f"{HISTORY}/{name}") or b"")
    if target.read(CHECKPOINT) != note:  # of the same size too: a witness has signed it since
        target.replace(KEYS, source.read(KEYS) or b"")
        target.replace(CHECKPOINT, note)
        for kind, number, width in superseded(begin, newest.size):
            target.remove_partial(tile_path(kind, number), width)
    if minimum > read_minimum(target):
        target.replace(MINIMUM_INDEX, source.read(MINIMUM_INDEX) or b"")
    if witnessed is not None and target.read(WITNESSED) != witnessed:
        target.replace(WITNESSED, witnessed)
    return newest.size - begin


def _of_target(target: Store, keys: list[VerifyKey]) -> Checkpoint | None:
    note = target.read(CHECKPOINT)
    if note is None:
        return None
    try:
        return open_checkpoint(note, keys)
    except NoteRefused as refused:
        raise CopyRefused(f"the checkpoint of {target} is refused: {refused}") from None


def _refuse_other_history(older: Checkpoint, newest: Checkpoint, tiles: Tiles) -> None:
    if older.size > newest.size:
        raise CopyRefused(
            f"the second place has {older.size} entries, this log {newest.size}: it was rolled back"
        )
    if tree_root(older.size, tiles.node) != older.root:
        raise CopyRefused(
            f"the first {older.size} entries of this log are others than those of the second place"
        )


def copied_at(source: Store) -> datetime | None:
    """None when nothing is copied. Raises ValueError, OSError."""
    raw = source.read(COPIED)
    return None if raw is None else datetime.fromisoformat(raw.decode().strip())


def second_place(where: str) -> Store | None:
    """A folder, or `s3://bucket/prefix`; nothing when none is named. Raises ValueError."""
    if not where:
        return None
    if where.startswith("s3://"):
        from gdpr.log.s3 import S3Store

        return S3Store.at(where)
    return FolderStore(Path(where))


class Copier:
    """Copies in a thread of its own: a second place that is slow or away holds nobody up. Ends with the `with`."""

    def __init__(self, source: FolderStore, target: Store | None) -> None:
        self._source = source
        self._target = target
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copies", daemon=True)

    def __enter__(self) -> Copier:
        if self._target is not None:
            self._thread.start()
        else:
            self._source.remove(COPIED)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._target is not None:
            self._thread.join(0.3)

    def _run(self) -> None:
        assert self._target is not None
        while True:
            try:
                copy_log(self._source, self._target, known_keys(self._source))
                self._source.replace(COPIED, f"{datetime.now(UTC).isoformat(timespec='seconds')}\n".encode())
            except (CopyRefused, NoteRefused, TileRefused, StoreConflict, OSError) as error:
                logger.error("the second place of the audit log is not up to date: %s", error)
            if self._over.wait(COPY_EVERY_S):
                return
