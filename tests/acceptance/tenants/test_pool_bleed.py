"""No connection to the database takes a tenant, or the role that sees all, from one request into the next.

A queen that runs is asked by many tenants at once, for what Django answers in threads and for what the lane answers on its
loop, and some clients leave in the middle. Django's connections are pooled here, which is harsher than the queen's own
settings: those open one for each request. In between, connections that come back are asked who they are.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import connection, connections
from psycopg import AsyncConnection

from gdpr import scope
from gdpr.pool import Pool
from tenants.domain import authentication
from tests.acceptance.figures import SEED, note, scaled
from tests.factories.inference import make_model
from tests.factories.tenants import make_key, make_project, make_tenant, unique
from tests.inference.api.conftest import Colony, _business, _database, business, chat

__all__ = ["_business", "_database", "business"]

CONNECTIONS = 20
OF_DJANGO = 16  # the others are the lane's
TENANTS = 50
REQUESTS = scaled(10_000, least=400)
WHO = """
    SELECT coalesce(current_setting('app.tenant', true), ''), current_setting('role'),
           (SELECT count(*) FROM tenants_project)
"""
NOBODY = ("", "none", 0)
MANAGED = ("keys", "projects", "tenants", "webhooks", "policies", "limits")


@dataclass(frozen=True)
class Customer:
    slug: str
    key: str
    model: str


@pytest.fixture
def customers(business: Colony) -> list[Customer]:
    made = []
    for _ in range(TENANTS):
        model = make_model().name
        project = make_project(make_tenant(allowed_models=[model, "m"]))
        made.append(
            Customer(project.tenant.slug, make_key(project, scopes=["inference", "manage"])[1], model)
        )
    business.wait_for(lambda: all(business.queen.offer.find(customer.model) for customer in made))
    return made


@pytest.fixture
def pooled(business: Colony, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    options = connections.settings["default"]["OPTIONS"]
    assert OF_DJANGO + business.queen.pool.max_size == CONNECTIONS
    connection.close()
    options["pool"] = {"min_size": 1, "max_size": OF_DJANGO, "timeout": 30}
    monkeypatch.setattr(authentication, "REMEMBERED_S", 0.05)  # so that the lane asks the database
    yield
    connection.close_pool()
    del options["pool"]
    del connections["default"]  # its settings were those of a pool
    on_the_loop(business, forget(business.queen.pool))


def keeps_its_tenant(patch: pytest.MonkeyPatch) -> None:
    """SET without LOCAL, in Django's threads."""

    def keep(role: str, tenant: str, reason: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('role', %s, false), set_config('app.tenant', %s, false)", [role, tenant]
            )

    patch.setattr(scope, "_set", keep)


def keeps_its_role(patch: pytest.MonkeyPatch) -> None:
    """SET without LOCAL, on the lane's loop."""

    @contextlib.asynccontextmanager
    async def keep(pool: Pool):  # type: ignore[no-untyped-def]
        async with pool.connection() as one:
            await one.execute(f"SET ROLE {scope.COLONY_ROLE}")
            yield one

    patch.setattr(authentication, "colony_connection", keep)


@pytest.mark.parametrize("plant", [keeps_its_tenant, keeps_its_role])
def test_check_finds_a_connection_that_stays_somebody(
    business: Colony,
    customers: list[Customer],
    pooled: None,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        seen = interleave(business, customers, 200)

    note(f"pool bleed of a planted bug, {plant.__name__.replace('_', ' ')}", seen["bled"])
    assert seen["bled"] > 0


@pytest.mark.timeout(1800)
def test_no_connection_takes_a_tenant_into_the_next_request(
    business: Colony, customers: list[Customer], pooled: None
) -> None:
    seen = interleave(business, customers, REQUESTS)

    note(
        "pool bleed: requests, async / sync / left in the middle",
        f"{seen['async']} / {seen['sync']} / {seen['left']}",
    )
    note("pool bleed: connections asked who they are", seen["asked"])
    note("pool bleed", seen["bled"])
    assert (seen["bled"], seen["failed"]) == (0, 0)
    assert min(seen["async"], seen["sync"], seen["left"], seen["asked"]) > 0


def interleave(colony: Colony, customers: list[Customer], requests: int) -> Counter[str]:
    """By so many clients as there are connections to the database, in an order that the seed gives."""
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        share = requests // CONNECTIONS
        parts = [
            threads.submit(_client, colony, customers, share, SEED + number) for number in range(CONNECTIONS)
        ]
        seen: Counter[str] = Counter()
        for part in parts:
            seen += part.result()
    return seen


def _client(colony: Colony, customers: list[Customer], requests: int, seed: int) -> Counter[str]:
    chance = random.Random(seed)
    seen: Counter[str] = Counter()
    queen = http.client.HTTPConnection("127.0.0.1", colony.port, timeout=60)
    others = {customer.slug for customer in customers} | {customer.model for customer in customers}
    try:
        for _ in range(requests):
            customer = chance.choice(customers)
            kind, method, path, body, expected = _request(chance, customer)
            queen.request(method, path, body, {"authorization": f"Bearer {customer.key}"})
            if chance.random() < 0.05:
                queen.close()  # and the next request opens another
                seen["left"] += 1
            else:
                answer = queen.getresponse()
                text = answer.read().decode()
                seen[kind] += 1
                seen["failed"] += answer.status != 200
                foreign = others - {customer.slug, customer.model}
                seen["bled"] += any(name in text for name in foreign) or (
                    answer.status == 200 and expected not in text
                )
            if chance.random() < 0.5:
                seen["asked"] += 2
                seen["bled"] += _ask_django() != NOBODY
                seen["bled"] += on_the_loop(colony, _ask(colony.queen.pool)) != NOBODY
    finally:
        queen.close()
        connection.close()
    return seen


def _request(chance: random.Random, customer: Customer) -> tuple[str, str, str, str | None, str]:
    if chance.random() < 0.5:
        path = chance.choice(MANAGED)
        expected = customer.slug if path in {"keys", "projects", "tenants"} else '"object":"list"'
        return "sync", "GET", f"/api/v1/{path}", None, expected
    if chance.random() < 0.8:
        return "async", "GET", "/v1/models", None, customer.model
    said = unique("said")
    return "async", "POST", "/v1/chat/completions", json.dumps(chat(said)), said


def _ask_django() -> tuple[Any, ...]:
    """As a query does that forgot its scope."""
    with connection.cursor() as cursor:
        cursor.execute(WHO)
        found = cursor.fetchone()
    connection.close()
    return tuple(found)


async def _ask(pool: Pool) -> tuple[Any, ...]:
    async with pool.connection(timeout=30) as one:
        return tuple(await (await one.execute(WHO)).fetchone() or ())


async def forget(pool: Pool) -> None:
    """What a planted bug left behind."""
    async with contextlib.AsyncExitStack() as stack:
        held: list[AsyncConnection[Any]] = [
            await stack.enter_async_context(pool.connection(timeout=30)) for _ in range(pool.max_size)
        ]
        for one in held:
            await one.execute("RESET ROLE")


def on_the_loop(colony: Colony, work: Any) -> Any:
    """Of the queen."""
    return asyncio.run_coroutine_threadsafe(work, colony.server.uvicorn.servers[0].get_loop()).result(60)
