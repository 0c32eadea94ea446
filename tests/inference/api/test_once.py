"""`Idempotency-Key`, through the front door of one queen and of two."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import redis

from billing.models import UsageEvent
from gdpr.ids import uuid7
from gdpr.scope import colony_tx
from inference.domain import idempotency
from tests.inference.api.conftest import Colony, Server, chat
from tests.inference.api.test_answers import error
from tests.system import free_port

PATH = "/v1/chat/completions"


@pytest.fixture
def key() -> str:
    return uuid7().hex


@pytest.fixture
def second(business: Colony) -> Iterator[str]:
    """The URL of another queen process of the same colony."""
    port = free_port()
    server = Server(port)
    server.start()
    business.wait_for(
        lambda: server.lane.queen and server.lane.queen.colony.candidates("m", "chat.completions")
    )
    yield f"http://127.0.0.1:{port}"
    server.stop()


def post(colony: Colony, key: str, content: str = "one two", **fields: Any) -> httpx.Response:
    headers = {"idempotency-key": key} | fields.pop("headers", {})
    url = fields.pop("url", colony.url)
    return colony.call(**headers).post(f"{url}{PATH}", json=chat(content, **fields))


async def post_many(colony: Colony, urls: list[str], key: str, body: dict[str, Any]) -> list[httpx.Response]:
    headers = {"authorization": f"Bearer {colony.key}", "idempotency-key": key}
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(headers=headers, timeout=30, limits=limits) as client:
        return await asyncio.gather(*(client.post(f"{url}{PATH}", json=body) for url in urls))


@pytest.fixture(autouse=True)
def no_keys_of_before(business: Colony) -> None:
    with redis.Redis.from_url(business.redis_url) as client:
        for name in client.keys("rbee:idem:*"):
            client.delete(name)


def records(client: redis.Redis) -> list[bytes]:
    return [name for name in client.keys("rbee:idem:*") if re.fullmatch(rb"rbee:idem:\w+:[0-9a-f]{64}", name)]


@pytest.mark.parametrize("stream", [False, True])
def test_a_hundred_at_once_are_one_task_with_one_answer(
    business: Colony, second: str, key: str, stream: bool
) -> None:
    urls = [business.url, second] * 50

    answers = asyncio.run(post_many(business, urls, key, chat("one two three", stream=stream)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len({answer.headers["content-type"] for answer in answers}) == 1
    assert len(business.hive.bodies) == 1
    replayed = [answer for answer in answers if answer.headers.get("idempotent-replayed") == "true"]
    (first,) = [answer for answer in answers if answer not in replayed]
    assert {answer.headers["original-request"] for answer in replayed} == {first.headers["x-request-id"]}
    assert len({answer.headers["x-request-id"] for answer in answers}) == 100

    (body,) = business.hive.bodies
    business.send_receipts(business.hive, business.hive.receipt(body), business.hive.receipt(body))
    with colony_tx("tests"):
        event = UsageEvent.objects.get(task_id=body.task)
    assert len(event.decision["idempotency_key_sha256"]) == 64


def test_the_answer_is_given_again_later_and_by_any_process(business: Colony, second: str, key: str) -> None:
    first = post(business, key)
    again = post(business, key, url=second)
    assert (again.status_code, again.content) == (200, first.content)
    assert len(business.hive.bodies) == 1


def test_another_body_or_endpoint_under_the_key(business: Colony, key: str) -> None:
    assert post(business, key).status_code == 200
    refused = post(business, key, "something else")
    assert (refused.status_code, error(refused)["code"]) == (422, "idempotency_key_reuse")
    other = business.call(**{"idempotency-key": key}).post(
        "/v1/completions", json={"model": "m", "prompt": "one two"}
    )
    assert other.status_code == 200  # the endpoint is part of what a key is told apart by


def test_keys_of_two_tenants_do_not_meet(business: Colony, key: str) -> None:
    assert post(business, key).status_code == 200
    theirs = business.call(business.key_of(), **{"idempotency-key": key}).post(PATH, json=chat("other words"))
    assert theirs.status_code == 200
    assert len(business.hive.bodies) == 2


@pytest.mark.parametrize("prefer", ["wait=0", "respond-async", "wait=1"])
def test_who_does_not_wait_is_told_that_the_first_runs(business: Colony, key: str, prefer: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(post, business, key, "slow", stream=True)
        business.wait_for(lambda: business.hive.running)
        refused = post(business, key, "slow", stream=True, headers={"prefer": prefer})
        assert (refused.status_code, error(refused)["type"]) == (409, "conflict_error")
        assert error(refused)["code"] == "idempotency_key_in_use"
        assert refused.headers["retry-after"] == "1"
        other = post(business, key, "other", headers={"prefer": prefer})
        assert other.status_code == 422
        assert running.result().status_code == 200


def test_the_first_goes_on_when_its_client_leaves(business: Colony, key: str) -> None:
    with business.call(**{"idempotency-key": key}).stream(
        "POST", PATH, json=chat("slow", stream=True)
    ) as answer:
        next(answer.iter_bytes())
    whole = post(business, key, "slow", stream=True)
    assert whole.headers["idempotent-replayed"] == "true"
    assert b"499 " in whole.content
    assert whole.content.endswith(b"data: [DONE]\n\n")
    assert len(business.hive.bodies) == 1


@pytest.mark.parametrize(
    ("content", "status", "stream"), [("crash", 500, False), ("reject", 400, False), ("break", 200, True)]
)
def test_a_failure_leaves_the_key_free(
    business: Colony, key: str, content: str, status: int, stream: bool
) -> None:
    for runs in (1, 2):
        answer = post(business, key, content, stream=stream)
        assert answer.status_code == status
        assert "idempotent-replayed" not in answer.headers
        business.wait_for(lambda runs=runs: len(business.hive.bodies) == runs)


def test_a_refusal_leaves_the_key_free(business: Colony, key: str) -> None:
    poor = business.key_of(requests_per_minute=1)
    ask = business.call(poor, **{"idempotency-key": key})
    assert business.ask("one", key=poor).status_code == 200
    assert ask.post(PATH, json=chat("two")).status_code == 429
    with redis.Redis.from_url(business.redis_url) as client:
        client.delete(*client.keys("rbee:lim:*:requests"))
    answer = ask.post(PATH, json=chat("two"))
    assert answer.status_code == 200
    assert "idempotent-replayed" not in answer.headers


def test_an_answer_that_is_not_kept(business: Colony, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "TENANT_BYTES", 10)
    assert post(business, key).status_code == 200
    gone = post(business, key)
    task = business.hive.bodies[0].task
    assert (gone.status_code, error(gone)["code"]) == (409, "idempotency_answer_gone")
    assert task in error(gone)["message"]
    assert gone.headers["x-should-retry"] == "false"
    with redis.Redis.from_url(business.redis_url) as client:
        (record,) = records(client)
        assert 86_000 < client.ttl(record) <= 86_400


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_key_that_is_none(business: Colony, key: str) -> None:
    refused = post(business, key)
    assert (refused.status_code, error(refused)["code"]) == (400, "invalid_idempotency_key")


def test_the_key_of_a_killed_queen_is_free_after_its_lease(
    business: Colony, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has the key and is gone: its record is not renewed."""
    monkeypatch.setattr(idempotency, "RENEW_INTERVAL_S", 0.1)
    assert post(business, key).status_code == 200
    with redis.Redis.from_url(business.redis_url) as client:
        (record,) = records(client)
        client.hset(record, mapping={"state": "running", "owner": "the dead"})
        client.pexpire(record, 700)
        began = time.monotonic()
        answer = post(business, key)
    assert answer.status_code == 200
    assert 0.5 < time.monotonic() - began < 5
    assert len(business.hive.bodies) == 2


def test_a_wiped_redis_may_run_it_again_but_under_another_task(business: Colony, key: str) -> None:
    assert post(business, key).status_code == 200
    with redis.Redis.from_url(business.redis_url) as client:
        client.delete(*client.keys("rbee:idem:*"))
    assert post(business, key).status_code == 200
    one, two = business.hive.bodies
    assert one.task != two.task
