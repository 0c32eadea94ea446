"""Who has used 50, 80 or 100 percent of a day's or month's limit is told once in that day or month."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from billing.domain.quantities import SCALES
from inference.domain.limits import Level
from inference.transport.resp import RedisDown, RedisError, RedisPipe
from tenants.domain.limit_notices import LimitReached

REMEMBERED_MAX: Final = 10_000

Note = Callable[[LimitReached], Awaitable[object]]

_log = logging.getLogger(__name__)


class LimitNotices:
    """One per queen process. `note` is called by one of all processes."""

    def __init__(self, pipe: RedisPipe, note: Note) -> None:
        self._pipe = pipe
        self._note = note
        self._told: set[str] = set()
        self._telling: set[asyncio.Task[None]] = set()

    def on_reached(self, level: Level, percent: int) -> None:
        """Of the reserver. Never waits."""
        mark = f"{level.limit.key}:told:{percent}"
        if mark in self._told:
            return
        if len(self._told) >= REMEMBERED_MAX:
            self._told.clear()
        self._told.add(mark)
        asyncio.get_running_loop().call_later(level.reset_ms / 1000, self._told.discard, mark)
        telling = asyncio.create_task(self._tell(level, percent, mark))
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def stop(self) -> None:
        for telling in self._telling:
            telling.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    async def _tell(self, level: Level, percent: int, mark: str) -> None:
        limit, scale = level.limit, SCALES.get(level.limit.unit, 1)
        try:
            if await self._pipe.call("SET", mark, 1, "NX", "PX", max(1, level.reset_ms)) is None:
                return
            await self._note(
                LimitReached(
                    tenant_id=limit.tenant_id,
                    level=limit.level,
                    owner=limit.owner,
                    limit=limit.name,
                    percent=percent,
                    used=level.used // scale,
                    allowed=limit.limit // scale,
                )
            )
        except (RedisDown, RedisError):
            self._told.discard(mark)
        except Exception as error:  # noqa: BLE001 -- the task goes on; the next threshold is told
            _log.warning(
                "%s %s at %d percent was not told: %s", limit.level, limit.name, percent, type(error).__name__
            )
