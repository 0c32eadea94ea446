"""The control stream: what the queen says to a hive besides its tasks. Read outside Celery's pool, so that a hive whose
pool is full still hears it; by the runner and by the agent, each for its own part."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from hive_agent.protocol import CONTROL_FIELD, Control, decode_control
from hive_agent.redis_client import BLOCK_MS, execute

log = logging.getLogger(__name__)

RETRY_S = 0.2
GRACE_S = 2.0
START = "0-0"


async def follow_control(
    redis: Redis,
    prefix: str,
    on_message: Callable[[Control], None],
    *,
    on_lost: Callable[[str], None] = lambda why: None,
    on_found: Callable[[], None] = lambda: None,
) -> None:
    """For ever. Begins after the last message that is there; after a lost connection it goes on where it was.
    `on_lost` when Redis has been away for GRACE_S, `on_found` when it is back from being away at all."""
    key = f"{prefix}control"
    position: str | None = None
    lost_at: float | None = None
    is_told = False
    while True:
        try:
            if position is None or lost_at is not None:
                position = _resume(position, await _last_id(redis, key))
            if lost_at is not None:
                lost_at, is_told = None, False
                on_found()
            position = await _read(redis, key, position, on_message)
        except (RedisError, OSError) as error:
            lost_at = lost_at or time.monotonic()
            if not is_told and time.monotonic() - lost_at >= GRACE_S:
                log.warning("Redis is lost: %s", error)
                on_lost(str(error))
                is_told = True
            await asyncio.sleep(RETRY_S)


async def _read(redis: Redis, key: str, position: str, on_message: Callable[[Control], None]) -> str:
    answer = await execute(redis, "XREAD", "COUNT", "256", "BLOCK", str(BLOCK_MS), "STREAMS", key, position)
    for _, entries in answer or []:
        for entry_id, fields in entries:
            position = entry_id.decode()
            try:
                on_message(decode_control(fields[CONTROL_FIELD]))
            except (KeyError, msgspec.DecodeError) as error:
                log.warning("control message %s is not understood: %s", position, error)
    return position


async def _last_id(redis: Redis, key: str) -> str:
    newest = await execute(redis, "XREVRANGE", key, "+", "-", "COUNT", "1")
    return str(newest[0][0].decode()) if newest else START


def _resume(position: str | None, last: str) -> str:
    """After a start: from the end. After a loss: from where we were, unless the stream began anew since."""
    if position is None:
        return last
    return START if _number(last) < _number(position) else position


def _number(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence or 0)
