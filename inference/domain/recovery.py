"""What happens after Redis lost everything, which it may at any moment: it keeps nothing on disk.

`rbee:epoch` names the life of Redis's counters, and no task is reserved without it. While it is missing every queen writes
down what it holds. One of them, by a short lock, also restores the hives' users and the day's quantities, leaves the
others a moment, and sets the epoch. A queen that finds another epoch than it knows registers before it uses it.

Each step is done once for each life of Redis, by a mark in Redis itself: so it does not matter who dies halfway.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from inference.domain.limits import DAY_MS
from inference.domain.reserve import EPOCH_KEY, Reserver
from inference.transport.resp import RedisDown, RedisError, RedisPipe

LOOK_INTERVAL_S = 0.25
GATHER_S = 0.6  # for the other queens to register
LOCK_KEY = "rbee:recovering"
LOCK_MS = 5000

RestoreAcls = Callable[[], Awaitable[object]]  # inference.domain.hives.restore_hive_acls
UsedSince = Callable[[int], Awaitable[Mapping[str, int]]]  # Unix ms -> tokens by tenant, from the books

_log = logging.getLogger(__name__)


class Recovery:
    """One per queen process; it sets `reserver.epoch`."""

    def __init__(
        self, pipe: RedisPipe, reserver: Reserver, *, restore_acls: RestoreAcls, used_since: UsedSince
    ) -> None:
        self._pipe = pipe
        self._reserver = reserver
        self._restore_acls = restore_acls
        self._used_since = used_since
        self._has_served = False
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look once, which makes this queen ready if nothing keeps it from it, and go on looking."""
        await self._look()
        self._watcher = asyncio.create_task(self._watch(), name="recovery")

    async def stop(self) -> None:
        if self._watcher:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            await self._look()

    async def _look(self) -> None:
        try:
            epoch = await self._pipe.call("GET", EPOCH_KEY)
            if epoch is not None:
                return await self._adopt(epoch.decode())
            self._reserver.epoch = None
            await self._reserver.register()
            if await self._pipe.call("SET", LOCK_KEY, self._reserver.queen, "NX", "PX", LOCK_MS):
                await self._restore()
        except (RedisDown, RedisError) as error:
            _log.debug("Redis does not answer: %s", error)

    async def _adopt(self, epoch: str) -> None:
        if epoch != self._reserver.epoch:
            await self._reserver.register()
            self._reserver.epoch = epoch
            self._has_served = True

    async def _restore(self) -> None:
        began, had_served = time.monotonic(), self._has_served
        try:
            await self._restore_acls()
            day_start_ms = await self._day_start_ms()
            await self._reserver.reload(day_start_ms, await self._used_since(day_start_ms))
        except (RedisDown, RedisError):
            raise
        except Exception as error:  # noqa: BLE001 -- the database, or whatever else the two need: again soon
            _log.warning("the counters cannot be restored yet: %s", type(error).__name__)
            self._pipe.send("DEL", LOCK_KEY)
            return
        if had_served:
            await asyncio.sleep(GATHER_S - (time.monotonic() - began))
        epoch = f"{time.time_ns() // 1_000_000}-{self._reserver.queen}"
        await self._pipe.call("SET", EPOCH_KEY, epoch, "NX")
        self._pipe.send("DEL", LOCK_KEY)
        if (
            known := await self._pipe.call("GET", EPOCH_KEY)
        ) is not None:  # another queen may have been first
            await self._adopt(known.decode())
        level = logging.WARNING if had_served else logging.INFO
        _log.log(level, "the counters are there, %.1f s after they were missed", time.monotonic() - began)

    async def _day_start_ms(self) -> int:
        """By Redis's clock, as the counters have it."""
        seconds, _ = await self._pipe.call("TIME")
        now_ms = int(seconds) * 1000
        return now_ms - now_ms % DAY_MS
