"""A customer's server that takes webhooks, in a thread of its own, and that can fail in every way that servers do.

The first part of a path says how it answers: /ok, /status/503, /stall, /gone, /redirect, /retry-after, /flaky (fails every
second time, from the first on), /once (fails the first time that it sees an id). What it accepted is in `got`, everything
that came in `seen`.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.system import free_port

STALL_S = 60


@dataclass(frozen=True)
class Request:
    path: str
    headers: dict[str, str]
    body: bytes
    at: float
    accepted: bool

    @property
    def id(self) -> str:
        return self.headers.get("webhook-id", "")

    @property
    def message(self) -> Any:
        return json.loads(self.body)


@dataclass
class Receiver:
    url: str
    delay_s: float = 0.0
    retry_after: str = "120"
    redirect_to: str = ""
    seen: list[Request] = field(default_factory=list)
    busy: Counter[str] = field(default_factory=Counter)
    most_busy: Counter[str] = field(default_factory=Counter)

    @property
    def got(self) -> list[Request]:
        return [request for request in self.seen if request.accepted]

    def ids(self, path: str = "") -> list[str]:
        return [request.id for request in self.got if request.path.startswith(path)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body, path = await request.read(), request.path
        status = self._status(path, request.headers.get("webhook-id", ""))
        self.busy[path] += 1
        self.most_busy[path] = max(self.most_busy[path], self.busy[path])
        try:
            await asyncio.sleep(STALL_S if path.startswith("/stall") else self.delay_s)
            response = self._answer(path, status)
        finally:
            self.busy[path] -= 1
            headers = {name.lower(): value for name, value in request.headers.items()}
            accepted = status < 300 and not path.startswith("/stall")
            self.seen.append(Request(path, headers, body, time.time(), accepted))
        return response

    def _status(self, path: str, message_id: str) -> int:
        kind, _, rest = path.strip("/").partition("/")
        if kind == "once":
            return (
                200
                if any(request.id == message_id and request.path == path for request in self.seen)
                else 500
            )
        if kind == "flaky":
            return 200 if sum(1 for request in self.seen if request.path == path) % 2 else 500
        known = {"gone": 410, "redirect": 302, "retry-after": 503}
        return int(rest) if kind == "status" else known.get(kind, 204 if kind == "ok" else 200)

    def _answer(self, path: str, status: int) -> web.Response:
        headers = {"location": self.redirect_to} if status == 302 else {}
        if path.startswith("/retry-after"):
            headers["retry-after"] = self.retry_after
        return web.Response(
            status=status, headers=headers, text="" if status == 204 else "said the receiver " * 200
        )


@contextmanager
def receiver(host: str = "127.0.0.1") -> Iterator[Receiver]:
    port = free_port()
    found = Receiver(f"http://{host}:{port}")
    loop = asyncio.new_event_loop()
    app = web.Application(client_max_size=2**20)
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, host, port, backlog=512).start()

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
