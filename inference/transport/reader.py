"""The way back of every token: one reader per queen process, on a connection of its own.

Each hive writes to a stream of this process, so one XREAD gets what all of them wrote since. It starts from remembered
ids: a connection that drops loses and repeats nothing. BLOCK is short, because the set of streams changes with the tasks
that run; the pause after it lets frames gather, which costs each a millisecond and halves what a token costs the queen.

Nothing here waits for a client: frames go to sinks, which keep them or give up.

Streams exist only while this reader moves. It renews their expiry, and a hive that finds its stream gone knows that
nobody listens. A stream that is gone though it was renewed means that Redis lost it: its tasks fail, they never hang.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Protocol

import msgspec

from hive_agent.protocol import FRAMES_FIELD, STREAM_EXPIRY_S, Frame, decode_frames, out_stream
from inference.transport.resp import RedisDown, RedisError, RedisPipe, Reply

BLOCK_MS = 10
PAUSE_S = 0.001
COUNT = 100  # entries of each stream in one answer
TRIM_INTERVAL_S = 0.1
RENEW_INTERVAL_S = 2.0
IDLE_S = 60.0  # how long a stream without tasks is kept
REDIS_GRACE_S = 5.0  # how long Redis may be away before every task is given up
ERROR_PAUSE_S = 0.02
START = b"0-0"

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """One attempt of a task at one hive."""

    hive_id: str
    attempt: int

    def on_frame(self, frame: Frame) -> None: ...
    def on_stream_lost(self) -> None: ...


class TokenReader:
    """`queen` is the name of this process in the streams' keys: never used before."""

    def __init__(self, pipe: RedisPipe, queen: str) -> None:
        """`pipe` is the reader's alone, and connected."""
        self.queen = queen
        self._pipe = pipe
        self._streams: dict[str, _Stream] = {}  # by hive
        self._sinks: dict[str, Sink] = {}  # by task
        self._active: dict[bytes, _Stream] = {}  # by key: those with tasks
        self._is_active_stale = False
        self._has_work = asyncio.Event()
        self._trimmed_at = 0.0
        self._renewed_at = 0.0
        self._runner: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._runner = asyncio.create_task(self._run(), name="token reader")

    async def stop(self) -> None:
        if self._runner:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)

    def expect(self, task: str, prefix: str, sink: Sink, pipe: RedisPipe) -> None:
        """From here on frames of `task` by `sink.hive_id`, whose keys begin with `prefix`, go to `sink`. Call it before
        the dispatch, on whose `pipe` the stream is made when there is none. Raises RedisDown."""
        stream = self._streams.get(sink.hive_id)
        if stream is None:
            stream = self._streams[sink.hive_id] = _Stream(sink.hive_id, f"{prefix}{out_stream(self.queen)}")
        if not stream.is_made:
            made = stream.make(pipe)
            made.add_done_callback(lambda reply: self._on_made(stream, reply))
        self._sinks[task] = sink
        stream.tasks.add(task)
        self._is_active_stale = True
        self._has_work.set()

    def forget(self, task: str) -> None:
        """Frames of `task` count no more."""
        sink = self._sinks.pop(task, None)
        if sink is not None and (stream := self._streams.get(sink.hive_id)) is not None:
            stream.tasks.discard(task)
            stream.idle_since = time.monotonic()
            self._is_active_stale = True

    def _on_made(self, stream: _Stream, reply: Reply) -> None:
        if not reply.cancelled() and reply.exception() is None and reply.result():
            stream.is_confirmed = True
        else:
            self._lose(stream)

    async def _run(self) -> None:
        while True:
            try:
                await self._turn()
            except RedisDown:
                await self._wait_for_redis()
            except RedisError as error:
                _log.warning("the token streams cannot be read: %s", error)
                await self._drop_strangers()

    async def _turn(self) -> None:
        if not self._has_work.is_set():
            await self._rest()
        renewals = self._keep_streams()
        active = self._find_active()
        if active:
            cursors = [stream.cursor for stream in active.values()]
            answer = await self._pipe.call(
                b"XREAD", b"COUNT", COUNT, b"BLOCK", BLOCK_MS, b"STREAMS", *active, *cursors
            )
            for key, entries in answer or ():
                self._take(active[key], entries)
        for stream, renewal in renewals:
            if not await renewal:
                self._lose(stream)
        if active:
            await asyncio.sleep(PAUSE_S)

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(RENEW_INTERVAL_S):
                await self._has_work.wait()
        except TimeoutError:
            pass

    def _find_active(self) -> dict[bytes, _Stream]:
        if self._is_active_stale:
            self._is_active_stale = False
            self._active = {stream.key: stream for stream in self._streams.values() if stream.tasks}
            if not self._active:
                self._has_work.clear()
        return self._active

    def _take(self, stream: _Stream, entries: list[Any]) -> None:
        stream.cursor = entries[-1][0]
        stream.is_trimmed = False
        for _, fields in entries:
            data = fields[1]
            if fields[0] != FRAMES_FIELD or not data:
                continue
            try:
                frames = decode_frames(data)
            except msgspec.MsgspecError as error:
                _log.warning("frames of hive %s are not understood: %s", stream.hive_id, error)
                continue
            self._deliver(stream, frames)

    def _deliver(self, stream: _Stream, frames: list[Frame]) -> None:
        sinks, hive_id = self._sinks, stream.hive_id
        for frame in frames:
            sink = sinks.get(frame.task)
            if sink is not None and sink.attempt == frame.attempt and sink.hive_id == hive_id:
                sink.on_frame(frame)

    def _keep_streams(self) -> list[tuple[_Stream, Reply]]:
        """Trim what was read. The answers to the renewals tell whether the streams are there."""
        now = time.monotonic()
        if now - self._trimmed_at >= TRIM_INTERVAL_S:
            self._trimmed_at = now
            for stream in self._streams.values():  # also what was read last of one that has no more tasks
                if not stream.is_trimmed:
                    stream.is_trimmed = True
                    self._pipe.send(b"XTRIM", stream.key, b"MINID", _after(stream.cursor))
        if now - self._renewed_at < RENEW_INTERVAL_S:
            return []
        self._renewed_at = now
        for stream in list(self._streams.values()):
            if not stream.tasks and now - stream.idle_since > IDLE_S:
                del self._streams[stream.hive_id]  # it expires
        return [
            (stream, self._pipe.call(b"PEXPIRE", stream.key, STREAM_EXPIRY_S * 1000))
            for stream in self._streams.values()
            if stream.is_confirmed
        ]

    async def _wait_for_redis(self) -> None:
        until = time.monotonic() + REDIS_GRACE_S
        while not self._pipe.is_connected:
            await asyncio.sleep(0.02)
            if time.monotonic() > until:
                for stream in list(self._streams.values()):
                    self._lose(stream)
        self._renewed_at = 0.0  # are the streams still there?

    async def _drop_strangers(self) -> None:
        """A hive may put anything under its own prefix. What is no stream must not keep the others from being read."""
        await asyncio.sleep(ERROR_PAUSE_S)
        try:
            for stream in list(self._active.values()):
                if await self._pipe.call(b"TYPE", stream.key) not in (b"stream", b"none"):
                    self._pipe.send(b"UNLINK", stream.key)
                    self._lose(stream)
        except (RedisDown, RedisError):
            return

    def _lose(self, stream: _Stream) -> None:
        _log.warning("the token stream of hive %s is lost, with %d tasks", stream.hive_id, len(stream.tasks))
        if self._streams.get(stream.hive_id) is stream:
            del self._streams[stream.hive_id]
        self._is_active_stale = True
        for task in list(stream.tasks):
            sink = self._sinks.pop(task, None)
            if sink is not None:
                sink.on_stream_lost()


def _after(entry_id: bytes) -> bytes:
    """What MINID names stays: the least that was not read."""
    ms, _, number = entry_id.partition(b"-")
    return b"%b-%d" % (ms, int(number) + 1)


class _Stream:
    def __init__(self, hive_id: str, key: str) -> None:
        self.hive_id = hive_id
        self.key = key.encode()
        self.cursor = START  # the stream is made empty, for a name that nobody had before
        self.tasks: set[str] = set()
        self.is_made = False
        self.is_confirmed = False
        self.is_trimmed = True
        self.idle_since = 0.0

    def make(self, pipe: RedisPipe) -> Reply:
        pipe.send(b"XADD", self.key, b"*", FRAMES_FIELD, b"")
        pipe.send(b"XTRIM", self.key, b"MAXLEN", 0)
        made = pipe.call(b"PEXPIRE", self.key, STREAM_EXPIRY_S * 1000)
        self.is_made = True
        return made
