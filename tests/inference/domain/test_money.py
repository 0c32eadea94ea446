"""Money in Redis: held with all other limits or not at all, given back once, and gone with its Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from gdpr.ids import uuid7
from inference.domain.limits import limits_of, money_limit, slice_key
from inference.domain.reserve import EPOCH_KEY, Reservation, Reserver, Unfunded
from inference.transport import scripts
from inference.transport.resp import RedisPipe
from tests.inference.domain.lane import failure_of, make_caller

SLICE = "51ce" * 8
KEY = slice_key(SLICE)


@pytest.fixture
async def reserver(pipe: RedisPipe) -> Reserver:
    await pipe.call("SET", EPOCH_KEY, "1", "NX")
    reserver = Reserver(pipe, "q")
    reserver.epoch = "1"
    return reserver


def fund(pipe: RedisPipe, total: int, epoch: str = "1") -> Awaitable[int]:
    return pipe.run(scripts.FUND_SLICE, [EPOCH_KEY, KEY], [epoch, total])


async def take(reserver: Reserver, hold: int, tenant: str = "7e57" * 8, **limits: int) -> Reservation:
    taken = [*limits_of(make_caller(tenant, **limits), 10), money_limit(SLICE, hold)]
    return await reserver.reserve(uuid7().hex, taken, None, if_late=lambda _: None)


async def fields(pipe: RedisPipe) -> dict[str, int]:
    """Of the slice; holds of tasks summed."""
    told = await pipe.call("HGETALL", KEY)
    pairs = dict(zip((name.decode() for name in told[::2]), map(int, told[1::2]), strict=True))
    holds = sum(value for name, value in pairs.items() if name.startswith("t:"))
    named = {name: value for name, value in pairs.items() if not name.startswith("t:") and name != "at"}
    return named | ({"holds": holds} if holds else {})


async def test_money_is_held_for_a_task_and_what_it_did_not_use_comes_back_once(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    await fund(pipe, 100)
    held = await take(reserver, 60)
    assert await fields(pipe) == {"granted": 100, "left": 40, "holds": 60}
    with pytest.raises(Unfunded):
        await take(reserver, 41)
    held.release({"spend_micros": 25})
    reserver.pipe.send_run(scripts.RELEASE_HOLDS, [KEY], [held.task, 25])  # the receipt is booked
    assert await fields(pipe) == {"granted": 100, "left": 75, "used": 25}
    assert held.headers == {}


async def test_a_task_that_used_more_than_was_held_pays_what_was_held(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    await fund(pipe, 100)
    (await take(reserver, 60)).release({"spend_micros": 75})
    assert await fields(pipe) == {"granted": 100, "left": 40, "used": 60}


async def test_what_nobody_knows_is_held_until_it_is_booked(pipe: RedisPipe, reserver: Reserver) -> None:
    await fund(pipe, 100)
    held = await take(reserver, 60)
    held.release({}, is_known=False)
    assert (await fields(pipe))["holds"] == 60
    pipe.send_run(scripts.RELEASE_HOLDS, [KEY], [held.task, 10])
    assert await fields(pipe) == {"granted": 100, "left": 90, "used": 10}


async def test_who_is_over_another_limit_takes_no_money_and_who_has_none_takes_no_limit(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    await fund(pipe, 100)
    await take(reserver, 10, requests_per_minute=1)
    assert (await failure_of(take(reserver, 10, requests_per_minute=1))).code == "rate_limit_exceeded"
    assert (await fields(pipe))["left"] == 90
    with pytest.raises(Unfunded):
        await take(reserver, 91, tenant="0001" * 8, requests_per_minute=1)
    await take(reserver, 90, tenant="0001" * 8, requests_per_minute=1)


async def test_totals_that_come_twice_or_late_add_nothing(pipe: RedisPipe, reserver: Reserver) -> None:
    assert [await fund(pipe, total) for total in (100, 250, 250, 100)] == [100, 250, 250, 250]
    assert await fund(pipe, 1000, epoch="0") == -1
    big = 2**51 + 1
    assert await fund(pipe, big) == big
    (await take(reserver, 1)).release({})
    assert (await fields(pipe))["left"] == big


async def test_a_slice_that_is_drained_takes_no_task_and_gives_back_later_what_tasks_held(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    await fund(pipe, 100)
    held = await take(reserver, 60)
    assert await pipe.run(scripts.DRAIN_SLICE, [KEY], []) == [100, 40, 0, 1]
    with pytest.raises(Unfunded):
        await take(reserver, 1)
    held.release({"spend_micros": 20})
    for _ in range(2):
        assert await pipe.run(scripts.DRAIN_SLICE, [KEY], []) == [100, 80, 20, 0]


async def test_a_slice_is_not_written_down_again_after_a_loss(pipe: RedisPipe, reserver: Reserver) -> None:
    await fund(pipe, 100)
    held = await take(reserver, 60, concurrent_tasks=5)
    await pipe.call("FLUSHALL")
    assert await reserver.register()
    held.release({})
    assert await pipe.call("EXISTS", KEY) == 0
    await pipe.call("SET", EPOCH_KEY, "1")
    with pytest.raises(Unfunded):
        await take(reserver, 1)


async def test_many_at_once_take_what_there_is(pipe: RedisPipe, reserver: Reserver) -> None:
    await fund(pipe, 100)
    taken = await asyncio.gather(*(take(reserver, 7) for _ in range(200)), return_exceptions=True)
    assert sum(isinstance(each, Reservation) for each in taken) == 14
    assert all(isinstance(each, Reservation | Unfunded) for each in taken)
