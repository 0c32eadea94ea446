"""A thousand requests at one moment, over two queen processes, on a balance that covers ten: ten are served, also when Redis
is killed meanwhile. The check is shown to find a queen that does not look at the money."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.acceptance.figures import note, scaled
from tests.acceptance.tenants.planted import bug_in, queen
from tests.system import ROOT, JoinedHive, System, running

REQUESTS = scaled(1000, least=120)
COVERED = 10
TOKENS = 10  # of each answer, a micro-unit each: what is held is what it costs
NO_RATES = """
    UPDATE tenants_tenant SET requests_per_minute = 10000000, tokens_per_minute = 2000000000,
           tokens_per_day = 1000000000000, concurrent_tasks = 100000
"""
PAY = """
import django; django.setup()
from billing.domain.accounts import change_account
from billing.domain.payments import give_credit
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx
from tenants.models import Tenant
with colony_tx("tests"):
    tenant = Tenant.objects.get(slug={tenant!r})
change_account(tenant.id, {{"mode": "prepaid"}}, actor=Actor.system("tests"))
give_credit(tenant.id, {amount}, reason="tests", actor=Actor.system("tests"))
"""
# What a tenant has, what is held of it, what tasks paid and what the operator bears.
BOOKS = """
    SELECT (SELECT coalesce(sum(balance_micros), 0) FROM billing_balance WHERE tenant_id = t.id),
           (SELECT coalesce(sum(reserved_micros), 0) FROM billing_balance WHERE tenant_id = t.id),
           (SELECT coalesce(sum(amount_micros), 0) FROM billing_ledgertransfer WHERE tenant_id = t.id AND kind = 'task'),
           (SELECT coalesce(sum(amount_micros), 0) FROM billing_ledgertransfer
            WHERE tenant_id = t.id AND kind = 'late_usage'),
           (SELECT count(*) FROM billing_usageevent WHERE tenant_id = t.id)
    FROM tenants_tenant t WHERE slug = %s
"""
MONEY_IS_NOT_LOOKED_AT = bug_in(
    "inference.transport.scripts",
    """
import hashlib
script = module.RESERVE_DISPATCH
script.text = script.text.replace(b"if used < amount then", b"if false then")
script.sha1 = hashlib.sha1(script.text, usedforsecurity=False).hexdigest().encode()
""",
)


@pytest.fixture(scope="module")
def business() -> Iterator[System]:
    with running(business=True, arguments=["--no-hive"]) as system:
        hive = JoinedHive(system, "echoes")
        try:
            until(lambda: "echoes" in system.run("hive", "list").stdout)
            for name, delay in (("brief", "0"), ("long", "100")):
                system.run("model", "add", "echo:", "--name", name, "--engine", "echo", "--hive", "echoes",
                           "--input-price", "0", "--output-price", "1", "--option", f"tokens={TOKENS}",
                           "--option", f"delay_ms={delay}")  # fmt: skip
            yield system
        finally:
            hive.stop()


@pytest.mark.timeout(900)
def test_no_more_is_served_than_is_paid_for(business: System, tmp_path: Path) -> None:
    key = customer(business, "acme")
    with queen(business, tmp_path) as port:
        ports = [business.port, port]
        pay(business, "acme", COVERED * TOKENS)

        served = fire(ports, key, "brief")
        note("parallel requests on a balance for 10", REQUESTS)
        note("of these served", served[200])
        assert served == {200: COVERED, 402: REQUESTS - COVERED}
        until(lambda: books(business, "acme")[4] == COVERED)
        assert books(business, "acme") == (0, 0, COVERED * TOKENS, 0, COVERED)

        pay(business, "acme", COVERED * TOKENS)
        served = fire(ports, key, "long", kill_redis=business)
        note("served on a balance for 10 while Redis was killed", served[200])
        assert served[200] <= COVERED
        until(lambda: all(ask(port, key, "brief") in (200, 402) for port in ports))
        time.sleep(3)  # for receipts
        balance, reserved, paid, late, _ = books(business, "acme")
        assert (balance + reserved + paid, late) == (2 * COVERED * TOKENS, 0)
        assert balance >= 0


@pytest.mark.timeout(600)
def test_check_finds_a_queen_that_does_not_look_at_the_money(business: System, tmp_path: Path) -> None:
    key = customer(business, "planted")
    with queen(business, tmp_path, MONEY_IS_NOT_LOOKED_AT) as port:
        pay(business, "planted", COVERED * TOKENS)
        served = fire([port], key, "brief")
        note("served on a balance for 10 with the planted bug", served[200])
        assert served[200] > COVERED


def fire(ports: Sequence[int], key: str, model: str, *, kill_redis: System | None = None) -> Counter[int]:
    """What they are answered, all at one moment; 0 for an answer that broke off."""

    async def one(number: int, is_time: asyncio.Event, ready: asyncio.Semaphore) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[number % len(ports)], limit=1 << 20)
        ready.release()
        await is_time.wait()
        writer.write(request(key, model))
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 120)
            body = await asyncio.wait_for(reader.read(), 120)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0
        finally:
            writer.close()
        status = int(head.split(b" ", 2)[1])
        return status if status != 200 or b"completion_tokens" in body else 0

    async def all_of_them() -> Counter[int]:
        is_time, ready = asyncio.Event(), asyncio.Semaphore(0)
        asking = [asyncio.create_task(one(number, is_time, ready)) for number in range(REQUESTS)]
        for _ in range(REQUESTS):
            await ready.acquire()
        is_time.set()
        if kill_redis is not None:
            await asyncio.sleep(0.4)
            kill_redis.children("redis-server")[0].kill()
        return Counter(await asyncio.gather(*asking))

    return asyncio.run(all_of_them())


def request(key: str, model: str) -> bytes:
    asked = {"model": model, "max_tokens": TOKENS, "messages": [{"role": "user", "content": "x"}]}
    body = json.dumps(asked).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def ask(port: int, key: str, model: str) -> int:
    asked = {"model": model, "max_tokens": TOKENS, "messages": [{"role": "user", "content": "x"}]}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return httpx.post(url, headers={"authorization": f"Bearer {key}"}, json=asked, timeout=60).status_code


def customer(system: System, name: str) -> str:
    system.run("tenant", "create", name, "--plan", "enterprise")
    key: Any = system.run_json("key", "create", "--tenant", name, "--name", "load")
    with connect(system) as connection:
        connection.execute(NO_RATES)
    return str(key["key"])


def pay(system: System, tenant: str, amount: int) -> None:
    environment = system.children("uvicorn")[0].environ() | {"DJANGO_SETTINGS_MODULE": "rbee.settings"}
    code = PAY.format(tenant=tenant, amount=amount)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, check=True, timeout=60)
    time.sleep(0.5)  # for the announcement


def books(system: System, tenant: str) -> tuple[int, ...]:
    with connect(system) as connection:
        row = connection.execute(BOOKS, [tenant]).fetchone()
    assert row is not None
    return tuple(map(int, row))


def connect(system: System) -> psycopg.Connection[Any]:
    connection = psycopg.connect(system.children("uvicorn")[0].environ()["RBEE_DATABASE_URL"])
    connection.execute("SET ROLE rbee_colony")
    return connection


def until(probe: Any, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)
