"""What a process of its own does, without Django: it takes what it can get."""

import asyncio
from uuid import uuid4

from inference.domain.failures import TaskFailed
from inference.domain.limits import Limit
from inference.domain.reserve import Delivery, Reserver
from inference.transport.resp import RedisPipe


def take_many(url: str, limits: list[Limit], count: int) -> int:
    """How many of `count` reservations, all at once, were granted."""
    return asyncio.run(_take_many(url, limits, count))


async def _take_many(url: str, limits: list[Limit], count: int) -> int:
    pipe = RedisPipe(url)
    await pipe.connect()
    reserver = Reserver(pipe, uuid4().hex)
    reserver.epoch = "1"

    async def take() -> bool:
        task = uuid4().hex
        delivery = Delivery(f"h:body:{task}", b"", 10_000, "h:tasks", b"")
        try:
            await reserver.reserve(task, limits, delivery, if_late=lambda _: None)
        except TaskFailed:
            return False
        return True

    taken = await asyncio.gather(*(take() for _ in range(count)))
    await pipe.close()
    return sum(taken)
