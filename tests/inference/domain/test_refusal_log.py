from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.api import errors
from inference.domain import per_minute, refusal_log
from inference.domain.per_minute import PerMinute
from inference.domain.refusal_log import HANDED, Refusal, RefusalLog, source_pseudonym
from inference.domain.refusals import NoWorkers
from tests.acceptance.policy.power import caller


class Book:
    """What was written; `is_away` while nothing can be."""

    def __init__(self) -> None:
        self.entries: list[Refusal] = []
        self.is_away = False

    async def write(self, refusals: Sequence[Refusal]) -> None:
        if self.is_away:
            raise ConnectionError
        self.entries += refusals


@pytest.fixture(autouse=True)
def _nothing_is_handed() -> None:
    """Other tests' requests of the management API are not this one's."""
    HANDED.clear()


async def test_wrong_keys_are_one_entry_and_the_sum_of_their_minute() -> None:
    book = Book()
    log = RefusalLog(book.write)
    for _ in range(1000):
        log.note(errors.wrong_key(), None, source="10.0.0.1", request_id="req_1", task_id="")
    log.note(errors.wrong_key(), None, source="10.0.0.2", request_id="req_2", task_id="")
    await log.write()
    assert [(each.actor, each.times) for each in book.entries] == [
        (f"source:{source_pseudonym('10.0.0.1')}", 1),
        (f"source:{source_pseudonym('10.0.0.2')}", 1),
    ]

    await log.stop()

    assert sum(each.times for each in book.entries) == 1001
    assert len(book.entries) == 3


async def test_nothing_is_lost_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal_log, "WAIT_MAX", 5)
    book = Book()
    log = RefusalLog(book.write)
    book.is_away = True
    for number in range(20):
        log.note(NoWorkers("m"), caller(), source="", request_id=f"req_{number}", task_id="")
        assert not await log.write()
    book.is_away = False

    await log.stop()

    assert sum(each.times for each in book.entries) == 20
    assert [each.request_id for each in book.entries] == [*(f"req_{number}" for number in range(5)), ""]


async def test_what_is_wrong_with_a_request_is_no_refusal() -> None:
    book = Book()
    log = RefusalLog(book.write)
    for error in (
        errors.invalid("no"),
        errors.model_not_found("m"),
        errors.too_large(1),
        errors.internal_error(),
    ):
        log.note(error, caller(), source="", request_id="", task_id="")

    await log.stop()

    assert book.entries == []


@given(st.lists(st.sampled_from("abc")), st.integers(0, 5))
def test_sums_and_first_ones_are_all(kinds: list[str], every: int) -> None:
    sums: PerMinute[str] = PerMinute()
    told = 0
    for number, kind in enumerate(kinds):
        told += sums.is_first(kind)
        if every and number % every == 0:
            told += sum(count for _, count in sums.over(everything=True))
    told += sum(count for _, count in sums.over(everything=True))

    assert told == len(kinds)
    assert sums.over(everything=True) == []


def test_a_minute_later_it_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(per_minute, "MINUTE_S", 0.0)
    sums: PerMinute[str] = PerMinute()

    assert sums.is_first("a")
    assert not sums.is_first("a")
    assert sums.over() == [("a", 1)]
    assert sums.is_first("a")
