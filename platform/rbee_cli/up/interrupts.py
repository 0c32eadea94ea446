"""Ctrl-C, SIGTERM and a closed terminal: the first asks to stop, a later one insists."""

from __future__ import annotations

import signal
import time
from types import FrameType


class Interrupted(BaseException):
    """Raised in the main thread by the first signal, wherever that is."""


class Interrupts:
    APART_S = 0.3  # one Ctrl-C may reach us twice: from the terminal, and from a parent that passes it on
    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self.count = 0
        self._last_at = -self.APART_S
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Interrupts:
        for number in self.SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def is_insisting(self) -> bool:
        return self.count > 1

    def _receive(self, number: int, frame: FrameType | None) -> None:
        since_last_s, self._last_at = time.monotonic() - self._last_at, time.monotonic()
        if since_last_s < self.APART_S:
            return
        self.count += 1
        if self.count == 1:
            raise Interrupted
