"""What happens again and again is told once, and then summed by the minute."""

from __future__ import annotations

import time
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

MINUTE_S: Final = 60.0
MOST: Final = 10_000  # kinds at a time

K = TypeVar("K", bound=Hashable)


class PerMinute(Generic[K]):
    def __init__(self) -> None:
        self._minutes: dict[K, tuple[float, int]] = {}  # when it is over, how many were not told

    def is_first(self, kind: K) -> bool:
        """Tell it. Otherwise it is summed."""
        until, count = self._minutes.get(kind, (0.0, 0))
        if until:
            self._minutes[kind] = (until, count + 1)
            return False
        self._minutes[kind] = (time.monotonic() + MINUTE_S, 0)
        return True

    @property
    def is_full(self) -> bool:
        return len(self._minutes) >= MOST

    def add(self, kind: K) -> None:
        """To the sum, whether or not one was told."""
        until, count = self._minutes.get(kind, (time.monotonic() + MINUTE_S, 0))
        self._minutes[kind] = (until, count + 1)

    def over(self, *, everything: bool = False) -> list[tuple[K, int]]:
        """Sums of minutes that are over, once each."""
        now = time.monotonic()
        ended = {kind: count for kind, (until, count) in self._minutes.items() if everything or until <= now}
        for kind in ended:
            del self._minutes[kind]
        return [(kind, count) for kind, count in ended.items() if count]
