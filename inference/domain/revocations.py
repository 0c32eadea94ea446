"""Ends what runs under a key that is no longer good, or for an end user who is being erased: both are asked for when a
request comes, and its answer may take minutes from then on.

The database is asked for all that have a task under way in one query each: at once when something about keys was announced,
and otherwise each second, because announcements can be lost. A key that expires, or whose old value does, lets its tasks
end by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Final

from inference.domain import failures
from inference.domain.dispatch import Dispatcher
from inference.domain.stream import TaskStream

LOOK_INTERVAL_S: Final = 1.0

Whom = tuple[str, str]  # a tenant in hex, and the pseudonym of an end user
FindFrozen = Callable[[Collection[Whom]], Awaitable[Collection[Whom]]]
FindGood = Callable[[Collection[str]], Awaitable[Collection[str]]]  # ids of keys -> kids that are not revoked

_log = logging.getLogger(__name__)


class Revocations:
    """One per queen process. `find_good` and `find_frozen` raise when they cannot tell; then nothing is ended."""

    def __init__(self, dispatcher: Dispatcher, find_good: FindGood, find_frozen: FindFrozen) -> None:
        self._dispatcher = dispatcher
        self._find_good = find_good
        self._find_frozen = find_frozen
        self._told = asyncio.Event()

    def handle(self, message: str) -> None:
        """Takes the messages of `tenants.domain.invalidation`."""
        if message == "keys" or message.startswith("key:"):
            self._told.set()

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            try:
                async with asyncio.timeout(LOOK_INTERVAL_S):
                    await self._told.wait()
            except TimeoutError:
                pass
            self._told.clear()
            await self.look()
            await self.look_for_frozen()

    async def look_for_frozen(self) -> None:
        running = [(stream, whom) for stream in self._dispatcher.live.values() if (whom := _whom(stream))[1]]
        if not running:
            return
        try:
            frozen = await self._find_frozen({whom for _, whom in running})
        except Exception as error:  # noqa: BLE001 -- the next look is soon
            _log.warning("it is not known which end users are frozen: %s", type(error).__name__)
            return
        for stream, whom in running:
            if whom in frozen:
                self._dispatcher.end(stream, failures.subject_frozen())

    async def look(self) -> None:
        running = [stream for stream in self._dispatcher.live.values() if stream.task.caller.key_id]
        if not running:
            return
        try:
            good = await self._find_good({stream.task.caller.key_id for stream in running})
        except Exception as error:  # noqa: BLE001 -- the next look is soon
            _log.warning("it is not known which keys were revoked: %s", type(error).__name__)
            return
        for stream in running:
            if stream.task.caller.kid not in good:
                self._dispatcher.end(stream, failures.key_revoked())


def _whom(stream: TaskStream) -> Whom:
    return stream.task.caller.tenant_id, stream.task.subject
