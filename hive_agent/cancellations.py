"""Cancels that came before their task: the control stream and the queue are two roads. Remembered for the longest that
a task may wait for its hive."""

from __future__ import annotations

import time
from collections import OrderedDict

from hive_agent.protocol import Outcome

KEEP_S = 600.0
LIMIT = 100_000


class Cancellations:
    def __init__(self) -> None:
        self.known: OrderedDict[tuple[str, int], tuple[float, Outcome]] = OrderedDict()

    def remember(self, task: str, attempt: int, outcome: Outcome) -> None:
        now = time.monotonic()
        self.known[(task, attempt)] = (now, outcome)
        while self.known and (len(self.known) > LIMIT or now - next(iter(self.known.values()))[0] > KEEP_S):
            self.known.popitem(last=False)

    def take(self, task: str, attempt: int) -> Outcome | None:
        known = self.known.pop((task, attempt), None)
        return known[1] if known else None
