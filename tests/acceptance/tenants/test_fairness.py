"""A tenant that asks for fifty times what it may does not slow the others down, and costs them no 429.

A real colony in business mode, with an echo engine of a few slots. The quiet tenants ask at their pace, first by
themselves, then beside one that asks as fast as it can. Two things are looked at: how many of the greedy tenant's tasks
were answered while a quiet one waited, which no other load on the machine changes, and, on a machine that does nothing else,
how long that took. The check is shown to fail on a line that is served in the order of arrival.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.acceptance.figures import SCALE, note, scaled
from tests.acceptance.tenants.planted import bug_in, queen
from tests.system import JoinedHive, System, running

SLOTS = 16
TOKENS = 20
PACE_MS = 20
QUIET_TENANTS = 4
QUIET_EVERY_S = 2.0
GREEDY_PER_MINUTE = 300  # what it may
GREEDY_TIMES = 50 if SCALE >= 1 else 10  # as much it asks for; fifty times keep a whole machine busy
GREEDY_PER_S = GREEDY_TIMES * GREEDY_PER_MINUTE / 60
GREEDY_CONNECTIONS = 400
# The rate is what keeps it back, not the number of its tasks.
LIMITS = "UPDATE tenants_tenant SET requests_per_minute = %s, concurrent_tasks = 100000 WHERE slug = %s"
ALLOWED_RATIO = 1.5
# Of the greedy tenant's answers while a quiet one waits: what runs when it comes, what runs beside it, and as many to spare.
ALLOWED_BEFORE = 4 * SLOTS

# A queen whose lines are served in the order of arrival.
FIFO = bug_in(
    "inference.domain.fair_queue",
    """
module.FairQueue.in_turn = lambda queue: iter(sorted(
    (w for tenant in queue._tenants.values() for line in tenant.by_rank for w in line), key=lambda w: w.number))
module.FairQueue.__init__.__kwdefaults__.update(tenant_tokens=10**9, all_tokens=10**9)
""",
)


@dataclass
class Seen:
    asked: list[tuple[float, float]] = field(default_factory=list)  # when, and when it was answered
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def p99_s(self) -> float:
        took_s = sorted(answered - asked for asked, answered in self.asked)
        return took_s[math.ceil(0.99 * len(took_s)) - 1]


@dataclass
class Figures:
    alone: Seen
    beside: Seen
    greedy: Counter[int]  # statuses
    served: list[float]  # when the greedy tenant had its answers

    @property
    def ratio(self) -> float:
        return self.beside.p99_s / self.alone.p99_s

    @property
    def most_before(self) -> int:
        """Answers of the greedy tenant while one of the quiet waited for its own."""
        return max(
            bisect_left(self.served, answered) - bisect_left(self.served, asked)
            for asked, answered in self.beside.asked
        )


@pytest.fixture
def business() -> Iterator[System]:
    with running(business=True, arguments=["--no-hive"]) as system:
        yield system


@pytest.mark.timeout(1200)
def test_a_greedy_tenant_changes_little_for_the_others(business: System) -> None:
    figures = measured(business)
    note("p99 of quiet tenants alone", f"{figures.alone.p99_s * 1000:.0f} ms")
    note("p99 of quiet tenants beside a greedy one", f"{figures.beside.p99_s * 1000:.0f} ms")
    note("fairness ratio", f"{figures.ratio:.2f}")
    note("most tasks of the greedy tenant that a quiet one waited for", figures.most_before)
    note("what the greedy tenant saw", dict(sorted(figures.greedy.items())))
    assert set(figures.alone.statuses) == set(figures.beside.statuses) == {200}
    assert figures.greedy[429] > 0  # it is over its limits indeed
    assert figures.most_before <= ALLOWED_BEFORE
    assert SCALE < 1 or figures.ratio <= ALLOWED_RATIO


@pytest.mark.timeout(1200)
def test_the_check_finds_a_line_in_the_order_of_arrival(business: System, tmp_path: Path) -> None:
    with queen(business, tmp_path, FIFO) as port:
        figures = measured(business, seconds=10, port=port)
    note("fairness ratio of the planted bug", f"{figures.ratio:.2f}")
    assert figures.most_before > ALLOWED_BEFORE
    assert SCALE < 1 or figures.ratio > ALLOWED_RATIO


def measured(system: System, *, seconds: int | None = None, port: int | None = None) -> Figures:
    seconds = seconds or scaled(300, least=20)
    hive = JoinedHive(system, "echoes", region="EU")
    try:
        until(lambda: any(row["name"] == "echoes" for row in system.run_json("hive", "list")))
        system.run(
            "model", "add", "echo:", "--name", "echo", "--engine", "echo", "--hive", "echoes", "--free",
            "--option", f"delay_ms={PACE_MS}", "--option", f"slots={SLOTS}",
        )  # fmt: skip
        quiet = [key_of(system, f"quiet-{number}") for number in range(QUIET_TENANTS)]
        greedy = key_of(system, "greedy")
        with psycopg.connect(system.children("uvicorn")[0].environ()["RBEE_DATABASE_URL"]) as connection:
            connection.execute("SET ROLE rbee_colony")
            connection.execute(LIMITS, [GREEDY_PER_MINUTE, "greedy"])
        return asyncio.run(measure(port or system.port, quiet, greedy, seconds))
    finally:
        hive.stop()


async def measure(port: int, quiet: list[str], greedy: str, seconds: int) -> Figures:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        await ask_for(client, quiet, 2)  # connections, caches
        alone = await ask_for(client, quiet, seconds)
        with multiprocessing.get_context("spawn").Pool(1) as flooder:
            flood = flooder.apply_async(flood_in_process, (port, greedy, seconds + 4))
            await asyncio.sleep(2)  # the line is there
            beside = await ask_for(client, quiet, seconds)
            greedy, served = await asyncio.to_thread(flood.get, 120)
    return Figures(alone, beside, greedy, served)


async def ask_for(client: httpx.AsyncClient, keys: list[str], seconds: float) -> Seen:
    """Each at its pace, whether or not what was asked before has its answer."""
    seen, ends = Seen(), time.monotonic() + seconds

    async def pace(key: str, at: float) -> None:
        async with asyncio.TaskGroup() as asked:
            while at < ends:
                await asyncio.sleep(at - time.monotonic())
                asked.create_task(ask(client, key, seen))
                at += QUIET_EVERY_S

    began = time.monotonic()
    await asyncio.gather(*(pace(key, began + at * QUIET_EVERY_S / len(keys)) for at, key in enumerate(keys)))
    return seen


def flood_in_process(port: int, key: str, seconds: float) -> tuple[Counter[int], list[float]]:
    return asyncio.run(flood(port, key, time.monotonic() + seconds))


async def flood(port: int, key: str, ends: float) -> tuple[Counter[int], list[float]]:
    """So many requests a second as connections are free for, with as little work as possible: the statuses, and when it was
    served."""
    seen: Counter[int] = Counter()
    served: list[float] = []
    # Of different lengths, so that slots do not become free all at once.
    bodies = [json.dumps(request(tokens)).encode() for tokens in range(5, 2 * TOKENS - 5)]
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
    began, sent = time.monotonic(), 0

    async def connection() -> None:
        nonlocal sent
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (now := time.monotonic()) < ends:
            if sent > (now - began) * GREEDY_PER_S:
                await asyncio.sleep(0.02)
                continue
            sent += 1
            body = bodies[sent % len(bodies)]
            writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(answer.lower().split(b"content-length: ")[1].split(b"\r")[0]))
            seen[status := int(answer[9:12])] += 1
            if status == 200:
                served.append(time.monotonic())
        writer.close()

    await asyncio.gather(*(connection() for _ in range(GREEDY_CONNECTIONS)))
    return seen, served


def request(tokens: int = TOKENS) -> dict[str, object]:
    content = "token " * tokens
    return {"model": "echo", "max_tokens": tokens, "messages": [{"role": "user", "content": content}]}


async def ask(client: httpx.AsyncClient, key: str, seen: Seen) -> None:
    began = time.monotonic()
    answer = await client.post(
        "/v1/chat/completions",
        headers={"authorization": f"Bearer {key}"},
        json=request(),
    )
    seen.statuses[answer.status_code] += 1
    if answer.status_code == 200:
        seen.asked.append((began, time.monotonic()))


def key_of(system: System, tenant: str) -> str:
    system.run("tenant", "create", tenant, "--plan", "pro")
    return str(system.run_json("key", "create", "--tenant", tenant, "--name", "load")["key"])


def until(probe: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
