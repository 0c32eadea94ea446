import asyncio

import pytest

from hive_agent.engines.slots import Slots


async def test_slots_are_given_in_the_order_of_asking() -> None:
    slots, order = Slots(2), []

    async def work(name: str, wanted: int) -> None:
        taken = await slots.take(wanted)
        order.append(name)
        await asyncio.sleep(0.01)
        slots.give(taken)

    async with asyncio.TaskGroup() as group:
        for name, wanted in (("a", 1), ("b", 2), ("c", 1), ("d", 9)):
            group.create_task(work(name, wanted))

    assert order == ["a", "b", "c", "d"]
    assert slots.free == 2


async def test_one_who_gives_up_waiting_frees_the_way() -> None:
    slots = Slots(1)
    await slots.take(1)
    first = asyncio.create_task(slots.take(1))
    second = asyncio.create_task(slots.take(1))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    slots.give(1)

    assert await second == 1
    assert slots.free == 0


async def test_slot_given_to_one_who_gave_up_in_that_moment_is_not_lost() -> None:
    slots = Slots(1)
    await slots.take(1)
    waiting = asyncio.create_task(slots.take(1))
    await asyncio.sleep(0)
    slots.give(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert slots.free == 1
