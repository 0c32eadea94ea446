"""The files of a log, as C2SP tlog-tiles has them: 256 hashes to a tile, 256 entries to a bundle, and paths of three digits.

A file that is not full is named by its width, and what grows is another file: none is ever changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from gdpr.log.tree import HASH_BYTES, perfect_root

WIDTH: Final = 256
HEIGHT: Final = 8  # levels of the tree in a tile
LENGTH_BYTES: Final = 2
ENTRIES: Final = "entries"
CACHED_TILES: Final = 64

Kind = int | str  # the level of a tile of hashes, or ENTRIES


class TileRefused(ValueError):
    """A file of a log is missing or makes no sense; the message begins with its path."""


def tile_path(kind: Kind, number: int, width: int = WIDTH) -> str:
    digits = f"{number:03d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    path = "/".join(["tile", str(kind), *(f"x{group}" for group in groups[:-1]), groups[-1]])
    return path if width == WIDTH else f"{path}.p/{width}"


def pack_entries(entries: Sequence[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(LENGTH_BYTES, "big") + entry for entry in entries)


def unpack_entries(raw: bytes) -> list[bytes]:
    """Raises ValueError for what is no bundle."""
    entries, at = [], 0
    while at < len(raw):
        begin = at + LENGTH_BYTES
        at = begin + int.from_bytes(raw[at:begin], "big")
        if at > len(raw) or begin > len(raw):
            raise ValueError("an entry goes beyond its end")
        entries.append(raw[begin:at])
    return entries


def unpack_hashes(raw: bytes) -> list[bytes]:
    if len(raw) % HASH_BYTES:
        raise ValueError(f"{len(raw)} bytes are no whole number of hashes")
    return [raw[at : at + HASH_BYTES] for at in range(0, len(raw), HASH_BYTES)]


def files_of(begin: int, end: int) -> Iterator[tuple[Kind, int, int]]:
    """Kind, number and width of each file that a log of `end` entries has beyond one of `begin`."""
    for kind in (ENTRIES, *range(64)):
        old, new = (begin, end) if kind == ENTRIES else _at_level(begin, end, int(kind))
        if new == 0:
            return
        if old == new:
            continue
        for number in range(old // WIDTH, -(-new // WIDTH)):
            yield kind, number, min(WIDTH, new - number * WIDTH)


def superseded(begin: int, end: int) -> Iterator[tuple[Kind, int, int]]:
    """The files that are not full of a log of `begin` entries, and that one of `end` has in a wider form."""
    for kind in (ENTRIES, *range(64)):
        old, new = (begin, end) if kind == ENTRIES else _at_level(begin, end, int(kind))
        if old == 0:
            return
        if old != new and old % WIDTH:
            yield kind, old // WIDTH, old % WIDTH


def _at_level(begin: int, end: int, level: int) -> tuple[int, int]:
    return begin >> (HEIGHT * level), end >> (HEIGHT * level)


class Tiles:
    """What the files of a log of `size` entries say. `read` gives None for a file that is not there; `widths` gives those
    that there are of a file that is not full. Nothing is checked here: proofs made from it are, by whoever gets them."""

    def __init__(
        self,
        size: int,
        read: Callable[[str], bytes | None],
        widths: Callable[[str], Sequence[int]] = lambda path: (),
    ) -> None:
        self.size = size
        self._read = read
        self._widths = widths
        self.hashes = lru_cache(CACHED_TILES)(self._hashes)
        self.bundle = lru_cache(4)(self._bundle)

    def width(self, kind: Kind, number: int) -> int:
        """How many of a file's items are in this log."""
        items = self.size if kind == ENTRIES else self.size >> (HEIGHT * int(kind))
        return max(0, min(WIDTH, items - number * WIDTH))

    def node(self, level: int, index: int) -> bytes:
        """For `tree`'s proofs. Raises TileRefused."""
        tile_level, above = divmod(level, HEIGHT)
        number, first = divmod(index << above, WIDTH)
        return perfect_root(self.hashes(tile_level, number)[first : first + (1 << above)])

    def entry(self, index: int) -> bytes:
        return self.bundle(index // WIDTH)[index % WIDTH]

    def file(self, kind: Kind, number: int) -> bytes:
        """As it is at this size. Raises TileRefused."""
        if kind == ENTRIES:
            return pack_entries(self.bundle(number))
        return b"".join(self.hashes(int(kind), number))

    def _hashes(self, level: int, number: int) -> list[bytes]:
        return self._items(level, number, unpack_hashes)

    def _bundle(self, number: int) -> list[bytes]:
        return self._items(ENTRIES, number, unpack_entries)

    def _items(self, kind: Kind, number: int, unpack: Callable[[bytes], list[bytes]]) -> list[bytes]:
        """Of the file of this width, else of a wider one: those of older checkpoints are cleared away."""
        wanted = self.width(kind, number)
        for width in self._candidates(kind, number, wanted):
            path = tile_path(kind, number, width)
            raw = self._read(path)
            if raw is None:
                continue
            try:
                items = unpack(raw)
            except ValueError as error:
                raise TileRefused(f"{path} makes no sense: {error}") from None
            if len(items) != width:
                raise TileRefused(f"{path} has {len(items)} items, not {width}")
            return items[:wanted]
        raise TileRefused(f"{tile_path(kind, number, wanted)} is missing")

    def _candidates(self, kind: Kind, number: int, wanted: int) -> Iterator[int]:
        yield wanted
        if wanted < WIDTH:
            yield WIDTH
            yield from sorted(width for width in self._widths(tile_path(kind, number)) if width > wanted)
