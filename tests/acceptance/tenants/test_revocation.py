"""A revoked key is refused by every queen process within a second, its answers that are under way end within two, and
with Redis away it takes five at most.

A real colony with three queen processes. Requests are sent to each of them all the time while keys are revoked. The check
is shown to find a process that remembers who called and is told of nothing, and one that never looks at what runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.figures import note, scaled
from tests.acceptance.tenants.planted import bug_in, queen
from tests.system import JoinedHive, System, running

PROCESSES = 3
KEYS = scaled(300, least=12)
KEYS_WITH_STREAMS = scaled(100, least=4)
KEYS_WITHOUT_REDIS = scaled(50, least=4)
AT_ONCE = 4
ASKED_EVERY_S = 0.01
REFUSED_S = 1.0
CUT_S = 2.0
REFUSED_WITHOUT_REDIS_S = 5.0
GIVEN_UP_S = 12.0

# A queen that remembers for long and listens to nobody, and lets everything run that began.
DEAF = bug_in(
    "tenants.domain.authentication",
    "module.CallerCache.handle = lambda *_: None; module.REMEMBERED_S = 60.0",
) + bug_in(
    "inference.domain.revocations",
    "module.Revocations.handle = lambda *_: None; module.LOOK_INTERVAL_S = 600",
)


@pytest.fixture(scope="module")
def colony() -> Iterator[System]:
    with running(business=True, arguments=["--no-hive"]) as system:
        hive = JoinedHive(system, "echoes", region="EU")
        try:
            until(lambda: any(row["name"] == "echoes" for row in system.run_json("hive", "list")))
            system.run(
                "model", "add", "echo:", "--name", "echo", "--engine", "echo", "--hive", "echoes", "--free",
                "--option", "delay_ms=100", "--option", "tokens=600", "--option", "slots=64",
            )  # fmt: skip
            system.run("tenant", "create", "acme", "--plan", "enterprise")
            yield system
        finally:
            hive.stop()


@pytest.mark.timeout(1200)
def test_revoked_key_is_refused_everywhere_and_its_streams_are_cut(colony: System, tmp_path: Path) -> None:
    with processes(colony, tmp_path) as ports:
        waits, cuts = asyncio.run(measured(colony, ports))
    note("keys revoked", KEYS)
    note("revocation latency p99", f"{p99(waits) * 1000:.0f} ms")
    note("streams cut", f"{len(cuts)}, the last after {max(cuts) * 1000:.0f} ms")
    assert p99(waits) <= REFUSED_S
    assert max(cuts) <= CUT_S


@pytest.mark.timeout(600)
def test_revoked_key_is_refused_while_redis_is_away(colony: System, tmp_path: Path) -> None:
    """Away is worse than dead: nobody's connection breaks."""
    with processes(colony, tmp_path) as ports:
        with silent_redis(colony):
            silent = asyncio.run(revocations(colony, ports, KEYS_WITHOUT_REDIS, from_call=True))
        until(lambda: all(is_served(port) for port in ports))
        colony.children("redis-server")[0].kill()
        dead = asyncio.run(revocations(colony, ports, KEYS_WITHOUT_REDIS, from_call=True))
        until(lambda: all(is_served(port) for port in ports))
    note("revocation latency with a silent Redis", f"{max(silent):.2f} s at most")
    note("revocation latency with a killed Redis", f"{max(dead):.2f} s at most")
    assert max(silent) <= REFUSED_WITHOUT_REDIS_S
    assert max(dead) <= REFUSED_WITHOUT_REDIS_S


@pytest.mark.timeout(600)
def test_the_check_finds_a_process_that_is_told_of_nothing(colony: System, tmp_path: Path) -> None:
    with queen(colony, tmp_path, DEAF) as port:
        waits = asyncio.run(revocations(colony, [port], AT_ONCE))
        cuts = asyncio.run(cut_streams(colony, [port], 1))
    note("revocation latency of the planted bug", f"{p99(waits):.1f} s and more")
    assert p99(waits) > REFUSED_WITHOUT_REDIS_S
    assert max(cuts) > CUT_S


async def measured(colony: System, ports: Sequence[int]) -> tuple[list[float], list[float]]:
    return await revocations(colony, ports, KEYS), await cut_streams(colony, ports, KEYS_WITH_STREAMS)


async def revocations(
    colony: System, ports: Sequence[int], count: int, *, from_call: bool = False
) -> list[float]:
    """By key and process: seconds from the answer to the revocation, or from its call, to the last request that got in."""
    places = asyncio.Semaphore(AT_ONCE)
    async with clients(colony, ports) as (operator, asked):

        async def one() -> list[float]:
            async with places:
                key = await make_key(operator)
                last_in = [0.0] * len(ports)
                asking = [
                    asyncio.create_task(ask_until_refused(client, key["key"], last_in, at))
                    for at, client in enumerate(asked)
                ]
                while not all(last_in):  # each process remembers it
                    await asyncio.sleep(ASKED_EVERY_S)
                called = time.monotonic()
                await revoke(operator, key)
                revoked = called if from_call else time.monotonic()
                await asyncio.gather(*asking)
                return [max(0.0, at - revoked) for at in last_in]

        return [wait for waits in await asyncio.gather(*(one() for _ in range(count))) for wait in waits]


async def ask_until_refused(client: httpx.AsyncClient, key: str, last_in: list[float], at: int) -> None:
    """Sets when the last request that got in was sent."""
    headers = {"authorization": f"Bearer {key}"}
    gives_up = 0.0
    while not gives_up or time.monotonic() < gives_up:
        sent = time.monotonic()
        status = (await client.get("/v1/models", headers=headers)).status_code
        if status == 401:
            return
        assert status == 200
        last_in[at] = sent
        gives_up = gives_up or sent + GIVEN_UP_S
        await asyncio.sleep(ASKED_EVERY_S)


async def cut_streams(colony: System, ports: Sequence[int], count: int) -> list[float]:
    """By key and process: seconds from the answer to the revocation to the end of a stream."""
    places = asyncio.Semaphore(AT_ONCE)
    async with clients(colony, ports) as (operator, asked):

        async def one() -> list[float]:
            async with places:
                key = await make_key(operator)
                streams = [Stream(client, key["key"]) for client in asked]
                await asyncio.gather(*(stream.began.wait() for stream in streams))
                await revoke(operator, key)
                revoked = time.monotonic()
                await asyncio.gather(*(stream.reading for stream in streams))
                for stream in streams:
                    assert not stream.is_cut or stream.failure["code"] == "invalid_api_key"
                return [stream.ended_at - revoked for stream in streams]

        return [cut for cuts in await asyncio.gather(*(one() for _ in range(count))) for cut in cuts]


class Stream:
    def __init__(self, client: httpx.AsyncClient, key: str) -> None:
        self.began = asyncio.Event()
        self.lines: list[str] = []
        self.ended_at = 0.0
        self.is_cut = False
        self.reading = asyncio.create_task(self._read(client, key))

    async def _read(self, client: httpx.AsyncClient, key: str) -> None:
        body = {
            "model": "echo",
            "stream": True,
            "max_tokens": 600,
            "messages": [{"role": "user", "content": "x"}],
        }
        headers = {"authorization": f"Bearer {key}"}
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(GIVEN_UP_S),
                client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer,
            ):
                assert answer.status_code == 200, await answer.aread()
                async for line in answer.aiter_lines():
                    self.began.set()
                    if line:
                        self.lines.append(line)
            self.is_cut = True
        self.ended_at = time.monotonic()

    @property
    def failure(self) -> dict[str, Any]:
        assert self.lines[-1] == "data: [DONE]"
        failure: dict[str, Any] = json.loads(self.lines[-2].removeprefix("data: "))["error"]
        return failure


@asynccontextmanager
async def clients(
    colony: System, ports: Sequence[int]
) -> AsyncIterator[tuple[httpx.AsyncClient, list[httpx.AsyncClient]]]:
    async with contextlib.AsyncExitStack() as stack:
        operator = httpx.AsyncClient(
            base_url=f"{colony.url}/api/v1/",
            headers={"authorization": f"Bearer {colony.operator_key}"},
            timeout=60,
        )
        asked = [httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) for port in ports]
        for client in (operator, *asked):
            await stack.enter_async_context(client)
        yield operator, asked


@contextlib.contextmanager
def processes(colony: System, folder: Path) -> Iterator[list[int]]:
    """Ports of queen processes of one colony."""
    with ExitStack() as stack:
        ports = [colony.port]
        for number in range(1, PROCESSES):
            (folder / str(number)).mkdir()
            ports.append(stack.enter_context(queen(colony, folder / str(number))))
        yield ports


@contextlib.contextmanager
def silent_redis(colony: System) -> Iterator[None]:
    redis = colony.children("redis-server")[0]
    redis.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        redis.send_signal(signal.SIGCONT)


async def make_key(operator: httpx.AsyncClient) -> dict[str, Any]:
    made = await operator.post("keys", json={"tenant": "acme", "name": "short-lived"})
    assert made.status_code == 201, made.text
    key: dict[str, Any] = made.json()
    return key


async def revoke(operator: httpx.AsyncClient, key: dict[str, Any]) -> None:
    assert (await operator.delete(f"keys/{key['kid']}")).status_code == 200


def is_served(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200


def p99(seconds: list[float]) -> float:
    return sorted(seconds)[math.ceil(0.99 * len(seconds)) - 1]


def until(probe: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
