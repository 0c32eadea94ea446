"""What a task and a token cost the queen between the reservation and the client's coroutine, without HTTP and scripts.

    .venv/bin/python -m bench.lane [--tasks 2000] [--tokens 100] [--at-once 64] [--limits]

A process of its own plays the hives. CPU time of this process and of Redis, in microseconds; take ratios inside one run,
machines and neighbours differ.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import multiprocessing
import time
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
import uvloop
from django.conf import settings

from gdpr.ids import uuid7
from hive_agent import protocol
from hive_agent.protocol import Frame, FrameKind
from inference.domain.colony import Colony, HiveInfo, WorkerView
from inference.domain.dispatch import Dispatcher
from inference.domain.envelope import Envelope
from inference.domain.reserve import EPOCH_KEY, Reserver
from inference.domain.task import Task
from inference.domain.waiting_room import WaitingRoom
from inference.transport.reader import TokenReader
from inference.transport.resp import RedisPipe
from rbee.env import read_env
from tenants.domain.limit_shape import NO_LEVELS, Levels
from tests.services import redis_server

STEP_S = 0.005  # between the tokens of a stream
EVENT = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
HIVE = "0" * 31 + "1"
PREFIX = f"h:{HIVE}:"


class Limits(msgspec.Struct, frozen=True):
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    concurrent_tasks: int | None = None


class Caller(msgspec.Struct, frozen=True):
    tenant_id: str
    limits: Limits
    project_id: str = ""
    key_id: str = ""
    tier: str = ""
    levels: Levels = NO_LEVELS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=2000, help="tasks of one token each (2000)")
    parser.add_argument("--tokens", type=int, default=100, help="tokens of a stream (100)")
    parser.add_argument("--at-once", type=int, default=64, help="tasks and streams side by side (64)")
    parser.add_argument("--limits", action="store_true", help="with all four limits of a tenant")
    options = parser.parse_args()
    settings.configure(RBEE=read_env({"RBEE_SECRET_KEY": "5e" * 32}))
    with redis_server() as server:
        hive = multiprocessing.get_context("spawn").Process(target=_run_hive, args=(server.url,), daemon=True)
        hive.start()
        try:
            uvloop.run(_measure(server.url, options))
        finally:
            hive.terminate()
            hive.join()


async def _measure(url: str, options: argparse.Namespace) -> None:
    pipe, reader_pipe = RedisPipe(url), RedisPipe(url, name="reader")
    await asyncio.gather(pipe.connect(), reader_pipe.connect())
    while not await pipe.call("EXISTS", f"{PREFIX}state"):
        await asyncio.sleep(0.05)
    await pipe.call("SET", EPOCH_KEY, "1")
    reader = TokenReader(reader_pipe, uuid7().hex)
    reserver = Reserver(pipe, reader.queen)
    reserver.epoch = "1"
    colony = Colony(pipe, _load_hives)
    await colony.start()
    await reader.start()
    dispatcher = Dispatcher(
        pipe,
        reader,
        colony,
        reserver,
        fence=_fence,
        settle_lost=_settle_lost,
        room=WaitingRoom(colony, timeout_s=30),
    )
    limits = Limits(10**9, 10**9, 10**12, 10**6) if options.limits else Limits()
    caller = Caller(uuid7().hex, limits)

    async def run(count: int, tokens: int) -> tuple[float, float]:
        """CPU seconds of this process and of Redis."""
        gate = asyncio.Semaphore(options.at_once)

        async def one() -> None:
            async with gate:
                stream = await dispatcher.start(_task(caller, tokens), lambda _: colony.workers[0])
                async for _ in stream.frames():
                    pass
                assert stream.end is not None

        before, redis_before = time.process_time(), await _redis_cpu_s(pipe)
        await asyncio.gather(*(one() for _ in range(count)))
        return time.process_time() - before, await _redis_cpu_s(pipe) - redis_before

    await run(options.at_once * 2, 1)
    tasks = options.tasks
    own, redis = await run(tasks, 1)
    print(f"a task of one token: {own / tasks * 1e6:6.1f} µs queen, {redis / tasks * 1e6:6.1f} µs Redis")
    streams = options.at_once
    more_own, more_redis = await run(streams, options.tokens)
    count = streams * options.tokens
    own_each, redis_each = (
        (more_own - own / tasks * streams) / count,
        (more_redis - redis / tasks * streams) / count,
    )
    print(f"a streamed token:    {own_each * 1e6:6.1f} µs queen, {redis_each * 1e6:6.1f} µs Redis")
    await dispatcher.stop()
    await reader.stop()
    await colony.stop()
    await asyncio.gather(pipe.close(), reader_pipe.close())


def _task(caller: Any, tokens: int) -> Task:
    task_id, now_ms = uuid7().hex, time.time_ns() // 1_000_000

    def make_envelope(attempt: int, worker: WorkerView) -> Envelope:
        return Envelope(
            task=task_id, attempt=attempt, tenant=caller.tenant_id, project="", key="", subject="", model="m",
            endpoint="chat.completions", hive=worker.hive_id, worker=worker.id, price="", tier="pro", region="EU",
            request_id="", admitted_at_ms=now_ms,
        )  # fmt: skip

    return Task(
        id=task_id, request_id="", caller=caller, model="m", endpoint=protocol.Endpoint.CHAT, stream=True,
        include_usage=False, body=b'{"model":"m","messages":[{"role":"user","content":"%d"}]}' % tokens,
        prompt_tokens_estimate=100, max_tokens=tokens, answer_id="chatcmpl-1", created_s=now_ms // 1000,
        deadline_ms=now_ms + 600_000, make_envelope=make_envelope,
    )  # fmt: skip


async def _load_hives() -> dict[str, HiveInfo]:
    return {HIVE: HiveInfo(id=HIVE, name="bench", prefix=PREFIX)}


async def _fence(task_id: UUID, month: date, tenant_id: UUID, lowest_valid_attempt: int) -> bool:
    raise AssertionError("no hive is lost here")


async def _settle_lost(envelope: Envelope, attempt: int) -> None:
    raise AssertionError("no hive is lost here")


async def _redis_cpu_s(pipe: RedisPipe) -> float:
    facts = dict(line.split(b":", 1) for line in (await pipe.call("INFO", "cpu")).split() if b":" in line)
    return float(facts[b"used_cpu_user"]) + float(facts[b"used_cpu_sys"])


def _run_hive(url: str) -> None:
    uvloop.run(_hive(url))


async def _hive(url: str) -> None:
    pipe, blocking = RedisPipe(url), RedisPipe(url)
    await asyncio.gather(pipe.connect(), blocking.connect())
    hive = _Hive(pipe, blocking)
    async with asyncio.TaskGroup() as group:
        group.create_task(hive.claim())
        group.create_task(hive.step())
        group.create_task(_beat(pipe))


class _Hive:
    """Claims what comes, and gives every stream a token each STEP_S, in one write for all of them."""

    def __init__(self, pipe: RedisPipe, blocking: RedisPipe) -> None:
        self.pipe = pipe
        self.blocking = blocking
        self.running: dict[str, list[Any]] = {}  # by task: queen, attempt, sent, how many

    async def claim(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                _, message = await self.blocking.call("BRPOP", f"{PREFIX}tasks", 1) or (None, None)
                if message is not None:
                    (task, attempt, _), _, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
                    group.create_task(self.take(task, attempt))

    async def take(self, task: str, attempt: int) -> None:
        body = protocol.decode_body(await self.pipe.call("GETDEL", PREFIX + protocol.body_key(task, attempt)))
        begun = protocol.encode(protocol.Begun(1, body.worker))
        self.write(body.queen, [Frame(task, attempt, 0, FrameKind.BEGUN, begun)])
        tokens = int(json.loads(body.request)["messages"][0]["content"])
        self.running[task] = [body.queen, attempt, 0, tokens]

    async def step(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            by_queen: dict[str, list[Frame]] = {}
            for task, state in list(self.running.items()):
                queen, attempt, sent, tokens = state
                frames = by_queen.setdefault(queen, [])
                frames.append(Frame(task, attempt, sent, FrameKind.CHUNK, EVENT))
                state[2] += 1
                if sent + 1 == tokens:
                    end = protocol.End("completed", {"prompt_tokens": 100, "completion_tokens": tokens})
                    frames.append(Frame(task, attempt, tokens, FrameKind.END, protocol.encode(end)))
                    del self.running[task]
            for queen, frames in by_queen.items():
                self.write(queen, frames)

    def write(self, queen: str, frames: list[Frame]) -> None:
        key = PREFIX + protocol.out_stream(queen)
        self.pipe.send("XADD", key, "NOMKSTREAM", "*", protocol.FRAMES_FIELD, protocol.encode(frames))


async def _beat(pipe: RedisPipe) -> None:
    worker = protocol.WorkerReport(
        id="w", model="m", engine="bench", status="ready", capability="text-gen", devices=[], in_flight=0,
        queue_depth=0, capacity=100_000, vram_mib=0, ttft_ms=0, uptime_s=0, pid=0,
    )  # fmt: skip
    for seq in range(1_000_000):
        heartbeat = protocol.Heartbeat(
            protocol.VERSION, HIVE, "bench", 1, seq, 0, "bench", False, 0, 0, [], [worker]
        )  # fmt: skip
        pipe.send("SET", f"{PREFIX}state", protocol.encode(heartbeat), "EX", 30)
        await asyncio.sleep(1)


if __name__ == "__main__":
    main()
