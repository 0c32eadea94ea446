"""Frames on their way to the queens: one coalescing writer for each out stream.

A frame leaves at once when none is on its way; what comes meanwhile, or within `INTERVAL_S` of the one before, travels
together. So a lone stream has no delay and a busy hive writes a few hundred times a second, however many tokens it makes.

NOMKSTREAM: a stream that is not there belongs to a queen that is gone. A connection that drops is made again, and the
frames are sent again only when they had not arrived. Otherwise the tasks of that queen are lost; `on_lost` says so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from hive_agent.ending import cancel_all
from hive_agent.protocol import FRAMES_FIELD, Frame, out_stream
from hive_agent.redis_client import execute

log = logging.getLogger(__name__)

INTERVAL_S = 0.004
MAX_BATCH_BYTES = 1 << 20
IDLE_S = 60.0
GRACE_S = 2.0
RETRY_S = 0.1

OnLost = Callable[[str, str], None]  # queen, why


class FrameWriter:
    def __init__(self, redis: Redis, prefix: str, on_lost: OnLost) -> None:
        self.redis = redis
        self.prefix = prefix
        self.on_lost = on_lost
        self.streams: dict[str, _OutStream] = {}

    def send(self, queen: str, frame: Frame) -> None:
        stream = self.streams.get(queen)
        if stream is None:
            stream = self.streams[queen] = _OutStream(self, queen)
        stream.pending.append(frame)
        stream.arrived.set()

    async def flush(self) -> None:
        """Until everything sent so far was written or given up."""
        await asyncio.gather(*(stream.flush() for stream in list(self.streams.values())))

    async def stop(self) -> None:
        await cancel_all([stream.task for stream in self.streams.values()])


class _OutStream:
    def __init__(self, writer: FrameWriter, queen: str) -> None:
        self.writer = writer
        self.queen = queen
        self.key = writer.prefix + out_stream(queen)
        self.pending: list[Frame] = []
        self.arrived = asyncio.Event()
        self.is_writing = False
        self.last_id: bytes | None = None
        self.task = asyncio.create_task(self._run(), name=f"frames to {queen}")
        self.task.add_done_callback(self._on_done)

    async def flush(self) -> None:
        while (self.pending or self.is_writing) and not self.task.done():  # noqa: ASYNC110 -- once, at the end
            await asyncio.sleep(0.001)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(IDLE_S):
                    await self.arrived.wait()
            except TimeoutError:
                if self.writer.streams.get(self.queen) is self and not self.pending:
                    del self.writer.streams[self.queen]
                    return
            self.arrived.clear()
            self.is_writing = True
            while self.pending:
                frames, self.pending = _split(self.pending)
                await self._write(frames)
            self.is_writing = False
            await asyncio.sleep(INTERVAL_S)

    async def _write(self, frames: list[Frame]) -> None:
        data = msgspec.msgpack.encode(frames)
        try:
            written = await self._add(data)
        except (RedisError, OSError) as error:
            written = await self._add_after_loss(data, error)
        if written is None:
            self._give_up("the queen is gone, or Redis")
        else:
            self.last_id = written

    async def _add(self, data: bytes) -> bytes | None:
        """The entry's id; None when the stream is not there."""
        added: bytes | None = await execute(
            self.writer.redis, "XADD", self.key, "NOMKSTREAM", "*", FRAMES_FIELD, data
        )
        return added

    async def _add_after_loss(self, data: bytes, error: Exception) -> bytes | None:
        """The connection broke while the frames were on their way. Nobody else writes to this stream, so its last entry
        tells whether they arrived. None when it cannot be told: within GRACE_S, because the queen trimmed that entry
        already, or because this is another stream of the same name, after a restart of Redis."""
        until = time.monotonic() + GRACE_S
        while self.last_id is not None and time.monotonic() < until:
            try:
                if await self._newest_id() == self.last_id:
                    return await self._add(data)
                return await self._arrived(data)
            except ResponseError:
                return None
            except (RedisError, OSError) as again:
                error = again
                await asyncio.sleep(RETRY_S)
        log.warning("frames to queen %s: %s", self.queen, error)
        return None

    async def _arrived(self, data: bytes) -> bytes | None:
        newest = await execute(self.writer.redis, "XREVRANGE", self.key, "+", "-", "COUNT", "1")
        if not newest or newest[0][1].get(FRAMES_FIELD) != data:
            return None
        entry_id: bytes = newest[0][0]
        return entry_id

    async def _newest_id(self) -> bytes | None:
        """None when the stream is not there."""
        try:
            about = await execute(self.writer.redis, "XINFO STREAM", self.key)
        except ResponseError as error:
            if "no such key" in str(error):
                return None
            raise
        newest = about["last-generated-id"]
        return newest if isinstance(newest, bytes) else str(newest).encode()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            return
        log.error("frames to queen %s: %r", self.queen, task.exception())
        if self.writer.streams.get(self.queen) is self:
            del self.writer.streams[self.queen]
        self._give_up("the writer failed")

    def _give_up(self, why: str) -> None:
        self.pending.clear()
        self.writer.on_lost(self.queen, why)


def _split(frames: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    """What fits into one write, and the rest. A single frame always fits."""
    size = 0
    for number, frame in enumerate(frames):
        size += len(frame.data)
        if size > MAX_BATCH_BYTES and number:
            return frames[:number], frames[number:]
    return frames, []
