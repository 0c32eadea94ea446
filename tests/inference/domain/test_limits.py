import pytest

from inference.domain.limits import Level, duration, limits_of, rate_headers
from tests.inference.domain.lane import make_caller


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5, "0ms"),
        (0, "0ms"),
        (12, "12ms"),
        (1000, "1s"),
        (1500, "1.5s"),
        (59_999, "59.999s"),
        (360_000, "6m0s"),
        (61_250, "1m1.25s"),
    ],
)
def test_durations_are_written_as_go_reads_them(ms: int, text: str) -> None:
    assert duration(ms) == text


def test_the_day_is_counted_even_without_a_limit_and_comes_first() -> None:
    found = limits_of(make_caller("t"), 30)
    assert [(limit.name, limit.limit, limit.amount) for limit in found] == [("tokens_per_day", -1, 30)]
    caller = make_caller(
        "t", requests_per_minute=1, tokens_per_minute=2, tokens_per_day=3, concurrent_tasks=4
    )
    assert [(limit.name, limit.kind, limit.limit, limit.amount) for limit in limits_of(caller, 30)] == [
        ("tokens_per_day", "d", 3, 30),
        ("requests", "w", 1, 1),
        ("tokens", "w", 2, 30),
        ("concurrent_tasks", "l", 4, 1),
    ]


def test_an_end_user_is_counted_when_one_is_named_and_never_limited() -> None:
    found = limits_of(make_caller("t", requests_per_minute=1), 30, subject="5e5")
    others = limits_of(make_caller("other", requests_per_minute=1), 30, subject="5e5")

    assert [(limit.name, limit.kind, limit.limit, limit.amount) for limit in found[2:]] == [
        ("tokens_of_subject", "d", -1, 30),
        ("requests_of_subject", "w", -1, 1),
    ]
    assert {limit.key for limit in found}.isdisjoint(limit.key for limit in others)
    assert rate_headers([Level(limit, 1, 1) for limit in found[2:]]) == {}


def test_keys_of_a_tenant_share_its_limits() -> None:
    ones, others = (
        limits_of(make_caller("t", requests_per_minute=1, concurrent_tasks=1), 1) for _ in range(2)
    )  # two API keys of two projects
    assert [limit.key for limit in ones] == [limit.key for limit in others]
