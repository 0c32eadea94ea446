from collections.abc import AsyncIterator, Iterator

import pytest

from inference.transport.resp import RedisPipe
from rbee_cli.up.redis import Redis
from tests.services import redis_server


@pytest.fixture
async def pipe(redis_url: str) -> AsyncIterator[RedisPipe]:
    pipe = RedisPipe(redis_url)
    await pipe.connect()
    yield pipe
    await pipe.close()


@pytest.fixture
def mortal_redis() -> Iterator[Redis]:
    """A server that the test may kill."""
    with redis_server() as server:
        yield server
