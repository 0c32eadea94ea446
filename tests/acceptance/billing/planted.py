"""Bugs in the code that moves money, each with a history that shows it."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, NamedTuple
from unittest.mock import patch

from billing.domain import settlement, slices
from billing.enums import SliceState
from billing.models import BudgetSlice
from inference.domain.reserve import Reservation
from inference.transport import scripts
from tests.acceptance.billing.market import IDLE, Market, Work


@dataclass
class Story:
    """Steps of a market, and what was wrong with the books after any of them."""

    market: Market
    faults: list[str] = field(default_factory=list)

    async def begins_with(self, amount: int) -> None:
        await self.market.pay(amount)
        await self._look()

    async def admits(self, hold: int) -> Work | None:
        work = await self.market.admit(hold, self.market.queens[0])
        await self._look()
        return work

    async def ends(self, work: Work | None, cost: int) -> None:
        if work:
            self.market.end(work, cost)
        await self._look()

    async def is_forgotten(self, work: Work | None, cost: int) -> None:
        if work:
            work.cost = cost
            self.market.forget(work)
        await self._look()

    async def settles(self, work: Work | None) -> None:
        if work:
            await self.market.settle([work], self.market.queens[0])
        await self._look()

    async def keeps(self, later: timedelta) -> None:
        await self.market.keep(later)
        await self._look()

    async def loses_redis(self) -> None:
        await self.market.lose_redis()
        await self._look()

    async def _look(self) -> None:
        self.faults += await self.market.faults()


async def one_task_and_its_receipt(story: Story) -> None:
    await story.begins_with(1000)
    work = await story.admits(40)
    await story.ends(work, 10)
    await story.settles(work)


async def more_tasks_than_money(story: Story) -> None:
    await story.begins_with(100)
    for _ in range(3):
        await story.admits(60)


async def the_end_of_an_idle_slice(story: Story) -> None:
    """Its task has ended, and its receipt is on the way."""
    await story.begins_with(1000)
    work = await story.admits(40)
    await story.ends(work, 10)
    await story.keeps(IDLE)
    await story.settles(work)
    await story.keeps(IDLE)


async def a_second_grant(story: Story) -> None:
    await story.begins_with(100)
    for _ in range(5):
        await story.admits(15)


async def a_lost_redis(story: Story) -> None:
    await story.begins_with(1000)
    work = await story.admits(40)
    await story.is_forgotten(work, 30)
    await story.loses_redis()
    await story.keeps(timedelta())
    await story.settles(work)


async def an_end_nobody_saw(story: Story) -> None:
    """Its money pays for no other task."""
    await story.begins_with(100)
    first = await story.admits(60)
    await story.is_forgotten(first, 60)
    second = await story.admits(60)
    await story.ends(second, 60)
    await story.settles(first)
    await story.settles(second)


async def a_task_that_costs_more_than_it_held(story: Story) -> None:
    await story.begins_with(1000)
    work = await story.admits(40)
    await story.ends(work, 60)
    await story.settles(work)


class Planted(NamedTuple):
    bug: Callable[[], AbstractContextManager[Any]]
    history: Callable[[Story], Awaitable[None]]


def in_lua(script: scripts.Script, old: str, new: str) -> Callable[[], AbstractContextManager[Any]]:
    text = script.text.replace(old.encode(), new.encode())
    assert text != script.text
    sha1 = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
    return lambda: patch.multiple(script, text=text, sha1=sha1)


def in_settlement(old: str, new: str) -> Callable[[], AbstractContextManager[Any]]:
    assert old in settlement.BOOK
    return lambda: patch.object(settlement, "BOOK", settlement.BOOK.replace(old, new))


def lose_and_free(found: BudgetSlice, longest_task_s: int) -> None:
    slices._return(found, found.granted_micros)
    slices._leave(found, SliceState.LOST, longest_task_s)


def release_all(held: Reservation, used: dict[str, int], *, is_known: bool = True) -> None:
    if held._release is not None:
        held._release.release(held, used, is_known=True)
        held._release = None


PLANTED = {
    "a hold comes back twice": Planted(
        in_lua(scripts.RELEASE_HOLDS, "redis.call('HDEL', KEYS[i], field)", ""), one_task_and_its_receipt
    ),
    "money is not looked at": Planted(
        in_lua(scripts.RESERVE_DISPATCH, "if used < amount then", "if false then"), more_tasks_than_money
    ),
    "an idle slice is closed with all that is not settled": Planted(
        lambda: patch(
            "inference.domain.slice_keeper._drain", lambda client, found, now: slices.close(found.id, reason="bug")
        ),
        the_end_of_an_idle_slice,
    ),
    "a push that comes again adds again": Planted(
        in_lua(scripts.FUND_SLICE, "tonumber(redis.call('HGET', KEYS[2], 'granted') or '0')", "0"), a_second_grant
    ),
    "a lost slice is free at once": Planted(lambda: patch.object(slices, "_lose", lose_and_free), a_lost_redis),
    "what was drained stays": Planted(
        in_lua(scripts.DRAIN_SLICE, "redis.call('HSET', KEYS[1], 'left', 0)", ""), the_end_of_an_idle_slice
    ),
    "what nobody saw the end of is given back": Planted(
        lambda: patch.object(Reservation, "release", release_all), an_end_nobody_saw
    ),
    "a task pays all it costs": Planted(
        in_settlement("least(v.amount_micros, v.hold_micros)", "v.amount_micros"), a_task_that_costs_more_than_it_held
    ),
    "a slice is not drawn on": Planted(
        in_settlement("AND d.paid > 0", "AND d.paid < 0"), one_task_and_its_receipt
    ),
    "the operator bears nothing": Planted(
        in_settlement("WHERE amount_micros > paid", "WHERE false"), a_task_that_costs_more_than_it_held
    ),
}  # fmt: skip
