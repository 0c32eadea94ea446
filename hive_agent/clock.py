"""Time as the queen has it. A hive's own clock may be minutes off; deadlines are the queen's."""

from __future__ import annotations

import time

MARGIN_MS = 2_000  # how well the difference is known: HTTP tells the time in whole seconds


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def clock_ahead_ms(queen_at_ms: int, asked_at_ms: int, answered_at_ms: int) -> int:
    """The queen's clock less ours, from one request. 0 when it is within what can be known."""
    ahead = queen_at_ms + 500 - (asked_at_ms + answered_at_ms) // 2
    return ahead if abs(ahead) > MARGIN_MS else 0


def remaining_s(deadline_ms: int, ahead_ms: int) -> float:
    """Until a deadline of the queen's; the margin is in the task's favour."""
    return (deadline_ms + MARGIN_MS - now_ms() - ahead_ms) / 1000
