"""Finds what is wrong with a log: by its files, the public key, and a checkpoint that somebody kept elsewhere.

Files alone show whether they fit each other and were signed. That nothing was taken back, and no other history put in
place of this one by whoever holds the key, is shown by an older checkpoint only: one that a customer was sent, or that of
the second place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import msgspec

from gdpr.log.checkpoint import Checkpoint, open_checkpoint
from gdpr.log.entry import leaf_hash
from gdpr.log.note import NoteRefused, VerifyKey
from gdpr.log.store import CHECKPOINT, HISTORY, WITNESSED, Store
from gdpr.log.term import DROPPED, MINIMUM_INDEX, bundles_gone, is_over, read_minimum, told_minimum
from gdpr.log.tiles import WIDTH, TileRefused, Tiles, tile_path
from gdpr.log.tree import Frontier, perfect_root
from gdpr.log.witness import WitnessKey, cosigned_at

PROBLEMS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Problem:
    where: str  # a path of the log, or an entry by its index
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Report:
    """`size` entries are signed for, those from `first` on are there, those from `minimum` on have to be, and
    `witnessed` are what a witness vouches for, as of `witnessed_at`: seconds since 1970."""

    origin: str = ""
    size: int = 0
    first: int = 0
    minimum: int = 0
    witnessed: int = 0
    witnessed_at: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_fine(self) -> bool:
        return not self.problems

    def add(self, where: str, what: str) -> None:
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(where, what))


class _Head(msgspec.Struct):
    id: UUID
    at: datetime
    event: str


_head = msgspec.json.Decoder(_Head)


def verify_log(
    store: Store,
    keys: Sequence[VerifyKey],
    older: Iterable[tuple[str, str | bytes]] = (),
    witness: WitnessKey | None = None,
) -> Report:
    """`older`: checkpoints from elsewhere, each with a name for it. `witness`: who has to have signed one. Raises OSError."""
    report = Report()
    try:
        report.minimum = read_minimum(store)  # before the checkpoint, which tells of it
    except TileRefused as refused:
        report.add(*_parts(refused))
    witnessed = store.read(WITNESSED)
    kept = [
        *older,
        *((f"{HISTORY}/{name}", store.read(f"{HISTORY}/{name}") or b"") for name in store.names(HISTORY)),
        *([] if witnessed is None else [(WITNESSED, witnessed)]),
    ]
    note = store.read(CHECKPOINT)  # behind all that it has to be as long as
    if note is None:
        if kept or store.names("tile"):
            report.add(CHECKPOINT, "missing")
        return report
    newest = _opened(report, CHECKPOINT, note, keys)
    if newest is None:
        return report
    wanted = [found for name, other in kept if (found := _opened(report, name, other, keys))]
    report.origin, report.size = newest[1].origin, newest[1].size
    if witness is not None:
        _ask_for(
            witness, report, [*kept, (CHECKPOINT, note)], {name: one.size for name, one in [*wanted, newest]}
        )
    _Walk(report, Tiles(report.size, store.read, store.widths), [*wanted, newest]).run()
    return report


def _opened(
    report: Report, name: str, note: str | bytes, keys: Sequence[VerifyKey]
) -> tuple[str, Checkpoint] | None:
    try:
        found = open_checkpoint(note, keys)
    except NoteRefused as refused:
        report.add(name, str(refused))
        return None
    if name.startswith(f"{HISTORY}/") and name != f"{HISTORY}/{found.size:018d}":
        report.add(name, f"it is a checkpoint of {found.size} entries, which its name does not say")
    return name, found


def _ask_for(
    witness: WitnessKey, report: Report, notes: Iterable[tuple[str, str | bytes]], sizes: Mapping[str, int]
) -> None:
    for name, note in notes:
        try:
            at = cosigned_at(note, witness)
        except NoteRefused as refused:
            report.add(name, str(refused))
            continue
        if at is not None and sizes.get(name, -1) >= report.witnessed:
            report.witnessed, report.witnessed_at = sizes[name], at
    if not report.witnessed_at:
        report.add(WITNESSED, f"no checkpoint is signed by {witness.name}")


class _Walk:
    """Through all entries, once. Where a leaf differs from its tile the tile's goes into the tree: then the root tells
    which of the two is wrong, and everything behind it can still be checked."""

    def __init__(self, report: Report, tiles: Tiles, checkpoints: Sequence[tuple[str, Checkpoint]]) -> None:
        self.report = report
        self.tiles = tiles
        self.checkpoints = checkpoints
        self.frontier = Frontier()
        self.edges: list[list[bytes]] = []  # by level, roots of its tiles that the tile above has to hold
        self.ids: dict[UUID, int] = {}
        self.absent = 0  # bundles at the beginning that are not there
        self.told = 0  # the minimum index, as the log itself tells of it
        self.is_raised = False  # the minimum index, beyond an entry that is not over: said once
        self.now = datetime.now(UTC)

    def run(self) -> None:
        roots = {one.size: b"" for _, one in self.checkpoints}
        if 0 in roots:
            roots[0] = self.frontier.root()
        for number in range(-(-self.tiles.size // WIDTH)):
            leaves = self._leaves(number)
            if leaves is None:
                return
            for leaf in leaves:
                self.frontier.add(leaf)
                if self.frontier.size in roots:
                    roots[self.frontier.size] = self.frontier.root()
            if len(leaves) == WIDTH:
                self._push(0, leaves, number)
        for level, edge in enumerate(self.edges):
            if edge:
                self._compare(level + 1, self.tiles.size // WIDTH ** (level + 2), edge)
        self.report.first = min(self.tiles.size, self.absent * WIDTH)
        if self.report.minimum > self.told:
            what = f"it is {self.report.minimum}, and the log itself tells of {self.told or 'none'}"
            self.report.add(MINIMUM_INDEX, what)
        for name, one in self.checkpoints:
            if one.size > self.tiles.size:
                what = f"it was signed for {one.size} entries and the log has {self.tiles.size}: it was rolled back"
                self.report.add(name, what)
            elif roots[one.size] != one.root:
                self.report.add(name, f"the first {one.size} entries are not those that it was signed for")

    def _leaves(self, number: int) -> list[bytes] | None:
        """None when nothing behind this bundle can be checked."""
        stored, entries = self._stored(number), self._entries(number)
        if entries is None:
            return stored
        computed = [leaf_hash(entry) for entry in entries]
        for at, entry in enumerate(entries):
            index = number * WIDTH + at
            if stored is not None and stored[at] != computed[at]:
                self.report.add(
                    f"entry {index}", f"its bytes are not those of its leaf in {tile_path(0, number)}"
                )
            self._check_entry(index, entry)
        return computed if stored is None else stored

    def _stored(self, number: int) -> list[bytes] | None:
        try:
            return self.tiles.hashes(0, number)
        except TileRefused as refused:
            self.report.add(*_parts(refused))
            return None

    def _entries(self, number: int) -> list[bytes] | None:
        try:
            return self.tiles.bundle(number)
        except TileRefused as refused:
            is_gone = number == self.absent and str(refused).endswith("is missing")
            if is_gone and number < bundles_gone(self.report.minimum):
                self.absent += 1
            else:
                last = min(self.tiles.size, (number + 1) * WIDTH) - 1
                where, what = _parts(refused)
                self.report.add(f"entries {number * WIDTH} to {last}", f"{where} {what}")
            return None

    def _check_entry(self, index: int, entry: bytes) -> None:
        try:
            found = _head.decode(entry)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.report.add(f"entry {index}", "it is no audit entry")
            return
        before = self.ids.setdefault(found.id, index)
        if before != index:
            self.report.add(f"entry {index}", f"it is entry {before} once more")
        if index < self.report.minimum and not self.is_raised and not is_over(found.at, self.now):
            self.is_raised = True
            self.report.add(f"entry {index}", "it is below the minimum index, and its years are not over")
        if found.event == DROPPED:
            self._hear(index, entry)

    def _hear(self, index: int, entry: bytes) -> None:
        try:
            self.told = max(self.told, told_minimum(entry, index))
        except ValueError as error:
            self.report.add(f"entry {index}", f"what it tells of a month that was dropped: {error}")

    def _push(self, level: int, tile: list[bytes], number: int) -> None:
        """A full tile, the last leaf of which is in tile `number` of level 0."""
        if level == len(self.edges):
            self.edges.append([])
        edge = self.edges[level]
        edge.append(perfect_root(tile))
        if len(edge) == WIDTH:
            self._compare(level + 1, number // WIDTH ** (level + 1), edge)
            self.edges[level] = []
            self._push(level + 1, edge, number)

    def _compare(self, level: int, number: int, computed: list[bytes]) -> None:
        try:
            stored = self.tiles.hashes(level, number)
        except TileRefused as refused:
            self.report.add(*_parts(refused))
            return
        for at, (one, other) in enumerate(zip(stored, computed, strict=False)):
            if one != other:
                below = tile_path(level - 1, number * WIDTH + at)
                self.report.add(tile_path(level, number), f"its hash {at} is not the root of {below}")


def _parts(refused: TileRefused) -> tuple[str, str]:
    where, _, what = str(refused).partition(" ")
    return where, what
