"""No limit is passed, whoever asks from wherever at once, across the edges of windows and the loss of Redis; and nothing
is refused that has room.

A real colony with two queen processes. Many threads of many processes ask at the same moment. The check is shown to find
a limit that each process keeps for itself.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psycopg
import pytest
import redis

from tests.acceptance.figures import note, scaled
from tests.acceptance.tenants.planted import bug_in, queen
from tests.system import JoinedHive, System, running

PROCESSES = scaled(8, least=2)
THREADS = scaled(64, least=16)
A_MINUTE = scaled(100, least=9)
A_DAY = scaled(150, least=13)
AT_ONCE = scaled(20, least=3)
REBUILT_S = 5
NO_RATES = """
    UPDATE tenants_tenant SET requests_per_minute = 10000000, tokens_per_minute = 2000000000,
           tokens_per_day = 1000000000000, concurrent_tasks = 100000
"""
PER_PROCESS = bug_in(
    "inference.domain.limits",
    """
import os
right = module.limits_of
module.limits_of = lambda *args, **named: [
    limit._replace(key=f"{limit.key}:{os.getpid()}") for limit in right(*args, **named)]
""",
)


class Volley(NamedTuple):
    """One process's part: so many threads, each with a port and a key of those given, ask from `at` on, once or until."""

    ports: Sequence[int]
    keys: Sequence[str]
    model: str
    at: float
    until: float
    seed: int


@dataclass
class Customers:
    minute: list[str]
    day: list[str]
    at_once: list[str]
    free: list[str]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        yield pool


@pytest.fixture
def business() -> Iterator[System]:
    with running(business=True, arguments=["--no-hive"]) as system:
        hive = JoinedHive(system, "echoes", region="EU")
        try:
            until(lambda: any(row["name"] == "echoes" for row in system.run_json("hive", "list")))
            for name, options in {"quick": ["tokens=2"], "slow": ["tokens=40", "delay_ms=100"]}.items():
                flags = [word for option in options for word in ("--option", option)]
                system.run("model", "add", "echo:", "--name", name, "--engine", "echo", "--hive", "echoes", "--free",
                           *flags)  # fmt: skip
            yield system
        finally:
            hive.stop()


@pytest.mark.timeout(1200)
def test_no_limit_is_passed_and_nothing_else_is_refused(business: System, pool: Pool, tmp_path: Path) -> None:
    with queen(business, tmp_path) as port:
        ports = [business.port, port]
        customers = make_customers(business)
        over = 0

        began = time.time()
        minute = fire(pool, ports, customers.minute, "quick")
        day = fire(pool, ports, customers.day, "quick")
        at_once = fire(pool, ports, customers.at_once, "slow")
        free = fire(pool, ports, customers.free, "quick")
        note("asked at once", PROCESSES * THREADS)
        assert (minute[200], day[200], at_once[200]) == (A_MINUTE, A_DAY, AT_ONCE)
        assert set(minute) == set(day) == set(at_once) == {200, 429}
        assert free == {200: PROCESSES * THREADS}

        lost_at = kill_redis(business)
        rebuilt_s = wait_until_served(ports, customers.free[0]) - lost_at
        note("seconds without service after Redis was lost", f"{rebuilt_s:.1f}")
        minute = fire(pool, ports, customers.minute, "quick")
        assert time.time() - began < 55, "this machine is too slow for a window of a minute"
        day = fire(pool, ports, customers.day, "quick")
        free = fire(pool, ports, customers.free, "quick")
        over += minute[200] + day[200]
        assert set(minute) == set(day) == {429}
        assert free == {200: PROCESSES * THREADS}

        edge = began + 60
        crossing = fire(pool, ports, customers.minute, "quick", at=edge - 1, until=edge + 4)
        over += crossing[200] - A_MINUTE
        assert crossing[200] == A_MINUTE
        assert set(crossing) == {200, 429}
        assert fire(pool, ports, customers.at_once, "slow")[200] == AT_ONCE

        note("over-admissions", over)
        assert rebuilt_s <= REBUILT_S + 1  # the process itself has to be started
        until(lambda: not leases(business), timeout_s=60)
        note("leases left", 0)


@pytest.mark.timeout(600)
def test_the_check_finds_a_limit_that_each_process_keeps(
    business: System, pool: Pool, tmp_path: Path
) -> None:
    with queen(business, tmp_path, PER_PROCESS) as port:
        customers = make_customers(business)
        minute = fire(pool, [business.port, port], customers.minute, "quick")
        note("over-admissions of the planted bug", minute[200] - A_MINUTE)
        assert minute[200] > A_MINUTE


def fire(
    pool: Pool, ports: Sequence[int], keys: Sequence[str], model: str, *, at: float = 0, until: float = 0
) -> Counter[int]:
    """What they were answered."""
    at = at or time.time() + 1
    volleys = [Volley(ports, keys, model, at, until, number) for number in range(PROCESSES)]
    seen: Counter[int] = Counter()
    for part in pool.map(fire_in_process, volleys, chunksize=1):
        seen += part
    return seen


def fire_in_process(volley: Volley) -> Counter[int]:
    seen: Counter[int] = Counter()
    barrier = threading.Barrier(THREADS)

    def ask(number: int) -> None:
        connection = http.client.HTTPConnection(
            "127.0.0.1", volley.ports[number % len(volley.ports)], timeout=60
        )
        connection.connect()
        key = volley.keys[(number + volley.seed) % len(volley.keys)]
        time.sleep(max(0.0, volley.at - time.time()))
        barrier.wait()
        while True:
            status = post(connection, key, volley.model)
            with barrier._cond:
                seen[status] += 1
            if time.time() >= volley.until:
                break
            time.sleep(0.1)
        connection.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return seen


def post(connection: http.client.HTTPConnection, key: str, model: str) -> int:
    body = {"model": model, "max_tokens": 40, "messages": [{"role": "user", "content": "x"}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def make_customers(system: System) -> Customers:
    """Each limit is at another level, and its keys are two wherever they share it."""
    keys = {name: [make_key(system, name, is_first=number == 0) for number in range(2)]
            for name in ("minute", "day", "at-once", "free")}  # fmt: skip
    with psycopg.connect(system.children("uvicorn")[0].environ()["RBEE_DATABASE_URL"]) as connection:
        connection.execute("SET ROLE rbee_colony")
        connection.execute(NO_RATES)
    system.run("limit", "set", "tenant", "minute", f"requests_per_minute={A_MINUTE}")
    project = next(row for row in projects(system) if row["tenant"] == "day")["id"]
    system.run("limit", "set", "project", project, f"requests_per_day={A_DAY}")
    one_key = keys["at-once"][0]
    system.run("limit", "set", "key", one_key["kid"], f"concurrent_tasks={AT_ONCE}")
    time.sleep(5.5)  # for as long as callers are remembered
    secrets = {name: [key["key"] for key in made] for name, made in keys.items()}
    return Customers(secrets["minute"], secrets["day"], secrets["at-once"][:1], secrets["free"])


def make_key(system: System, tenant: str, *, is_first: bool) -> Any:
    if is_first:
        system.run("tenant", "create", tenant, "--plan", "enterprise")
    return system.run_json("key", "create", "--tenant", tenant, "--name", "load")


def projects(system: System) -> list[Any]:
    headers = {"authorization": f"Bearer {system.operator_key}"}
    found: list[Any] = httpx.get(f"{system.url}/api/v1/projects", headers=headers, timeout=10).json()["data"]
    return found


def kill_redis(system: System) -> float:
    system.children("redis-server")[0].kill()
    return time.time()


def wait_until_served(ports: Sequence[int], key: str) -> float:
    """When each process serves again. Until then the answer is 503 with Retry-After."""
    for port in ports:
        deadline = time.time() + 30
        while True:
            answer = httpx.post(
                f"http://127.0.0.1:{port}/v1/chat/completions",
                headers={"authorization": f"Bearer {key}"},
                json={"model": "quick", "messages": [{"role": "user", "content": "x"}]},
                timeout=30,
            )
            if answer.status_code == 200:
                break
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text
            assert time.time() < deadline
            time.sleep(0.05)
    return time.time()


def leases(system: System) -> list[bytes]:
    with redis.Redis.from_url(system.children("uvicorn")[0].environ()["RBEE_REDIS_URL"]) as client:
        now_ms = int(time.time() * 1000)
        names: list[bytes] = client.keys("rbee:lim:*:tasks")
        return [name for name in names if client.zcount(name, now_ms, "+inf")]


def until(probe: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
