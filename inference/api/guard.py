"""The long-lived tasks of a process: each has a name, and none ends unnoticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
SETTLED_S = 60.0  # one that ran this long begins again with the first pause

_log = logging.getLogger(__name__)


class Guard:
    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def spawn(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """`run` is meant to run for ever; when it fails or returns, that is logged and it is called again."""
        self._tasks.append(asyncio.create_task(_keep_running(name, run), name=name))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def _keep_running(name: str, run: Callable[[], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    pause_s = FIRST_PAUSE_S
    while True:
        began = loop.time()
        try:
            await run()
            _log.error("%s ended, though nobody stopped it: it starts again", name)
        except asyncio.CancelledError:
            raise
        except Exception:  # noqa: BLE001 - that is what it is for
            _log.exception("%s failed: it starts again", name)
        pause_s = FIRST_PAUSE_S if loop.time() - began > SETTLED_S else min(pause_s * 2, LONGEST_PAUSE_S)
        await asyncio.sleep(pause_s)
