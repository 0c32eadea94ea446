"""How long the log keeps its entries, and what may be gone then: one rule for who drops them, who removes their files and
who verifies.

Only entries go, from the beginning and in whole bundles; hashes stay, so the tree verifies as before. The bundle with the
last entry that is over stays too: it shows that the time of everything before it was over.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Final

import msgspec

from gdpr.log.store import FolderStore, Store
from gdpr.log.tiles import ENTRIES, WIDTH, TileRefused, Tiles, tile_path

KEPT_YEARS: Final = 7  # calendar years after that of an entry
MINIMUM_INDEX: Final = "minimum-index"  # the file beside the log: entries below it may be gone
DROPPED: Final = "audit_month.dropped"  # the event by which the log itself tells of its minimum index

_NUMBER = re.compile(rb"([1-9][0-9]{0,17})\n")
_MONTH = re.compile(r"audit_month:([0-9]{4})-(?:0[1-9]|1[0-2])")


class TooYoung(Exception):
    """Entries below a minimum index are not over: somebody raised it beyond what the term allows."""


def kept_until(made: date) -> date:
    """The first day on which it may go: a year's entries go together."""
    return date(made.year + KEPT_YEARS + 1, 1, 1)


def is_over(made: date, now: date) -> bool:
    return made.year + KEPT_YEARS < now.year


def read_minimum(store: Store) -> int:
    """0 when nothing was dropped. Raises TileRefused, OSError."""
    raw = store.read(MINIMUM_INDEX)
    if raw is None:
        return 0
    found = _NUMBER.fullmatch(raw)
    if found is None:
        raise TileRefused(f"{MINIMUM_INDEX} makes no sense")
    return int(found[1])


def bundles_gone(minimum: int) -> int:
    """How many, at most, from the beginning."""
    return max(0, minimum - 1) // WIDTH


class _Details(msgspec.Struct):
    minimum_index: int | None


class _Dropped(msgspec.Struct):
    at: datetime
    object_ref: str
    details: _Details


class _Made(msgspec.Struct):
    at: datetime


_dropped, _made = msgspec.json.Decoder(_Dropped), msgspec.json.Decoder(_Made)


def told_minimum(entry: bytes, index: int) -> int:
    """By an entry with the event DROPPED. Raises ValueError when it tells of what no rule allows."""
    try:
        found = _dropped.decode(entry)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    month, minimum = _MONTH.fullmatch(found.object_ref), found.details.minimum_index or 0
    if month is None or not 0 <= minimum <= index:
        raise ValueError("it makes no sense")
    if not is_over(date(int(month[1]), 1, 1), found.at):
        raise ValueError(f"the month {month[0]} was dropped before its time was over")
    return minimum


def remove_bundles(store: FolderStore, size: int, minimum: int) -> int:
    """Publishes the minimum index of a log of `size` entries, then removes what is wholly over. Returns how many bundles;
    whoever dies in between is followed by the next. Raises TooYoung, TileRefused, OSError."""
    gone = bundles_gone(minimum)
    published = read_minimum(store)
    if minimum <= published and (not gone or store.read(tile_path(ENTRIES, gone - 1)) is None):
        return 0
    _refuse_young(Tiles(size, store.read, store.widths), minimum)
    if minimum > published:
        store.replace(MINIMUM_INDEX, b"%d\n" % minimum)
    return sum(store.remove(tile_path(ENTRIES, number)) for number in range(gone))


def _refuse_young(tiles: Tiles, minimum: int) -> None:
    last, now = minimum - 1, datetime.now(UTC)
    for at, entry in enumerate(tiles.bundle(last // WIDTH)[: last % WIDTH + 1]):
        try:
            is_fine = is_over(_made.decode(entry).at, now)
        except msgspec.MsgspecError:
            is_fine = False
        if not is_fine:
            index = last - last % WIDTH + at
            raise TooYoung(f"entry {index} is below the minimum index {minimum}, and its years are not over")
