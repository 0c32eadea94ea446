"""What stands between the server and the applications: which paths each takes, and when it starts and ends."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

Scope = Any  # a dictionary; servers and Django call its type by different names
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LANE_PREFIXES = ("/v1/", "/openai/v1/")
ORGANIZATION_PREFIXES = (
    "/v1/organization/",
    "/openai/v1/organization/",
)  # OpenAI's administration, by Django
ASSETS_PREFIX = "/static/"
LANE_PATHS = frozenset({"/v1", "/openai/v1", "/openapi.json", "/hive/v1/receipts", "/healthz", "/readyz"})

logger = logging.getLogger(__name__)


class HasLife(Protocol):
    async def startup(self) -> None: ...
    async def shutdown(self) -> None: ...


class Gate(Protocol):
    is_shut: bool

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]: ...
    def lets_through(self, path: str) -> bool: ...


class Front:
    """Returns the application's awaitable as it is: one frame fewer on each of its steps. `gate` answers in place of all of
    them while it is shut."""

    def __init__(
        self, lane: Application, django: Application, assets: Application, gate: Gate | None = None
    ) -> None:
        self.lane = lane
        self.django = django
        self.assets = assets
        self.gate = gate

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        path: str = scope["path"]
        gate = self.gate
        if gate is not None and gate.is_shut and not gate.lets_through(path):
            return gate(scope, receive, send)
        if (
            path.startswith(LANE_PREFIXES) and not path.startswith(ORGANIZATION_PREFIXES)
        ) or path in LANE_PATHS:
            return self.lane(scope, receive, send)
        if path.startswith(ASSETS_PREFIX):
            return self.assets(scope, receive, send)
        return self.django(scope, receive, send)


class Lifespan:
    """The server serves nothing until `startup` is done, and waits for `shutdown`."""

    def __init__(self, *parts: HasLife) -> None:
        self.parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        started: list[HasLife] = []
        try:
            for part in self.parts:
                await part.startup()
                started.append(part)
        except Exception as error:
            # What is away is named below; where it was missed helps only who looks for a bug.
            logger.error("the queen cannot start", exc_info=logger.isEnabledFor(logging.DEBUG))
            await _shut_down(started)
            await send({"type": "lifespan.startup.failed", "message": f"{type(error).__name__}: {error}"})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await _shut_down(started)
        await send({"type": "lifespan.shutdown.complete"})


async def _shut_down(parts: list[HasLife]) -> None:
    for part in reversed(parts):
        await part.shutdown()


async def refuse_websocket(scope: Scope, receive: Receive, send: Send) -> None:
    """Before it is accepted, which a server answers with 403."""
    await receive()
    await send({"type": "websocket.close"})
