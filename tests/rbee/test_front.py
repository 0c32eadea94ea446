from collections.abc import MutableMapping
from typing import Any

import pytest

from rbee.front import Front, Lifespan, refuse_websocket


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"served by": self.name})


class Part:
    def __init__(self, log: list[str], name: str, *, fails: bool = False) -> None:
        self.log, self.name, self.fails = log, name, fails

    async def startup(self) -> None:
        if self.fails:
            raise ConnectionError("Redis is away")
        self.log.append(f"{self.name} up")

    async def shutdown(self) -> None:
        self.log.append(f"{self.name} down")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "lane"),
        ("/v1/nothing", "lane"),
        ("/v1", "lane"),
        ("/openai/v1/models", "lane"),
        ("/openapi.json", "lane"),
        ("/hive/v1/receipts", "lane"),
        ("/healthz", "lane"),
        ("/readyz", "lane"),
        ("/v1/organizations", "lane"),
        ("/v1/organization/projects", "django"),
        ("/openai/v1/organization/costs", "django"),
        ("/hive/v1/join", "django"),
        ("/api/v1/status", "django"),
        ("/", "django"),
        ("/v10/models", "django"),
        ("/static/rbee/rbee.css", "assets"),
        ("/static", "django"),
        ("/v1/static/x", "lane"),
    ],
)
async def test_path_is_served_by(path: str, name: str) -> None:
    sent = await drive(Front(Named("lane"), Named("django"), Named("assets")), {"type": "http", "path": path})

    assert sent == [{"served by": name}]


async def test_parts_start_in_order_and_end_in_reverse() -> None:
    log: list[str] = []

    sent = await drive(Lifespan(Part(log, "a"), Part(log, "b")), {"type": "lifespan"})

    assert log == ["a up", "b up", "b down", "a down"]
    assert sent == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]


async def test_part_that_cannot_start_fails_the_start() -> None:
    log: list[str] = []

    sent = await drive(Lifespan(Part(log, "a"), Part(log, "b", fails=True)), {"type": "lifespan"})

    assert sent == [{"type": "lifespan.startup.failed", "message": "ConnectionError: Redis is away"}]
    assert log == ["a up", "a down"]


async def test_websockets_are_refused() -> None:
    assert await drive(refuse_websocket, {"type": "websocket"}) == [{"type": "websocket.close"}]


async def drive(application: Any, scope: MutableMapping[str, Any]) -> list[MutableMapping[str, Any]]:
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "next"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return sent
