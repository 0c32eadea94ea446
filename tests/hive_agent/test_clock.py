import pytest

from hive_agent import clock
from hive_agent.cancellations import LIMIT, Cancellations
from hive_agent.control import _resume
from hive_agent.protocol import Outcome


@pytest.mark.parametrize(
    ("queen_ms", "asked_ms", "answered_ms", "ahead_ms"),
    [
        (1_000_000, 1_000_100, 1_000_300, 0),  # within what a header of whole seconds can tell
        (1_600_000, 1_000_000, 1_000_000, 600_500),
        (400_000, 1_000_000, 1_000_000, -599_500),
    ],
)
def test_difference_of_the_clocks(queen_ms: int, asked_ms: int, answered_ms: int, ahead_ms: int) -> None:
    assert clock.clock_ahead_ms(queen_ms, asked_ms, answered_ms) == ahead_ms


@pytest.mark.parametrize("ahead_ms", [0, 600_000, -600_000])
def test_deadline_is_the_queens_whatever_this_clock_says(ahead_ms: int) -> None:
    queen_now_ms = clock.now_ms() + ahead_ms

    assert clock.remaining_s(queen_now_ms + 10_000, ahead_ms) == pytest.approx(12, abs=0.1)


def test_cancel_is_taken_once() -> None:
    cancellations = Cancellations()
    cancellations.remember("task", 2, Outcome.TIMED_OUT)

    assert cancellations.take("task", 1) is None
    assert cancellations.take("task", 2) is Outcome.TIMED_OUT
    assert cancellations.take("task", 2) is None


def test_cancels_that_nobody_takes_are_bounded() -> None:
    cancellations = Cancellations()
    for number in range(LIMIT + 10):
        cancellations.remember(str(number), 1, Outcome.CLIENT_CANCELLED)

    assert len(cancellations.known) == LIMIT


@pytest.mark.parametrize(
    ("position", "last", "resumed"),
    [
        (None, "5-1", "5-1"),
        ("5-1", "9-0", "5-1"),
        ("5-1", "5-1", "5-1"),
        ("5-1", "0-0", "0-0"),
        ("10-0", "9-0", "0-0"),
    ],
)
def test_control_goes_on_where_it_was_unless_the_stream_began_anew(
    position: str | None, last: str, resumed: str
) -> None:
    assert _resume(position, last) == resumed
