"""Any order of admissions, ends, receipts, kills and losses of Redis leaves the books whole: hypothesis looks for one that
does not, against real PostgreSQL and Redis. It finds each of the bugs that are planted."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from billing.domain import slices
from gdpr.pool import make_pool
from tests.acceptance.billing.market import IDLE, OVERDUE, TOO_LATE, Market, Queen, Work
from tests.acceptance.billing.planted import PLANTED, Planted, Story
from tests.acceptance.figures import note, scaled

STEPS = 50
EXAMPLES = scaled(2800, least=28)
QUEENS = st.integers(0, 1)
AMOUNTS = st.integers(5, 60)
NUMBERS = st.integers(0, 10**6)

counted = {"steps": 0}


class Machine(RuleBasedStateMachine):
    urls: tuple[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.pool = self.run(self._open_pool())
        self.market = Market(self.pool, self.urls[1])
        self.run(self.market.open())

    async def _open_pool(self) -> Any:
        pool = make_pool(self.urls[0], size=2)
        await pool.open()
        return pool

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def queen(self, number: int) -> Queen:
        return self.market.queens[number]

    def works(self, *, booked: bool | None = None) -> list[Work]:
        return [each for each in self.market.works.values() if booked is None or each.is_booked is booked]

    def one(self, number: int, *, booked: bool | None = None) -> Work | None:
        """What is drawn never depends on what happened: that may differ a little from one run to the next."""
        works = self.works(booked=booked)
        return works[number % len(works)] if works else None

    @initialize(amount=st.sampled_from([100_000, 100]))
    def begin(self, amount: int) -> None:
        """Most of what is looked for needs no balance that ends."""
        self.run(self.market.pay(amount))

    @rule(amount=AMOUNTS)
    def pay(self, amount: int) -> None:
        self.run(self.market.pay(amount))

    @rule(hold=AMOUNTS, queen=QUEENS)
    def admit(self, hold: int, queen: int) -> None:
        self.run(self.market.admit(hold, self.queen(queen)))

    @rule(holds=st.lists(AMOUNTS, min_size=2, max_size=6))
    def admit_at_once(self, holds: list[int]) -> None:
        async def all_of_them() -> None:
            await asyncio.gather(
                *(self.market.admit(hold, self.queen(number % 2)) for number, hold in enumerate(holds))
            )

        self.run(all_of_them())

    @rule(number=NUMBERS, part=st.integers(0, 200))
    def end(self, number: int, part: int) -> None:
        """Some use more than was held."""
        work = self.one(number, booked=False)
        if work and not work.cost:
            self.market.end(work, work.hold * part // 100)

    @rule(number=NUMBERS, part=st.integers(0, 100))
    def forget(self, number: int, part: int) -> None:
        if work := self.one(number, booked=False):
            work.cost = work.cost or work.hold * part // 100
            self.market.forget(work)

    @rule(numbers=st.lists(NUMBERS, min_size=1, max_size=3), queen=QUEENS, is_killed=st.booleans())
    def settle(self, numbers: list[int], queen: int, is_killed: bool) -> None:
        """Receipts come as often as they like, also of tasks that are booked."""
        works = {work.task: work for number in numbers if (work := self.one(number))}
        if works:
            self.run(self.market.settle(list(works.values()), self.queen(queen), is_killed=is_killed))

    @rule(number=NUMBERS, queen=QUEENS)
    def void(self, number: int, queen: int) -> None:
        work = self.one(number, booked=False)
        if work and not work.cost:
            self.run(self.market.void(work, self.queen(queen)))

    @rule(luck=st.integers(0, 1))
    def lose_redis(self, luck: int) -> None:
        if not luck:
            self.run(self.market.lose_redis())

    @rule(later=st.sampled_from([IDLE, OVERDUE, IDLE, TOO_LATE]))
    def keep(self, later: Any) -> None:
        self.run(self.market.keep(later))

    @rule()
    def drain_and_die(self) -> None:
        self.run(self.market.drain_and_die())

    @rule(queen=QUEENS)
    def grant_and_die(self, queen: int) -> None:
        self.run(self.market.grant_and_die(self.queen(queen)))

    @invariant()
    def books_are_whole(self) -> None:
        counted["steps"] += 1
        assert self.run(self.market.faults()) == []

    def teardown(self) -> None:
        """All that is over comes back: what came in and no task used is the tenant's again."""
        try:
            self.run(self._end())
        finally:
            self.run(self.market.close())
            self.run(self.pool.close())
            self.runner.close()

    async def _end(self) -> None:
        for _ in range(3):
            await self.market.keep(2 * TOO_LATE)
        assert await self.market.faults() == []
        held = await sync_to_async(slices.slices_held)()
        assert not [each for each in held if each.tenant_id == self.market.tenant]


@pytest.fixture
def urls(committed_db: None, postgres: Any, redis_url: str) -> Iterator[None]:
    Machine.urls = (postgres.app_url, redis_url)
    before = settings.RBEE
    yield
    settings.RBEE = before


def search(examples: int) -> None:
    run_state_machine_as_test(
        Machine,
        settings=hypothesis_settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, derandomize=True, database=None,
            phases=[Phase.generate], suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


@pytest.mark.timeout(14400)
def test_no_order_of_steps_breaks_the_books(urls: None) -> None:
    counted["steps"] = 0
    search(EXAMPLES)
    note("steps of the state machine", counted["steps"])
    note("broken invariants", 0)
    assert counted["steps"] >= scaled(100_000)


# The others it finds too, but not in every few hundred histories.
FOUND_SOON = ("a hold comes back twice", "money is not looked at")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("bug", FOUND_SOON)
def test_machine_finds_a_bug_that_is_planted(urls: None, bug: str) -> None:
    with PLANTED[bug].bug(), pytest.raises(BaseException) as found:
        search(400)
    assert not isinstance(found.value, KeyboardInterrupt)


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_books_show_each_planted_bug(urls: None, planted: Planted) -> None:
    assert asyncio.run(faults_of(planted)) == []
    with planted.bug():
        assert asyncio.run(faults_of(planted)) != []


async def faults_of(planted: Planted) -> list[str]:
    pool = make_pool(Machine.urls[0], size=2)
    await pool.open()
    market = Market(pool, Machine.urls[1])
    await market.open()
    try:
        story = Story(market)
        await planted.history(story)
        return story.faults
    finally:
        await market.close()
        await pool.close()
