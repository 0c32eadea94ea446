"""What stands between rbee and a stand-in for Stripe: it adds what Stripe documents and the stand-in lacks, and it fails in the
ways in which networks do.

Added: idempotency keys (the first answer again; another body is refused), which are forgotten when a test says so; lists
filtered by customer; usage of meters counted once for each identifier, after stripe-mock has checked the request.

Faults are asked for by a list of names, one for each request that changes something: `429`, `500` (it did not happen),
`lost` (it happened, and nobody is told). `is_down`: nothing is answered.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx
from aiohttp import web

from tests.system import free_port

HOP = {"content-length", "transfer-encoding", "connection", "content-encoding", "host"}


@dataclass
class Proxy:
    url: str
    target: str
    mock: str = ""  # stripe-mock, for what the target does not have
    faults: Iterator[str] = field(default_factory=lambda: iter(()))
    is_down: bool = False
    keys: dict[str, tuple[bytes, int, bytes]] = field(default_factory=dict)
    made: Counter[str] = field(default_factory=Counter)  # what really happened, by path
    seen: Counter[str] = field(default_factory=Counter)  # outcomes of requests that change something
    usage: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)  # by customer and minute
    ages: list[float] = field(default_factory=list)  # of usage, in days, when it was told
    change: Callable[[str, bytes], bytes] = lambda path, body: (
        body
    )  # of what a stand-in takes in another form
    amend: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda path, answer: answer

    def forget_keys(self) -> None:
        """As Stripe may after 24 hours."""
        self.keys.clear()

    def counted(self) -> int:
        return sum(sum(one.values()) for one in self.usage.values())

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.is_down:
            return self._hang_up(request)
        body = await request.read()
        if request.method != "POST":
            return self._answer(*await self._read(request))
        key = request.headers.get("Idempotency-Key", "")
        known = self.keys.get(key) if key else None
        if known is not None:
            if known[0] != body:
                error = {
                    "type": "idempotency_error",
                    "message": "Keys for idempotent requests are for one body.",
                }
                return self._answer(400, json.dumps({"error": error}).encode())
            self.seen["repeated"] += 1
            return self._answer(known[1], known[2])
        fault = next(self.faults, "")
        self.seen[fault or "ok"] += 1
        if fault == "429":
            return self._answer(
                429,
                b'{"error": {"type": "rate_limit_error", "message": "slow down"}}',
                **{"Retry-After": "1"},
            )
        if fault == "500":
            return self._answer(500, b'{"error": {"type": "api_error", "message": "broken"}}')
        status, answer = await self._change(request, body)
        if status < 300:
            self.made[request.path] += 1
        if key and status < 500:
            self.keys[key] = (body, status, answer)
        return self._hang_up(request) if fault == "lost" else self._answer(status, answer)

    async def _change(self, request: web.Request, body: bytes) -> tuple[int, bytes]:
        if request.path != "/v1/billing/meter_events":
            return await self._forward(request, self.target, self.change(request.path, body))
        status, answer = await self._forward(request, self.mock, body)
        if status < 300:
            said = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            minute = int(said["timestamp"]) // 60 * 60
            counted = self.usage.setdefault((said["payload[stripe_customer_id]"], minute), {})
            if said["identifier"] in counted:
                error = {"type": "invalid_request_error",
                         "message": f"An event already exists with identifier {said['identifier']}."}  # fmt: skip
                return 400, json.dumps({"error": error}).encode()
            counted[said["identifier"]] = int(said["payload[value]"])
        return status, answer

    async def _read(self, request: web.Request) -> tuple[int, bytes]:
        if request.path.endswith("/event_summaries"):
            status, answer = await self._forward(request, self.mock)
            found = json.loads(answer)
            counted = self.usage.get((request.query["customer"], int(request.query["start_time"])), {})
            found["data"] = (
                [{**found["data"][0], "aggregated_value": sum(counted.values())}] if counted else []
            )
            return status, json.dumps(found).encode()
        status, answer = await self._forward(request, self.target)
        if status >= 300:
            return status, answer
        return status, json.dumps(self.amend(request.path, json.loads(answer))).encode()

    async def _forward(self, request: web.Request, to: str, body: bytes = b"") -> tuple[int, bytes]:
        query = dict(request.query)
        wanted = (
            query.pop("customer", "") if request.path == "/v1/payment_intents" and to == self.target else ""
        )
        if wanted:
            query = {}
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP}
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.request(
                request.method, f"{to}{request.path}", params=query, content=body, headers=headers
            )
            content = answer.content
            if wanted:
                content = json.dumps(
                    await self._all_of(client, wanted, f"{to}{request.path}", headers)
                ).encode()
        return answer.status_code, content

    @staticmethod
    async def _all_of(
        client: httpx.AsyncClient, wanted: str, url: str, headers: dict[str, str]
    ) -> dict[str, Any]:
        rows: list[Any] = []
        while True:
            query = {"limit": "100", **({"starting_after": rows[-1]["id"]} if rows else {})}
            page = (await client.get(url, params=query, headers=headers)).json()
            rows += page["data"]
            if not page["has_more"]:
                return {
                    "object": "list",
                    "has_more": False,
                    "data": [r for r in rows if r["customer"] == wanted],
                }

    @staticmethod
    def _answer(status: int, body: bytes, **headers: str) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)

    @staticmethod
    def _hang_up(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.close()
        return web.Response(status=500)


@contextmanager
def proxy_to(target: str, **fields: Any) -> Iterator[Proxy]:
    port = free_port()
    proxy = Proxy(url=f"http://127.0.0.1:{port}", target=target, **fields)
    loop, ready = asyncio.new_event_loop(), threading.Event()

    async def serve() -> web.AppRunner:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
