"""`/healthz`: this process answers. `/readyz`: it can serve, because PostgreSQL and Redis answer and Redis is whole."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg_pool import PoolTimeout

from inference.api import errors
from inference.api.exchange import Exchange
from inference.transport.resp import RedisDown, RedisError

if TYPE_CHECKING:
    from inference.api.queen import Queen

CHECK_TIMEOUT_S: Final = 2.0
EPOCH_KEY: Final = "rbee:epoch"


async def healthz(queen: Queen, exchange: Exchange) -> None:
    await exchange.respond(b'{"status":"ok"}')


async def readyz(queen: Queen, exchange: Exchange) -> None:
    problems = [
        problem for problem in (await _postgres_problem(queen), await _redis_problem(queen)) if problem
    ]
    if problems:
        raise errors.unavailable(f"Not ready: {'; '.join(problems)}.", "not_ready")
    await exchange.respond(b'{"status":"ready"}')


async def _postgres_problem(queen: Queen) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), queen.pool.connection() as connection:
            await connection.execute("SELECT 1")
    except (psycopg.Error, PoolTimeout, TimeoutError):
        return "PostgreSQL does not answer"
    return ""


async def _redis_problem(queen: Queen) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            epoch = await queen.pipe.call("GET", EPOCH_KEY)
    except (RedisDown, RedisError, TimeoutError):
        return "Redis does not answer"
    return "" if epoch else "Redis was lost, its counters are being restored"
