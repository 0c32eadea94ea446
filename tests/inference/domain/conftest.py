from collections.abc import AsyncIterator, Iterator

import pytest

from inference.transport.resp import RedisPipe
from rbee_cli.up.redis import Redis
from tests.inference.domain.lane import Lane, open_lane
from tests.services import redis_server


@pytest.fixture
async def lane(redis_url: str) -> AsyncIterator[Lane]:
    """A queen with two hives, `a` and `b`, of which `a` is preferred."""
    async with open_lane(redis_url, "a", "b") as lane:
        yield lane


@pytest.fixture
def mortal_redis() -> Iterator[Redis]:
    """A server that the test may kill."""
    with redis_server() as server:
        yield server


@pytest.fixture
async def pipe(redis_url: str) -> AsyncIterator[RedisPipe]:
    pipe = RedisPipe(redis_url)
    await pipe.connect()
    yield pipe
    await pipe.close()
