"""The lane of one queen process, and hives that do what a test tells them, one step at a time."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import date
from typing import Any
from uuid import UUID

from gdpr.ids import uuid7
from hive_agent import protocol
from hive_agent.protocol import Begun, End, Endpoint, Frame, FrameKind, Outcome, TaskBody, TaskError
from inference.domain.colony import Colony, HiveInfo, WorkerView
from inference.domain.dispatch import Dispatcher, TaskFailed, TaskStream
from inference.domain.envelope import Envelope
from inference.domain.reserve import EPOCH_KEY, Reserver
from inference.domain.task import Task
from inference.domain.waiting_room import WaitingRoom
from inference.transport.reader import TokenReader
from inference.transport.resp import RedisPipe
from tenants.domain.authentication import Caller, Limits

MODEL = "m"
USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


class TestHive:
    """`claim` takes its next task, the others speak of it."""

    __test__ = False

    def __init__(self, pipe: RedisPipe, name: str) -> None:
        self.pipe = pipe
        self.name = name
        self.id = uuid7().hex
        self.prefix = f"h:{self.id}:"
        self.epoch = 1
        self.in_flight = 0
        self.capacity = 2000
        self.status = "ready"
        self.draining = False
        self.info = HiveInfo(id=self.id, name=name, prefix=self.prefix, region="EU")
        self._sent: dict[tuple[str, int], int] = {}
        self._beats = 0

    async def beat(self, **fields: Any) -> None:
        """`fields` replace what it would say."""
        self._beats += 1
        worker = protocol.WorkerReport(
            id=f"{self.id[:28]}0001", model=MODEL, engine="test", status=self.status, capability="text-gen",
            devices=[0], in_flight=self.in_flight, queue_depth=0, capacity=self.capacity, vram_mib=10, ttft_ms=5,
            uptime_s=1, pid=1,
        )  # fmt: skip
        device = protocol.DeviceReport(0, "cuda", "NVIDIA A100-SXM4-80GB", "A100", 81_920, 40_000, 17)
        facts: dict[str, Any] = {
            "version": protocol.VERSION, "hive": self.id, "name": self.name, "epoch": self.epoch, "seq": self._beats,
            "at_ms": now_ms(), "software": "test", "draining": self.draining, "cpu_pct": 1, "rss_mib": 1,
            "devices": [device], "workers": [worker], **fields,
        }  # fmt: skip
        state = protocol.encode(protocol.Heartbeat(**facts))
        await self.pipe.call("SET", f"{self.prefix}state", state, "EX", protocol.HEARTBEAT_EXPIRY_S)

    async def deliveries(self) -> int:
        return int(await self.pipe.call("LLEN", f"{self.prefix}tasks"))

    async def claim(self, timeout_s: float = 5) -> TaskBody:
        """Of the next message whose body is still there."""
        async with asyncio.timeout(timeout_s):
            while True:
                if (body := await self.claim_now()) is not None:
                    return body
                await asyncio.sleep(0.002)

    async def claim_now(self) -> TaskBody | None:
        message = await self.pipe.call("RPOP", f"{self.prefix}tasks")
        if message is None:
            return None
        (task, attempt, _), _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
        body = await self.pipe.call("GETDEL", self.prefix + protocol.body_key(task, attempt))
        return None if body is None else protocol.decode_body(body)

    async def begin(self, body: TaskBody) -> None:
        await self.send(body, FrameKind.BEGUN, 0, protocol.encode(Begun(self.epoch, body.worker)))

    async def chunks(self, body: TaskBody, *pieces: bytes) -> None:
        for piece in pieces:
            await self.send(body, FrameKind.CHUNK, self._next(body), piece)

    async def result(self, body: TaskBody, whole: bytes) -> None:
        await self.send(body, FrameKind.RESULT, self._next(body), whole)

    async def error(self, body: TaskBody, error: TaskError) -> None:
        await self.send(body, FrameKind.ERROR, self._next(body), protocol.encode(error))

    async def refuse(self, body: TaskBody) -> None:
        error = TaskError(503, "service_unavailable", "no_workers", "I am full.")
        await self.send(body, FrameKind.REFUSED, 0, protocol.encode(error))

    async def end(
        self, body: TaskBody, outcome: Outcome = Outcome.COMPLETED, usage: dict[str, int] = USAGE
    ) -> None:
        sent = self._sent.get((body.task, body.attempt), 0)
        await self.send(body, FrameKind.END, sent, protocol.encode(End(outcome, usage)))

    async def answer(self, body: TaskBody, *pieces: bytes) -> None:
        await self.begin(body)
        await self.chunks(body, *pieces)
        await self.end(body)

    async def send(self, body: TaskBody, kind: FrameKind, seq: int, data: bytes) -> None:
        await self.write(body.queen, [Frame(body.task, body.attempt, seq, kind, data)])

    async def write(self, queen: str, frames: Sequence[Frame]) -> Any:
        """None when the stream is not there."""
        key = self.prefix + protocol.out_stream(queen)
        return await self.pipe.call(
            "XADD", key, "NOMKSTREAM", "*", protocol.FRAMES_FIELD, protocol.encode(frames)
        )

    async def controls(self) -> list[protocol.Control]:
        entries = await self.pipe.call("XRANGE", f"{self.prefix}control", "-", "+")
        return [protocol.decode_control(fields[1]) for _, fields in entries]

    def _next(self, body: TaskBody) -> int:
        seq = self._sent.get((body.task, body.attempt), 0)
        self._sent[(body.task, body.attempt)] = seq + 1
        return seq


class Lane:
    """`fences` and `settled` are what the books were told; `fence_answer` is what they say."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.pipe = RedisPipe(url)
        self.hive_pipe = RedisPipe(url, name="hives")
        self.reader_pipe = RedisPipe(url, name="reader")
        self.hives: list[TestHive] = []
        self.fences: list[tuple[str, int]] = []
        self.settled: list[tuple[Envelope, int]] = []
        self.fence_answer: Callable[[], bool] = lambda: True
        self.tried: list[set[str]] = []

    async def open(self, *hives: str) -> None:
        await asyncio.gather(self.pipe.connect(), self.hive_pipe.connect(), self.reader_pipe.connect())
        self.reader = TokenReader(self.reader_pipe, uuid7().hex[16:])
        self.reserver = Reserver(self.pipe, self.reader.queen)
        await self.pipe.call("SET", EPOCH_KEY, "1", "NX")
        self.reserver.epoch = (await self.pipe.call("GET", EPOCH_KEY)).decode()
        self.hives = [TestHive(self.hive_pipe, name) for name in hives]
        self.colony = Colony(self.pipe, self._load_hives)
        await self.beat()
        await self.colony.start()
        await self.reader.start()
        self.dispatcher = Dispatcher(
            self.pipe,
            self.reader,
            self.colony,
            self.reserver,
            fence=self._fence,
            settle_lost=self._settle_lost,
            room=WaitingRoom(self.colony, timeout_s=30),
        )
        self.dispatcher.run()

    async def close(self) -> None:
        await self.dispatcher.stop()
        await self.colony.stop()
        await self.reader.stop()
        await self.reserver.stop()
        await asyncio.gather(self.pipe.close(), self.hive_pipe.close(), self.reader_pipe.close())

    async def beat(self) -> None:
        await asyncio.gather(*(hive.beat() for hive in self.hives))

    def choose(self, tried: set[str]) -> WorkerView:
        """The hives in their order."""
        self.tried.append(set(tried))
        for hive in self.hives:
            for worker in self.colony.candidates(MODEL, Endpoint.CHAT):
                if worker.hive_id == hive.id and hive.id not in tried:
                    return worker
        raise NobodyLeft

    def start(self, task: Task | None = None) -> asyncio.Task[TaskStream]:
        return asyncio.ensure_future(self.dispatcher.start(task or make_task(), self.choose))

    async def until(self, claim: Callable[[], object], timeout_s: float = 5) -> None:
        async with asyncio.timeout(timeout_s):
            while not claim():
                await asyncio.sleep(0.005)

    def is_idle(self) -> bool:
        """Nothing is held for any task."""
        given = [worker._given for worker in self.colony.workers]
        return not (self.dispatcher.live or self.reserver.held or any(given) or self.reader._sinks)

    async def _load_hives(self) -> dict[str, HiveInfo]:
        return {hive.id: hive.info for hive in self.hives}

    async def _fence(self, task_id: UUID, month: date, tenant_id: UUID, lowest_valid_attempt: int) -> bool:
        self.fences.append((task_id.hex, lowest_valid_attempt))
        return self.fence_answer()

    async def _settle_lost(self, envelope: Envelope, attempt: int) -> None:
        self.settled.append((envelope, attempt))


class NobodyLeft(Exception):
    pass


@asynccontextmanager
async def open_lane(url: str, *hives: str) -> AsyncIterator[Lane]:
    lane = Lane(url)
    await lane.open(*hives)
    try:
        yield lane
    finally:
        await lane.close()


def make_caller(tenant_id: str = "", **limits: int) -> Caller:
    return Caller(
        tenant_id=tenant_id or uuid7().hex, tenant_slug="acme", tier="pro", plan_slug="pro", project_id=uuid7().hex,
        key_id=uuid7().hex, kid="k", scopes=frozenset({"inference"}), region="", industry="", gdpr_consent=False,
        limits=Limits(**limits),
    )  # fmt: skip


def make_task(caller: Caller | None = None, **fields: Any) -> Task:
    caller = caller or make_caller()
    task_id = uuid7().hex

    def make_envelope(attempt: int, worker: WorkerView) -> Envelope:
        return Envelope(
            task=task_id, attempt=attempt, tenant=caller.tenant_id, project=caller.project_id, key=caller.key_id,
            subject="", model=MODEL, endpoint=Endpoint.CHAT, hive=worker.hive_id, worker=worker.id,
            price=uuid7().hex, tier=caller.tier, region=worker.region, request_id="req_1", admitted_at_ms=now_ms(),
        )  # fmt: skip

    facts: dict[str, Any] = {
        "id": task_id, "request_id": "req_1", "caller": caller, "model": MODEL, "endpoint": Endpoint.CHAT,
        "stream": True, "include_usage": False, "body": b'{"model":"m"}', "prompt_tokens_estimate": 10,
        "max_tokens": 20, "answer_id": "chatcmpl-1", "created_s": now_ms() // 1000, "deadline_ms": now_ms() + 60_000,
        "make_envelope": make_envelope, **fields,
    }  # fmt: skip
    return Task(**facts)


async def read(stream: TaskStream) -> bytes:
    return b"".join([piece async for piece in stream.frames()])


async def failure_of(waiting: Awaitable[Any]) -> TaskFailed:
    try:
        await waiting
    except TaskFailed as failure:
        return failure
    raise AssertionError("it did not fail")


def now_ms() -> int:
    return time.time_ns() // 1_000_000
