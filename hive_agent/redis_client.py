"""How a hive talks to the queen's Redis. Nothing is retried here: whoever calls knows what a lost connection means."""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

CONNECT_TIMEOUT_S = 5.0
BLOCK_MS = 1000


def connect(url: str, *, timeout_s: float = 5.0) -> Redis:
    return Redis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=timeout_s,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
        max_connections=256,
    )


async def execute(redis: Redis, *command: str | bytes) -> Any:
    return await redis.execute_command(*command)  # type: ignore[no-untyped-call]
