"""One HTTP request and its answer, with no more around them than the ASGI messages themselves."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final

from inference.api import errors
from inference.domain.failures import TaskFailed
from inference.domain.refusals import Refused
from tenants.domain.authentication import Caller

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

MAX_BODY_BYTES: Final = 32 << 20
UPLOAD_TIMEOUT_S: Final = 60.0
CLIENT_ID: Final = re.compile(r"(req_)?[0-9a-fA-F-]{16,64}")

JSON: Final = (b"content-type", b"application/json")
SSE: Final = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
API_VERSION: Final = (b"openai-version", b"2020-10-01")


class ClientGone(Exception):
    """The client closed its connection; nobody is left to answer."""


class Exchange:
    """`headers` has the last value of each name. `answer_headers` go out with whatever answer is sent."""

    __slots__ = (
        "_receive", "_send", "answer_headers", "began", "caller", "headers", "is_broken", "refusal", "request_id",
        "scope", "started", "task_id",
    )  # fmt: skip

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.began = time.perf_counter()
        self.request_id = f"req_{secrets.token_hex(16)}"
        self.answer_headers: list[Header] = []
        self.caller: Caller | None = None  # None: not known yet, or nobody
        self.task_id = ""
        self.refusal: Refused | TaskFailed | None = None
        self.started = False  # the head of the answer has left
        self.is_broken = False  # the answer ended with an error after its head had left

    @property
    def method(self) -> str:
        method: str = self.scope["method"]
        return "GET" if method == "HEAD" else method

    @property
    def path(self) -> str:
        path: str = self.scope["path"]
        return path

    @property
    def peer_ip(self) -> str | None:
        client = self.scope.get("client")
        return client[0] if client else None

    @property
    def client_request_id(self) -> str:
        """What the client calls this request: `X-Client-Request-Id`, if a program made it. Anything else may be what somebody
        wrote, which no log keeps."""
        text = self.headers.get(b"x-client-request-id", b"").decode("ascii", "replace")
        return text if CLIENT_ID.fullmatch(text) else ""

    def header(self, name: bytes) -> str:
        value = self.headers.get(name)
        return value.decode("latin-1").strip() if value is not None else ""

    async def read_body(self, limit_bytes: int = MAX_BODY_BYTES) -> bytes:
        """Raises Refused and ClientGone."""
        if self.headers.get(b"content-encoding", b"identity").lower() not in {b"identity", b""}:
            raise errors.unsupported_encoding()
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length[:20]) > limit_bytes:
            raise errors.too_large(limit_bytes)
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            return await self._read_rest(body, limit_bytes)
        return body

    async def _read_rest(self, body: bytes, limit_bytes: int) -> bytes:
        pieces, size, more = [body], len(body), True
        try:
            async with asyncio.timeout(UPLOAD_TIMEOUT_S):
                while more:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    more = message.get("more_body", False)
                    if size > limit_bytes:
                        raise errors.too_large(limit_bytes)
        except TimeoutError:
            raise errors.upload_stalled() from None
        return b"".join(pieces)

    def put_between(self, send: Send) -> Send:
        """From here on messages go to `send`, which has what is returned to pass them on, and the client is taken to
        stay: what it asked for is finished without it."""
        sends_before, self._send = self._send, send
        self._receive = _never
        return sends_before

    def listen(self, hear: Callable[[bytes], None]) -> None:
        """`hear` gets each piece of the answer's body before it is sent."""
        send = self._send

        async def send_and_tell(message: Message) -> None:
            if message["type"] == "http.response.body":
                hear(message.get("body", b""))
            await send(message)

        self._send = send_and_tell

    async def wait_until_gone(self) -> None:
        """Returns when the client has closed its connection. For when the body has been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        self.started = True
        took_ms = round((time.perf_counter() - self.began) * 1000)
        await self._send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    *headers,
                    (b"x-request-id", self.request_id.encode()),
                    (b"openai-processing-ms", b"%d" % took_ms),
                    API_VERSION,
                    *self.answer_headers,
                ],
            }
        )

    async def write(self, body: bytes, *, is_last: bool = False) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": not is_last})

    async def respond(self, body: bytes, *, status: int = 200, headers: Iterable[Header] = (JSON,)) -> None:
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.write(body, is_last=True)

    async def refuse(self, refusal: Refused | TaskFailed) -> None:
        self.refusal = refusal
        body = errors.envelope(refusal.message, refusal.type, refusal.code, refusal.param)
        named = [
            (name.encode(), value.encode("latin-1", "replace")) for name, value in refusal.headers.items()
        ]
        await self.respond(body, status=refusal.status, headers=[JSON, *named])


async def _never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError
