"""The answer of one task, on its way from the reader to whoever serves the client.

What the hive sent is kept until it is asked for, at most BUFFER_BYTES of it: the reader never waits, so a client that
does not read has its task cancelled. Frames are numbered; one that is missing fails the answer instead of going unseen.

A stream stays attached after its client is gone, until the hive's END: what was used is given back only then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from billing.domain.pricing import BadUsage, amount_micros
from billing.domain.quantities import quantities_of
from hive_agent.protocol import (
    CHARGED_OUTCOMES,
    Begun,
    End,
    Frame,
    FrameKind,
    Outcome,
    TaskError,
    decode_begun,
    decode_end,
    decode_error,
)
from inference.domain import failures
from inference.domain.envelope import Envelope
from inference.domain.failures import TaskFailed
from inference.domain.reserve import Reservation
from inference.domain.task import Task
from inference.domain.worker import WorkerView
from tenants.domain.limit_shape import SPEND

BUFFER_BYTES = 256 << 10


class Owner(Protocol):
    """What follows from what happens to a stream."""

    def on_cancel(self, stream: TaskStream, outcome: Outcome) -> None: ...
    def on_begun(self, stream: TaskStream) -> None: ...
    def on_end(self, stream: TaskStream) -> None: ...
    def on_stream_lost(self, stream: TaskStream) -> None: ...


class TaskStream:
    """`first` is there once `Dispatcher.start` has returned the stream, `end` once `frames` has ended by itself."""

    worker: WorkerView
    envelope: Envelope

    def __init__(self, task: Task, owner: Owner) -> None:
        self.task = task
        self.hive_id = ""
        self.attempt = 0
        self.reservation: Reservation | None = None
        self.is_cancelled = False
        self.is_attached = False  # frames are expected, and the worker counts it
        self.is_over = False  # everything was given back
        self.queued_ms: int | None = None  # how long it waited for a worker
        self.closing_at = 0.0  # monotonic; since when only END is waited for, 0 while it runs
        self.handed_over_at = (
            0.0  # monotonic; when the consumer went away with bytes, 0 while it waits for more
        )
        self.owed: Envelope | None = None  # of a fenced attempt that nobody will report any more
        self._owner = owner
        self._waiter: asyncio.Future[None] | None = None
        self._reset()

    def _reset(self) -> None:
        self.first: Frame | None = None
        self.begun: Begun | None = None
        self.refused: TaskError | None = None
        self.end: End | None = None
        self.failure: TaskFailed | None = None
        self.is_lost = False  # the hive that had claimed it is gone
        self._has_error = False  # the hive has ended it, END is on its way
        self._next = 0
        self._chunks: list[bytes] = []
        self._bytes = 0

    @property
    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*`, and of a task that stood in line for how long."""
        headers = self.reservation.headers if self.reservation else {}
        return headers if self.queued_ms is None else {**headers, "x-rbee-queue-ms": str(self.queued_ms)}

    @property
    def has_sign(self) -> bool:
        """The hive has the task, or said that it does not take it."""
        return self.begun is not None or self.first is not None or self.is_decided

    @property
    def is_decided(self) -> bool:
        return (
            self.refused is not None
            or self.failure is not None
            or self.end is not None
            or self.is_lost
            or self.is_cancelled
        )

    @property
    def epoch(self) -> int:
        """Of the hive's process that has the task; 0 until it says so."""
        return self.begun.epoch if self.begun else 0

    @property
    def used(self) -> dict[str, int]:
        """What counts against the caller's quantities, by unit: nothing of an answer that is not charged."""
        if self.end is None or self.end.outcome not in CHARGED_OUTCOMES:
            return {}
        used = quantities_of(self.end.usage)
        if self.task.price is not None:
            try:
                used[SPEND] = amount_micros(self.task.price, self.end.usage, self.end.outcome)
            except BadUsage:  # which is not booked either
                used[SPEND] = 0
        return used

    async def frames(self) -> AsyncIterator[bytes]:
        """SSE events, or the JSON body, from the first one on; several joined when the consumer was behind. Raises
        TaskFailed for an answer that will not be whole. Ends silently when it was cancelled."""
        while True:
            if self._chunks:
                chunks, self._chunks, self._bytes = self._chunks, [], 0
                self.handed_over_at = time.monotonic()
                yield chunks[0] if len(chunks) == 1 else b"".join(chunks)
                self.handed_over_at = 0.0
            elif self.failure is not None:
                raise self.failure
            elif self.end is not None or self.is_cancelled:
                return
            else:
                await self.wait()

    def cancel(self, outcome: Outcome = Outcome.CLIENT_CANCELLED) -> None:
        """The client is gone. Nothing when the task has ended or was cancelled before. Never waits: call it in a
        `finally`."""
        if self.is_over or self.is_cancelled:
            return
        self.is_cancelled = True
        self._close()
        self._chunks = []
        self._bytes = 0
        if not self._has_error:
            self._owner.on_cancel(self, outcome)
        self.wake()

    def give_to(self, worker: WorkerView, envelope: Envelope) -> None:
        """Another attempt, from nothing."""
        self.worker = worker
        self.hive_id = worker.hive_id
        self.envelope = envelope
        self.attempt = envelope.attempt
        self._reset()

    def fail(self, failure: TaskFailed) -> None:
        """What came before it is still delivered."""
        if self.failure is None and self.end is None:
            self.failure = failure
            self._close()
            self.wake()

    def lose(self) -> None:
        self.is_lost = True
        self.wake()

    async def wait(self) -> None:
        """Until something happened."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def on_stream_lost(self) -> None:
        """Of the reader."""
        self._owner.on_stream_lost(self)

    def on_frame(self, frame: Frame) -> None:
        """Of the reader; frames of other attempts and other hives do not come here."""
        kind = frame.kind
        try:
            if kind in (FrameKind.CHUNK, FrameKind.RESULT):
                self._on_piece(frame)
            elif kind == FrameKind.END:
                self._on_end(frame)
            elif kind == FrameKind.BEGUN and self.begun is None:
                self.begun = decode_begun(frame.data)
                self._owner.on_begun(self)
            elif kind == FrameKind.ERROR:
                if self._is_in_order(frame):
                    self._has_error = True
                    self.fail(failures.hive_error(decode_error(frame.data)))
            elif kind == FrameKind.REFUSED and self.begun is None:
                self.refused = decode_error(frame.data)
        except msgspec.MsgspecError:
            self._break()
        self.wake()

    def _on_piece(self, frame: Frame) -> None:
        if not self._is_in_order(frame) or self.failure is not None or self.is_cancelled:
            return
        size = len(frame.data)
        if self._bytes and self._bytes + size > BUFFER_BYTES:
            self.fail(failures.client_too_slow())
            self.cancel()
            return
        if self.first is None:
            self.first = frame
        self._chunks.append(frame.data)
        self._bytes += size

    def _on_end(self, frame: Frame) -> None:
        if self.end is not None:
            return
        end = decode_end(frame.data)
        if frame.seq != self._next:
            self._break()
        elif end.outcome != Outcome.COMPLETED and not self.is_cancelled:
            self.fail(failures.timed_out() if end.outcome == Outcome.TIMED_OUT else failures.worker_lost())
        self.end = end
        self._owner.on_end(self)

    def _is_in_order(self, frame: Frame) -> bool:
        if frame.seq == self._next:
            self._next += 1
            return True
        self._break()
        return False

    def _break(self) -> None:
        """Whatever is missing cannot come any more: the hive is told to stop."""
        self.fail(failures.stream_broken())
        self.cancel(Outcome.PLATFORM_FAILED)

    def _close(self) -> None:
        self.closing_at = self.closing_at or time.monotonic()
