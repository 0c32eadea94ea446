"""One task's answer: the engine's events rendered and sent, until it ends by itself or is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from hive_agent.engine_client import EngineClient, EngineLost, EngineRejected
from hive_agent.engines.base import Counts, Engine, Event
from hive_agent.frames import ResultRenderer, StreamRenderer
from hive_agent.protocol import Endpoint, FrameKind, Outcome, TaskBody, TaskError
from hive_agent.shared_state import WorkerEntry

FINAL_COUNTS_S = 2.0  # how long an aborted engine may take to tell what it had counted
NOTE_INTERVAL_S = 1.0
NOTE_TOKENS = 64

WORKER_ERROR = TaskError(500, "server_error", "worker_error", "The worker failed while answering.")
TIMEOUT_ERROR = TaskError(504, "server_error", "timeout", "The task reached its deadline.")


@dataclass(slots=True, frozen=True)
class Ended:
    outcome: Outcome
    error: TaskError | None = None


class Answer:
    def __init__(
        self,
        worker: WorkerEntry,
        engine: Engine,
        client: EngineClient,
        body: TaskBody,
        send: Callable[[FrameKind, bytes], None],
    ) -> None:
        self.worker = worker
        self.engine = engine
        self.client = client
        self.body = body
        self.send = send
        self.name = f"{body.task}:{body.attempt}"
        self.request = engine.translate(body.endpoint, body.request)
        self.counter = engine.counter(self.request)
        self.is_stopping = False
        self.noted_tokens = 0
        self.noted_at = time.monotonic()
        self.on_progress: Callable[[], None] = lambda: None

    @property
    def counts(self) -> Counts:
        return self.counter.counts

    async def run(self, stopped: asyncio.Future[Ended], remaining_s: float) -> Ended:
        """Ends soon after `stopped` or the deadline; `counts` are final then."""
        if stopped.done():
            return stopped.result()
        if remaining_s <= 0:
            return Ended(Outcome.TIMED_OUT, TIMEOUT_ERROR)
        answering = asyncio.create_task(self._answer(), name=f"answer {self.name}")
        try:
            await asyncio.wait((answering, stopped), timeout=remaining_s, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return answering.result()
            self.is_stopping = True
            await self.client.abort(self.worker, self.name)
            await asyncio.wait((answering,), timeout=FINAL_COUNTS_S)
            return stopped.result() if stopped.done() else Ended(Outcome.TIMED_OUT, TIMEOUT_ERROR)
        finally:
            answering.cancel()

    def is_worth_noting(self) -> bool:
        """Each second or 64 tokens."""
        now, tokens = time.monotonic(), self.counts.completion_tokens
        if tokens - self.noted_tokens < NOTE_TOKENS and now - self.noted_at < NOTE_INTERVAL_S:
            return False
        self.noted_tokens, self.noted_at = tokens, now
        return True

    async def _answer(self) -> Ended:
        try:
            await (self._stream() if self.body.stream else self._gather())
        except EngineRejected as rejected:
            return Ended(Outcome.REJECTED, rejected.error)
        except EngineLost:
            return Ended(Outcome.WORKER_FAILED, WORKER_ERROR)
        return Ended(Outcome.COMPLETED)

    async def _stream(self) -> None:
        renderer = StreamRenderer(self.body)
        async for event in self._events():
            if chunk := renderer.chunk(event.choices):
                self.send(FrameKind.CHUNK, chunk)
        if not self.is_stopping:
            self.send(FrameKind.CHUNK, renderer.last(self.counts))

    async def _gather(self) -> None:
        renderer = ResultRenderer(self.body)
        async for event in self._events():
            renderer.add(event.choices)
        if not self.is_stopping:
            self.send(FrameKind.RESULT, renderer.result(self.counts))

    async def _events(self) -> AsyncIterator[Event]:
        """What is still for the client. The counts of the rest are taken all the same."""
        endpoint = Endpoint(self.body.endpoint)
        events = self.client.events(self.worker, self.engine, self.name, endpoint, self.request, self.counter)
        async for event in events:
            self.on_progress()
            if not self.is_stopping:
                yield event
