import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest
import redis

from gdpr.ids import uuid7
from inference.domain import recovery as recovery_module
from inference.domain.limits import limits_of
from inference.domain.recovery import LOCK_KEY, Recovery
from inference.domain.reserve import EPOCH_KEY, Delivery, Reservation, Reserver
from inference.transport.resp import RedisDown, RedisPipe
from rbee_cli.up.redis import Redis
from tests.inference.domain.lane import failure_of, make_caller

LIMITS = {
    "requests_per_minute": 100,
    "tokens_per_minute": 1000,
    "concurrent_tasks": 10,
    "tokens_per_day": 1000,
}


class Queen:
    """What a process has of these two. `books` is what Postgres says was used today."""

    def __init__(self, url: str, books: dict[str, int] | None = None) -> None:
        self.pipe = RedisPipe(url)
        self.books = books or {}
        self.restored = 0
        self.is_database_up = True
        self.reserver = Reserver(self.pipe, uuid7().hex)
        self.recovery = Recovery(
            self.pipe, self.reserver, restore_acls=self._restore_acls, used_since=self._used_since
        )

    async def take(self, tenant: str, tokens: int = 10) -> Reservation:
        task = uuid7().hex
        delivery = Delivery(f"h:body:{task}", b"", 10_000, "h:tasks", b"")
        limits = limits_of(make_caller(tenant, **LIMITS), tokens)
        return await self.reserver.reserve(task, limits, delivery, if_late=lambda _: None)

    async def _restore_acls(self) -> None:
        if not self.is_database_up:
            raise OSError("the database is away")
        self.restored += 1

    async def _used_since(self, since_ms: int) -> Mapping[str, int]:
        assert since_ms % 86_400_000 == 0
        return self.books


@asynccontextmanager
async def queens(url: str, *made: Queen) -> AsyncIterator[None]:
    for queen in made:
        await queen.pipe.connect()
        await queen.recovery.start()
    try:
        yield
    finally:
        for queen in made:
            await queen.recovery.stop()
            await queen.pipe.close()


async def state(pipe: RedisPipe, tenant: str) -> tuple[int, ...]:
    """Used: requests and tokens of the minute, tokens of the day; tasks that run."""
    counts = [
        int(await pipe.call("HGET", f"rbee:lim:{tenant}:{name}", "used") or 0)
        for name in ("requests", "tokens", "day")
    ]
    return (*counts, await pipe.call("ZCARD", f"rbee:lim:{tenant}:tasks"))


async def ready(*made: Queen) -> None:
    async with asyncio.timeout(5):
        while not (all(queen.pipe.is_connected and queen.reserver.epoch for queen in made)):
            await asyncio.sleep(0.01)


async def test_the_first_queen_makes_the_epoch_at_its_start(redis_url: str) -> None:
    queen = Queen(redis_url, {"7e57": 12})
    async with queens(redis_url, queen):
        assert queen.reserver.epoch is not None
        assert queen.restored == 1
        assert await queen.reserver.used_today("7e57") == 12
        assert await queen.pipe.call("EXISTS", LOCK_KEY) == 0
        second = Queen(redis_url, {"7e57": 99})
        async with queens(redis_url, second):
            assert second.reserver.epoch == queen.reserver.epoch
        assert second.restored == 0
        assert await state(queen.pipe, "7e57") == (0, 0, 12, 0)


async def test_after_a_loss_the_counters_are_what_they_were(mortal_redis: Redis) -> None:
    tenant = uuid7().hex
    one, two = Queen(mortal_redis.url), Queen(mortal_redis.url)
    async with queens(mortal_redis.url, one, two):
        for queen in (one, two):
            await queen.take(tenant, 30)  # runs on
            (await queen.take(tenant, 10)).release({"tokens": 4})  # has ended, and is in the books
            one.books = two.books = {tenant: 8}
        before = await state(one.pipe, tenant)
        assert before == (4, 68, 68, 2)
        epochs = {one.reserver.epoch, two.reserver.epoch}
        await _kill(mortal_redis, one, two)
        began = time.monotonic()
        mortal_redis.respawn()
        mortal_redis.wait_ready()
        async with asyncio.timeout(5):
            while {one.reserver.epoch, two.reserver.epoch} & (epochs | {None}):
                await asyncio.sleep(0.01)
        assert time.monotonic() - began < 5
        assert one.reserver.epoch == two.reserver.epoch
        assert await state(one.pipe, tenant) == before
        assert one.restored + two.restored == 2  # once at the start, once after the loss


async def test_a_lost_epoch_alone_counts_nothing_twice(redis_url: str) -> None:
    tenant = uuid7().hex
    queen = Queen(redis_url, {tenant: 5})
    async with queens(redis_url, queen):
        await queen.take(tenant, 30)
        before = await state(queen.pipe, tenant)
        known = queen.reserver.epoch
        await queen.pipe.call("DEL", EPOCH_KEY)
        async with asyncio.timeout(5):
            while queen.reserver.epoch in (known, None):
                await asyncio.sleep(0.01)
        assert await state(queen.pipe, tenant) == before


async def test_without_the_database_nothing_is_admitted_until_it_is_back(redis_url: str) -> None:
    queen = Queen(redis_url)
    queen.is_database_up = False
    async with queens(redis_url, queen):
        assert (await failure_of(queen.take("t"))).code == "rebuilding"
        queen.is_database_up = True
        await ready(queen)
        await queen.take("t")


async def test_a_queen_that_died_while_it_restored_is_made_up_for(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery_module, "LOCK_MS", 300)
    with redis.Redis.from_url(redis_url) as client:
        client.set(LOCK_KEY, "the dead", px=300)
    queen = Queen(redis_url)
    async with queens(redis_url, queen):
        assert queen.reserver.epoch is None
        await ready(queen)
        assert queen.restored == 1


async def _kill(server: Redis, *made: Queen) -> None:
    assert server.process
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait(5)
    async with asyncio.timeout(5):
        while any(queen.pipe.is_connected for queen in made):
            await asyncio.sleep(0.01)
    with pytest.raises(RedisDown):
        await made[0].take("t")
