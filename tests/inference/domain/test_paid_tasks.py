"""Tasks that are paid for, on their way through the dispatcher: money is held before a hive has them, and not without one
that is known."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from billing.domain.pricing import PriceVersion
from gdpr.ids import uuid7
from hive_agent.protocol import Outcome
from inference.domain import failures
from inference.domain.envelope import open_envelope
from inference.domain.limits import slice_key
from inference.domain.reserve import EPOCH_KEY
from inference.domain.task import Task
from inference.transport import scripts
from tests.inference.domain.lane import Lane, failure_of, make_caller, make_task, read

PRICE = PriceVersion(id=uuid7().hex, model="m", currency="EUR", prices={"prompt_tokens": 1_000_000})
HOLD = 60
COST = 3  # of the lane's USAGE


class Purse:
    """A balance without PostgreSQL: so much is put into one slice each time it is asked for."""

    def __init__(self, lane: Lane, *portions: int) -> None:
        self.slice_id = uuid7().hex
        self.is_known = False
        self.needs: list[int] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._lane = lane
        self._portions = list(portions)
        self._granted = 0

    def slice_of(self, tenant_id: str, currency: str) -> str:
        return self.slice_id if self.is_known else ""

    async def top_up(self, tenant_id: str, currency: str, need_micros: int) -> None:
        self.needs.append(need_micros)
        await self.may_go_on.wait()
        if not self._portions:
            raise failures.balance_too_low(need_micros, currency)
        self._granted += self._portions.pop(0)
        self.is_known = True
        epoch = (await self._lane.pipe.call("GET", EPOCH_KEY)).decode()
        keys = [EPOCH_KEY, slice_key(self.slice_id)]
        await self._lane.pipe.run(scripts.FUND_SLICE, keys, [epoch, self._granted])

    async def left(self) -> int:
        return int(await self._lane.pipe.call("HGET", slice_key(self.slice_id), "left") or 0)

    async def holds(self, task: str) -> int:
        return int(await self._lane.pipe.call("HGET", slice_key(self.slice_id), f"t:{task}") or 0)


def purse(lane: Lane, *portions: int) -> Purse:
    lane.dispatcher._money = made = Purse(lane, *portions)
    return made


def paid_task(**fields: Any) -> Task:
    """Its envelope says what its task says."""
    task = make_task(make_caller(), price=PRICE, hold_micros=HOLD, **fields)
    plain = task.make_envelope

    def with_slice(attempt: int, worker: Any) -> Any:
        return msgspec.structs.replace(
            plain(attempt, worker), slice=task.slice_id, hold_micros=task.hold_micros
        )

    task.make_envelope = with_slice
    return task


async def test_money_is_held_before_a_hive_has_the_task_and_comes_back_at_its_end(lane: Lane) -> None:
    money, task = purse(lane, 40, 40), paid_task()
    starting = lane.start(task)
    body = await lane.hives[0].claim()
    assert await money.holds(task.id) == HOLD
    assert money.needs == [HOLD, HOLD]  # the first portion did not do
    envelope = open_envelope(body.envelope)
    assert (envelope.slice, envelope.hold_micros) == (money.slice_id, HOLD)

    await lane.hives[0].answer(body, b"x")
    await read(await starting)
    await lane.until(lane.is_idle)
    assert await money.left() == 80 - COST


async def test_who_cannot_pay_reaches_no_hive(lane: Lane) -> None:
    money = purse(lane, 30)
    failure = await failure_of(lane.start(paid_task()))
    assert (failure.status, failure.code) == (402, "insufficient_quota")
    assert lane.is_idle()
    assert [await hive.deliveries() for hive in lane.hives] == [0, 0]
    assert await money.left() == 30


async def test_who_leaves_while_money_is_looked_for_leaves_nothing(lane: Lane) -> None:
    money = purse(lane, 80)
    money.may_go_on.clear()
    starting = lane.start(paid_task())
    await lane.until(lambda: money.needs)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert lane.is_idle()
    money.may_go_on.set()
    await asyncio.sleep(0.05)
    assert [await hive.deliveries() for hive in lane.hives] == [0, 0]


async def test_a_task_that_is_taken_back_gives_all_back(lane: Lane) -> None:
    money, task = purse(lane, 80), paid_task()
    starting = lane.start(task)
    await lane.until(lambda: lane.reserver.held)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await lane.until(lane.is_idle)
    assert await money.left() == 80


async def test_another_hive_gets_the_task_with_the_money_that_is_held(lane: Lane) -> None:
    money, task = purse(lane, 80), paid_task()
    starting = lane.start(task)
    await lane.hives[0].refuse(await lane.hives[0].claim())
    body = await lane.hives[1].claim()
    assert (await money.left(), open_envelope(body.envelope).slice) == (80 - HOLD, money.slice_id)
    await lane.hives[1].answer(body, b"x")
    await read(await starting)
    await lane.until(lane.is_idle)
    assert await money.left() == 80 - COST


async def test_a_task_that_failed_gives_all_back(lane: Lane) -> None:
    money, task = purse(lane, 80), paid_task()
    starting = lane.start(task)
    body = await lane.hives[0].claim()
    await lane.hives[0].begin(body)
    await lane.hives[0].chunks(body, b"x")
    stream = await starting
    await lane.hives[0].end(body, Outcome.WORKER_FAILED)
    await failure_of(read(stream))
    await lane.until(lane.is_idle)
    assert await money.left() == 80


async def test_money_of_a_lost_hives_task_waits_for_the_books(lane: Lane) -> None:
    money, task = purse(lane, 80), paid_task()
    starting = lane.start(task)
    body = await lane.hives[0].claim()
    await lane.hives[0].begin(body)
    await lane.hives[0].chunks(body, b"x")
    stream = await starting
    lane.dispatcher._on_hive_lost(lane.hives[0].id)
    await failure_of(read(stream))
    await lane.until(lambda: lane.settled)
    assert lane.settled[0][0].slice == money.slice_id
    assert (await money.left(), await money.holds(task.id)) == (80 - HOLD, HOLD)
