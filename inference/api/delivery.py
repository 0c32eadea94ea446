"""From a task's frames to the client's socket.

The client is watched from the moment the task is dispatched: when it goes away, streaming or not, the task is cancelled
on its hive. Frames pass as bytes. Two things need a look at the clock, and one task per process looks for all streams: a
client that takes nothing for 30 s loses its task, and one that has waited 10 s for its next token gets a comment, so that
nothing between us believes the connection dead. Comments are sent only when the head has left.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Any, Final

from hive_agent.protocol import Outcome
from inference.api import errors
from inference.api.exchange import JSON, SSE, Exchange, Header
from inference.domain.dispatch import TaskFailed, TaskStream

STALL_S: Final = 30.0
PING_AFTER_S: Final = 10.0
LOOK_S: Final = 1.0
PING: Final = b": ping\n\n"

_log = logging.getLogger(__name__)


class Deliveries:
    """The answers that a process has under way. `closing` refuses what begins."""

    def __init__(self) -> None:
        self.streams: set[_Stream] = set()
        self.owners: set[asyncio.Task[Any]] = set()

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            for stream in tuple(self.streams):
                stream.look(now)

    async def finish(self, timeout_s: float) -> None:
        """Wait for what is under way; then end it with an error that says so."""
        if self.owners:
            await asyncio.wait(self.owners, timeout=timeout_s)
        left = tuple(self.owners)
        for owner in left:
            owner.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def deliver(
    starting: Coroutine[Any, Any, TaskStream], exchange: Exchange, deliveries: Deliveries, *, is_stream: bool
) -> None:
    """Returns when the answer has left, or the client. Raises TaskFailed and Refused while no byte has left."""
    owner = asyncio.current_task()
    assert owner is not None
    watch = _Watch(exchange, owner)
    stream: TaskStream | None = None
    deliveries.owners.add(owner)
    try:
        stream = await starting
        if is_stream:
            await _send_events(exchange, stream, deliveries, watch)
        else:
            body = b"".join([piece async for piece in stream.frames()])
            watch.is_over = True
            await exchange.respond(body, headers=[JSON, *_headers(stream)])
    except asyncio.CancelledError:
        if watch.has_left:
            owner.uncancel()
            return
        if not watch.is_over:
            await apologise(exchange, stream)
        raise
    finally:
        watch.stop()
        deliveries.owners.discard(owner)
        if stream is not None:
            stream.cancel()


class _Watch:
    """Cancels `owner` when the client goes away before its answer is complete."""

    __slots__ = ("_owner", "_task", "has_left", "is_over")

    def __init__(self, exchange: Exchange, owner: asyncio.Task[Any]) -> None:
        self.has_left = False
        self.is_over = False  # the last of the answer is on its way
        self._owner = owner
        self._task = asyncio.ensure_future(exchange.wait_until_gone())
        self._task.add_done_callback(self._note)

    def leave(self) -> None:
        """As if the client had gone."""
        if not self.is_over and not self.has_left:
            self.has_left = True
            self._owner.cancel()

    def stop(self) -> None:
        self.is_over = True
        self._task.cancel()

    def _note(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.leave()


async def _send_events(exchange: Exchange, stream: TaskStream, deliveries: Deliveries, watch: _Watch) -> None:
    await exchange.start(200, [*SSE, *_headers(stream)])
    events = _Stream(exchange, watch)
    deliveries.streams.add(events)
    try:
        async for piece in stream.frames():
            events.writing_since = time.monotonic()
            await exchange.write(piece)
            events.written_at = events.writing_since
            events.writing_since = 0.0
    except TaskFailed as failure:
        exchange.is_broken = True
        await exchange.write(errors.error_event(failure.message, failure.type, failure.code))
    finally:
        deliveries.streams.discard(events)
        await events.close()
    watch.is_over = True
    await exchange.write(b"", is_last=True)


class _Stream:
    """One open event stream, for whoever looks at the clock."""

    __slots__ = ("_exchange", "_pinging", "_watch", "writing_since", "written_at")

    def __init__(self, exchange: Exchange, watch: _Watch) -> None:
        self._exchange = exchange
        self._watch = watch
        self._pinging: asyncio.Task[None] | None = None
        self.writing_since = 0.0  # monotonic time; 0 while nothing is being written
        self.written_at = time.monotonic()

    def look(self, now: float) -> None:
        if self.writing_since:
            if now - self.writing_since > STALL_S:
                _log.info("%s: the client takes nothing, its task is cancelled", self._exchange.request_id)
                self._watch.leave()
        elif now - self.written_at > PING_AFTER_S:
            self._pinging = asyncio.ensure_future(self._ping())

    async def close(self) -> None:
        if self._pinging is not None and not self._pinging.done():
            self._pinging.cancel()
            await asyncio.gather(self._pinging, return_exceptions=True)

    async def _ping(self) -> None:
        self.writing_since = self.written_at = time.monotonic()
        await self._exchange.write(PING)
        self.writing_since = 0.0


async def apologise(exchange: Exchange, stream: TaskStream | None) -> None:
    """This process ends: its clients are told, and nothing is charged."""
    if stream is not None:
        stream.cancel(Outcome.PLATFORM_FAILED)
    if exchange.started:
        exchange.is_broken = True
        await exchange.write(
            errors.error_event("The server is shutting down; ask again.", "server_error", "server_shutdown"),
            is_last=True,
        )
    else:
        await exchange.refuse(
            errors.unavailable("The server is shutting down; ask again.", "server_shutdown")
        )


def _headers(stream: TaskStream) -> list[Header]:
    return [(name.encode(), value.encode()) for name, value in stream.headers.items()]
