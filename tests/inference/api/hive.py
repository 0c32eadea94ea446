"""A hive as small as the protocol allows, on a loop and thread of its own: it claims tasks by their bodies and answers
what the last message asks for.

    anything     its words, one chunk each
    slow         a chunk each 20 ms, until it is told to stop
    never        nothing, until it is told to stop
    break        two chunks, then an error
    vanish       two chunks, then silence
    refuse       it does not begin
    reject       the engine finds the request at fault
    crash        an error before the first chunk
    flood        chunks of 16 KiB as fast as they go
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import redis.asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hive_agent import protocol
from hive_agent.protocol import Control, End, Frame, FrameKind, Outcome, TaskBody, TaskError
from inference.models import Hive

USAGE = {"prompt_tokens": 3, "cached_tokens": 0, "completion_tokens": 2, "engine_ms": 1}


class SmallHive:
    """`bodies` are the tasks that it claimed, `running` those that it answers, `stopped` those that it was told to stop
    and with which outcome."""

    def __init__(
        self, redis_url: str, row: Hive, key: Ed25519PrivateKey, *, models: list[str], **worker: Any
    ) -> None:
        self.row = row
        self.key = key
        self.bodies: list[TaskBody] = []
        self.stopped: dict[str, str] = {}
        self.silent = False
        self._redis_url = redis_url
        self._models = models
        self._worker = worker
        self.running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: dict[str, str] = {}  # before they were claimed
        self._is_up = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> SmallHive:
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def stop(self) -> None:
        """Once more does no harm."""
        self._is_stopping = True
        self._thread.join(10)
        assert not self._thread.is_alive()

    def receipt(self, body: TaskBody, **fields: Any) -> protocol.SignedReceipt:
        """What this hive would sign for a task; `fields` replace what is true."""
        now_ms = time.time_ns() // 1_000_000
        facts = {
            "version": protocol.VERSION, "hive": self.row.id.hex, "task": body.task, "attempt": body.attempt,
            "worker": body.worker, "model": body.model, "engine": "small", "outcome": Outcome.COMPLETED,
            "usage": USAGE, "began_at_ms": now_ms - 20, "first_token_at_ms": now_ms - 10, "ended_at_ms": now_ms,
            "frames": 3, "envelope": body.envelope, **fields,
        }  # fmt: skip
        payload = protocol.encode(protocol.Receipt(**facts))
        return protocol.SignedReceipt(payload, self.key.sign(payload))

    async def _serve(self) -> None:
        self._redis = redis.asyncio.Redis.from_url(self._redis_url)
        await self._beat_once()
        self._is_up.set()
        await asyncio.gather(self._beat(), self._listen(), self._claim())
        for task in list(self.running.values()):
            task.cancel()
        await asyncio.gather(*self.running.values(), return_exceptions=True)
        await self._redis.aclose()

    async def _beat(self) -> None:
        while not self._is_stopping:
            await asyncio.sleep(0.2)
            if not self.silent:
                await self._beat_once()

    async def _beat_once(self) -> None:
        workers = [
            protocol.WorkerReport(
                **{
                    "id": f"{index:08x}{self.row.id.hex[8:]}", "model": model, "engine": "small", "status": "ready",
                    "capability": "text-gen", "devices": [], "in_flight": len(self.running), "queue_depth": 0,
                    "capacity": 64, "vram_mib": 0, "ttft_ms": 0, "uptime_s": 1, "pid": 1, **self._worker,
                }
            )
            for index, model in enumerate(self._models)
        ]  # fmt: skip
        heartbeat = protocol.Heartbeat(
            version=protocol.VERSION, hive=self.row.id.hex, name=self.row.name, epoch=1, seq=time.time_ns(),
            at_ms=time.time_ns() // 1_000_000, software="small", draining=False, cpu_pct=0, rss_mib=1, devices=[],
            workers=workers,
        )  # fmt: skip
        await self._redis.set(self._name("state"), protocol.encode(heartbeat), ex=protocol.HEARTBEAT_EXPIRY_S)

    async def _listen(self) -> None:
        last = "0"
        while not self._is_stopping:
            for _, entries in await self._redis.xread({self._name("control"): last}, block=100):
                for entry, fields in entries:
                    last = entry
                    self._obey(protocol.decode_control(fields[protocol.CONTROL_FIELD]))

    def _obey(self, control: Control) -> None:
        if control.kind != protocol.ControlKind.CANCEL:
            return
        if control.task in self.running:
            self.stopped[control.task] = control.outcome
            self._stop(control.task)
        else:
            self._cancelled[control.task] = control.outcome

    def _stop(self, task: str) -> None:
        """More than once: redis-py may take a cancellation for a lost connection and try again."""
        if task in self.running:
            self.running[task].cancel()
            asyncio.get_running_loop().call_later(0.5, self._stop, task)

    async def _claim(self) -> None:
        while not self._is_stopping:
            popped = await self._redis.brpop(self._name(protocol.TASKS_QUEUE), timeout=0.1)
            if popped is None:
                continue
            (task, attempt, _), _, _ = json.loads(base64.b64decode(json.loads(popped[1])["body"]))
            raw = await self._redis.getdel(self._name(protocol.body_key(task, attempt)))
            if raw is not None:
                body = protocol.decode_body(raw)
                self.bodies.append(body)
                self.running[task] = asyncio.create_task(self._answer(body))
                # Not in its own `finally`: a task that is cancelled before its first step never gets there.
                self.running[task].add_done_callback(lambda _, task=task: self.running.pop(task, None))
                if (outcome := self._cancelled.pop(task, None)) is not None:
                    self.stopped[task] = outcome
                    self.running[task].cancel()

    async def _answer(self, body: TaskBody) -> None:
        send = Sender(self._redis, self._name(protocol.out_stream(body.queen)), body)
        try:
            await self._say(body, send)
        except asyncio.CancelledError:
            await send.end(Outcome.CLIENT_CANCELLED)

    async def _say(self, body: TaskBody, send: Sender) -> None:
        text = asked(body)
        if text == "refuse":
            await send.one(
                FrameKind.REFUSED, 0, TaskError(503, "service_unavailable", "no_workers", "I am full.")
            )
            return
        await send.one(FrameKind.BEGUN, 0, protocol.Begun(1, body.worker))
        if text == "never":
            await asyncio.Event().wait()
        if text in {"reject", "crash"}:
            error = (400, "invalid_request_error", "context_length_exceeded", "Too long.", "messages")
            await send.error(
                TaskError(*error)
                if text == "reject"
                else TaskError(500, "server_error", "worker_error", "Oh.")
            )
            await send.end(Outcome.REJECTED if text == "reject" else Outcome.WORKER_FAILED)
            return
        if not body.stream:
            await send.data(FrameKind.RESULT, whole(body, text))
            await send.end(Outcome.COMPLETED)
            return
        async for words in pieces(text):
            await send.data(FrameKind.CHUNK, event(body, words))
        if text == "break":
            await send.error(TaskError(500, "server_error", "worker_error", "The engine died."))
            await send.end(Outcome.WORKER_FAILED)
        elif text != "vanish":
            await send.data(FrameKind.CHUNK, last_events(body))
            await send.end(Outcome.COMPLETED)

    def _name(self, name: str) -> str:
        return f"{self.row.prefix}{name}"


class Sender:
    """Frames of one task, numbered."""

    def __init__(self, client: redis.asyncio.Redis, stream: str, body: TaskBody) -> None:
        self._client = client
        self._stream = stream
        self._body = body
        self._seq = 0

    async def data(self, kind: FrameKind, data: bytes) -> None:
        await self._write(Frame(self._body.task, self._body.attempt, self._seq, kind, data))
        self._seq += 1

    async def error(self, error: TaskError) -> None:
        await self.data(FrameKind.ERROR, protocol.encode(error))

    async def end(self, outcome: Outcome) -> None:
        await self.one(FrameKind.END, self._seq, End(outcome, USAGE))

    async def one(self, kind: FrameKind, seq: int, message: object) -> None:
        await self._write(Frame(self._body.task, self._body.attempt, seq, kind, protocol.encode(message)))

    async def _write(self, frame: Frame) -> None:
        await self._client.xadd(
            self._stream, {protocol.FRAMES_FIELD: protocol.encode([frame])}, nomkstream=True
        )


async def pieces(text: str) -> AsyncIterator[str]:
    if text == "slow":
        for number in range(500):
            yield f"{number} "
            await asyncio.sleep(0.02)
    elif text == "flood":
        while True:
            yield "x" * 16384
            await asyncio.sleep(0)
    else:
        for word in text.split()[:2] if text in {"break", "vanish"} else text.split():
            yield word
        if text in {"break", "vanish"}:
            yield "half"


def asked(body: TaskBody) -> str:
    request = json.loads(body.request)
    if "prompt" in request:
        return str(request["prompt"])
    content = request["messages"][-1]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def event(body: TaskBody, text: str, finish: str | None = None) -> bytes:
    is_chat = body.endpoint == protocol.Endpoint.CHAT
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish, "logprobs": None}
    choice |= {"delta": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    chunk = {**_head(body, "chat.completion.chunk" if is_chat else "text_completion"), "choices": [choice]}
    return b"data: " + json.dumps(chunk | ({"usage": None} if body.include_usage else {})).encode() + b"\n\n"


def last_events(body: TaskBody) -> bytes:
    events = event(body, "", "stop")
    if body.include_usage:
        chunk = {**_head(body, "chat.completion.chunk"), "choices": [], "usage": _usage()}
        events += b"data: " + json.dumps(chunk).encode() + b"\n\n"
    return events + b"data: [DONE]\n\n"


def whole(body: TaskBody, text: str) -> bytes:
    is_chat = body.endpoint == protocol.Endpoint.CHAT
    choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
    choice |= {"message": {"role": "assistant", "content": text}} if is_chat else {"text": text}
    answer = {
        **_head(body, "chat.completion" if is_chat else "text_completion"),
        "choices": [choice],
        "usage": _usage(),
    }
    return json.dumps(answer).encode()


def _head(body: TaskBody, kind: str) -> dict[str, Any]:
    return {"id": body.answer_id, "object": kind, "created": body.created_s, "model": body.model}


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
