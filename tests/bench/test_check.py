from bench.check import HOLDS, MISSED, NOT_RUN, judge
from bench.goals import Goal
from bench.report import are_exact, ratio

AGAINST_A_PEER = Goal("CPU", "cpu_us_per_request", "whole c16", "LiteLLM", 0.1, 0.04)
BY_ITSELF = Goal("memory", "kib_per_open_stream", "open", "", 50, 25)


def entries(ours: float, theirs: float, **more: object) -> dict:
    return {
        "rbee": {"cpu_us_per_request": ours, "errors": 0},
        "LiteLLM": {"cpu_us_per_request": theirs, "errors": 0, **more},
    }


def test_a_ratio_is_held_against_its_limit() -> None:
    assert judge(AGAINST_A_PEER, entries(900, 10_000)) == (HOLDS, "0.09, at most 0.1, aim 0.04")
    assert judge(AGAINST_A_PEER, entries(300, 10_000)) == (HOLDS, "0.03, at most 0.1, the aim is reached")
    assert judge(AGAINST_A_PEER, entries(2000, 10_000)) == (MISSED, "0.2, at most 0.1, aim 0.04")


def test_memory_needs_no_peer() -> None:
    assert judge(BY_ITSELF, {"rbee": {"kib_per_open_stream": 30, "errors": 0}})[0] == HOLDS
    assert judge(BY_ITSELF, {"rbee": {"kib_per_open_stream": 60, "errors": 0}})[0] == MISSED


def test_a_missing_peer_decides_nothing() -> None:
    assert judge(AGAINST_A_PEER, {"rbee": {"cpu_us_per_request": 900}})[0] == NOT_RUN
    assert judge(AGAINST_A_PEER, {})[0] == NOT_RUN


def test_errors_never_win() -> None:
    failing_peer = entries(900, 10_000, errors=3, first_error="Wrong: HTTP/1.1 500")
    failing = entries(1, 10_000)
    failing["rbee"] |= {"errors": 1, "first_error": "Wrong: HTTP/1.1 503"}

    assert judge(AGAINST_A_PEER, failing_peer)[0] == NOT_RUN
    assert judge(AGAINST_A_PEER, failing)[0] == MISSED
    assert ratio(failing, "LiteLLM", "cpu_us_per_request") == ""
    assert ratio(failing_peer, "LiteLLM", "cpu_us_per_request") == ""
    assert ratio(entries(1000, 10_000), "LiteLLM", "cpu_us_per_request") == "0.1"


def test_books_are_exact_only_when_all_is_equal() -> None:
    books = {
        "answered": 3,
        "completed": 3,
        "usage_events": 3,
        "ledger_transfers": 3,
        "tokens_answered": 9,
        "tokens": 9,
    }

    assert are_exact(books)
    for name, value in books.items():
        assert not are_exact(books | {name: value + 1}), name
