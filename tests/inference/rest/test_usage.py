from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from billing.domain.settlement import Settlement, settle
from gdpr.pool import make_pool
from inference.domain.bootstrap import prepare_colony
from inference.domain.hives import remove_hive
from tests.factories.billing import make_price, make_settlement
from tests.factories.inference import make_hive
from tests.factories.tenants import TESTER, make_key, make_project
from tests.inference.conftest import Api


@pytest.mark.usefixtures("committed_db")
def test_usage_is_a_tenants_own_newest_first_and_in_pages(postgres: Any, redis_url: str) -> None:
    prepare_colony()
    mine, theirs = make_project(), make_project()
    key, secret = make_key(mine, scopes=["manage"])
    hive, _ = make_hive()
    price = make_price()
    booked = [make_settlement(mine, price, hive_id=hive.id.hex, key_id=key.id.hex) for _ in range(3)]
    foreign = make_settlement(theirs, price)
    book(postgres.app_url, [*booked, foreign])
    customer = Api(secret)

    first = customer.get("usage", limit=2).json()
    second = customer.get("usage", limit=2, cursor=first["next_cursor"]).json()
    rows = first["data"] + second["data"]

    assert [row["request_id"] for row in rows] == [one.request_id for one in reversed(booked)]
    assert (first["has_more"], second["has_more"]) == (True, False)
    assert {name: rows[0][name] for name in ("tenant", "key", "hive", "outcome", "amount_micros", "usage")} == {
        "tenant": mine.tenant.slug, "key": key.kid, "hive": hive.name, "outcome": "completed", "amount_micros": 14,
        "usage": {"prompt_tokens": 10, "completion_tokens": 20},
    }  # fmt: skip
    of_model = Api().get("usage", model=price.model).json()["data"]
    assert {row["request_id"] for row in of_model} == {one.request_id for one in [*booked, foreign]}
    assert [row["request_id"] for row in Api().get("usage", tenant=theirs.tenant.slug).json()["data"]] == [
        foreign.request_id
    ]
    remove_hive(hive, actor=TESTER)
    assert customer.get("usage", limit=1).json()["data"][0]["hive"] == hive.name


def book(database_url: str, settlements: list[Settlement]) -> None:
    async def run() -> set[str]:
        async with make_pool(database_url) as pool:
            return await settle(pool, settlements)

    assert asyncio.run(run()) == {one.task_id for one in settlements}


@pytest.mark.usefixtures("committed_db")
def test_usage_is_filtered(postgres: Any, redis_url: str) -> None:
    prepare_colony()
    project = make_project()
    other = make_project(project.tenant)
    key, secret = make_key(project, scopes=["manage"])
    first = make_settlement(project, key_id=key.id.hex)
    second = make_settlement(other, outcome="worker_error", admitted_at_ms=first.admitted_at_ms - 86_400_000)
    book(postgres.app_url, [first, second])
    customer = Api(secret)

    def found(**query: Any) -> set[str]:
        return {row["request_id"] for row in customer.get("usage", **query).json()["data"]}

    day = datetime.fromtimestamp(first.admitted_at_ms / 1000 - 60, UTC).isoformat().replace("+00:00", "Z")
    assert found() == {first.request_id, second.request_id}
    for query in ({"key": key.kid}, {"key": str(key.id)}, {"project": str(project.id)}, {"since": day}):
        assert found(**query) == {first.request_id}, query
    for query in ({"outcome": "worker_error"}, {"project": str(other.id)}, {"until": day}):
        assert found(**query) == {second.request_id}, query
    assert customer.get("usage", key=make_key()[0].kid).status_code == 404
    assert customer.get("usage", since="yesterday").status_code == 400
