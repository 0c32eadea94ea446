"""UUIDv7 (RFC 9562): identifiers that carry the time at which they were made, so a task names its own partition."""

from __future__ import annotations

import os
import time
from datetime import UTC, date, datetime
from uuid import UUID

_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_AT_MS_MAX = 253_402_300_799_999  # the end of the year 9999
_RANDOM_62_BITS = (1 << 62) - 1


def uuid7(at_ns: int | None = None) -> UUID:
    """Sorts by the time it was made, to a quarter of a microsecond (12 bits below the millisecond)."""
    at_ns = time.time_ns() if at_ns is None else at_ns
    at_ms, below_ns = divmod(at_ns, 1_000_000)
    fraction = (below_ns << 12) // 1_000_000
    random_bits = int.from_bytes(os.urandom(8), "big") & _RANDOM_62_BITS
    return UUID(int=(at_ms << 80) | _VERSION_AND_VARIANT | (fraction << 64) | random_bits)


def is_uuid7(value: UUID) -> bool:
    """And of a time that has a date: after the year 9999 nothing is looked for."""
    return value.version == 7 and value.int >> 80 <= _AT_MS_MAX


def made_at(value: UUID) -> datetime:
    """Raises ValueError for another version: only a UUIDv7 has a time in this place."""
    if not is_uuid7(value):
        raise ValueError(f"{value} is not a UUIDv7")
    return datetime.fromtimestamp((value.int >> 80) / 1000, UTC)


def month_of(value: UUID) -> date:
    """The first day of its month in UTC: the partition it lives in. `rbee_month` says the same in SQL."""
    return made_at(value).date().replace(day=1)
