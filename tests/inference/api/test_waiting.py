"""Tasks that find all workers busy stand in line, through the front door."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import redis

from inference.domain import fair_queue, waiting_room
from tests.inference.api.conftest import Colony, chat
from tests.inference.api.hive import SmallHive
from tests.inference.api.test_answers import error

PATH = "/v1/chat/completions"


@pytest.fixture
def narrow(business: Colony) -> SmallHive:
    """A hive that takes one task at a time, of the model `narrow`."""
    if not business.queen.offer.find("narrow"):
        business.add_model("narrow")
    return business.add_hive("narrow", capacity=1)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(40) as pool:
        yield pool


def ask(colony: Colony, content: str, *, key: str | None = None, **fields: Any) -> httpx.Response:
    headers = fields.pop("headers", {})
    return colony.call(key, **headers).post(PATH, json=chat(content, model="narrow", **fields))


@contextmanager
def busy(colony: Colony, hive: SmallHive, key: str | None = None) -> Iterator[None]:
    """Its only place is taken; free again at the end."""
    leave = threading.Event()

    def take() -> None:
        with colony.call(key).stream("POST", PATH, json=chat("slow", model="narrow", stream=True)) as answer:
            for _ in answer.iter_bytes():
                if leave.is_set():
                    return

    taker = threading.Thread(target=take)
    taker.start()
    colony.wait_for(lambda: hive.running)
    colony.wait_for(lambda: colony.queen.colony.busy("narrow"))
    try:
        yield
    finally:
        leave.set()
        taker.join()


def in_line(colony: Colony, count: int) -> None:
    colony.wait_for(lambda: len(colony.queen.room) == count)


def test_a_task_waits_for_a_worker_and_says_how_long(
    business: Colony, narrow: SmallHive, pool: ThreadPoolExecutor
) -> None:
    assert "x-rbee-queue-ms" not in ask(business, "free").headers
    with busy(business, narrow):
        waiting = pool.submit(ask, business, "hello")
        in_line(business, 1)
        time.sleep(0.3)
    answer = waiting.result()
    assert answer.status_code == 200
    assert 250 <= int(answer.headers["x-rbee-queue-ms"]) < 10_000
    assert len(business.queen.room) == 0


def test_tenants_take_turns_and_priority_decides_within_one(
    business: Colony, narrow: SmallHive, pool: ThreadPoolExecutor
) -> None:
    greedy, seldom = business.key_of(), business.key_of()
    futures: list[Future[httpx.Response]] = []
    with busy(business, narrow, greedy):
        for number in range(6):
            futures.append(pool.submit(ask, business, f"greedy {number}", key=greedy))
            in_line(business, number + 1)
        for priority in ("low", "high"):
            futures.append(
                pool.submit(ask, business, f"seldom {priority}", key=seldom, headers={"x-priority": priority})
            )
            in_line(business, len(futures))
    assert {future.result().status_code for future in futures} == {200}
    order = [str(body.request) for body in narrow.bodies[-8:]]
    places = [
        next(at for at, text in enumerate(order) if f"seldom {name}" in text) for name in ("high", "low")
    ]
    assert places[0] < places[1] <= 3


def test_a_client_that_leaves_leaves_the_line(business: Colony, narrow: SmallHive) -> None:
    with busy(business, narrow):
        client = business.call()
        with pytest.raises(httpx.ReadTimeout):
            client.post(PATH, json=chat("x", model="narrow"), timeout=0.3)
        in_line(business, 0)
    business.wait_for(lambda: not business.queen.reserver.held)


def test_a_wait_has_an_end(business: Colony, narrow: SmallHive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(business.queen.room, "timeout_s", 0.3)
    with busy(business, narrow):
        began = time.monotonic()
        refused = ask(business, "x")
        assert 0.3 <= time.monotonic() - began < 5
        assert (refused.status_code, error(refused)["code"]) == (503, "no_workers")
        assert error(refused)["message"].endswith("this request waited for 0.3 s.")
        assert int(refused.headers["retry-after"]) >= 1
        monkeypatch.setattr(business.queen.room, "timeout_s", 0)
        assert ask(business, "x").status_code == 503


def test_a_full_line_says_why(
    business: Colony, narrow: SmallHive, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small() -> fair_queue.FairQueue[Any]:
        return fair_queue.FairQueue(tenant_tokens=250, all_tokens=350)

    monkeypatch.setattr(waiting_room, "FairQueue", small)
    one, two, three = (business.key_of() for _ in range(3))
    with busy(business, narrow):
        waiting = [pool.submit(ask, business, "x", key=one, max_tokens=100) for _ in range(2)]
        in_line(business, 2)
        refused = ask(business, "x", key=one, max_tokens=100)
        assert (refused.status_code, error(refused)["code"]) == (429, "rate_limit_exceeded")
        assert "as many requests of yours wait" in error(refused)["message"]
        assert int(refused.headers["retry-after"]) >= 1
        others = [pool.submit(ask, business, "x", key=two, max_tokens=100)]
        in_line(business, 3)
        others.append(pool.submit(ask, business, "x", key=three, max_tokens=100))
        evicted = business.wait_for(lambda: next((each for each in waiting if each.done()), None)).result()
        assert (evicted.status_code, error(evicted)["code"]) == (503, "no_workers")
        assert "the line for them is full" in error(evicted)["message"]
    assert sorted(each.result().status_code for each in [*waiting, *others]) == [200, 200, 200, 503]


def test_who_is_over_a_limit_does_not_stand_in_line(business: Colony, narrow: SmallHive) -> None:
    key = business.key_of(requests_per_minute=1)
    with busy(business, narrow, key):
        refused = ask(business, "x", key=key)
        assert (refused.status_code, error(refused)["code"]) == (429, "rate_limit_exceeded")
        assert len(business.queen.room) == 0


def test_what_waits_holds_its_place_among_its_tenants_tasks_and_gives_it_back(
    business: Colony, narrow: SmallHive, pool: ThreadPoolExecutor
) -> None:
    key = business.key_of(concurrent_tasks=1)
    with busy(business, narrow):
        waiting = pool.submit(ask, business, "x", key=key)
        in_line(business, 1)
        assert ask(business, "x", key=key).status_code == 429
    assert waiting.result().status_code == 200
    business.wait_for(lambda: not business.queen.reserver.held)
    with redis.Redis.from_url(business.redis_url) as client:
        assert not [name for name in client.keys("rbee:lim:*:tasks") if client.zcard(name)]


def test_a_task_goes_where_a_script_would_have_it_once_that_is_free(
    business: Colony, narrow: SmallHive, pool: ThreadPoolExecutor
) -> None:
    """It is busy, and another that is free is not what the script wants; `none` would still mean none."""
    other = business.add_hive("narrow", region="US", capacity=1)
    business.policy('fn route_task(task, workers) { workers.filter(|w| w.region == "EU").first() }')
    with busy(business, narrow):
        waiting = pool.submit(ask, business, "x")
        in_line(business, 1)
    assert waiting.result().status_code == 200
    assert not other.bodies
    business.policy('fn route_task(task, workers) { workers.filter(|w| w.region == "Mars").first() }')
    began = time.monotonic()
    assert ask(business, "x").status_code == 503
    assert time.monotonic() - began < 5


def test_a_caller_may_wait_for_a_model_that_is_being_loaded(
    business: Colony, pool: ThreadPoolExecutor
) -> None:
    if not business.queen.offer.find("late"):
        business.add_model("late")
    hive = business.add_hive("late", status="loading")
    refused = business.ask("x", model="late")
    assert (refused.status_code, error(refused)["code"]) == (503, "model_loading")
    waiting = pool.submit(
        business.call(**{"x-wait-for-model": "20"}).post, PATH, json=chat("x", model="late")
    )
    in_line(business, 1)
    hive._worker["status"] = "ready"
    answer = waiting.result()
    assert answer.status_code == 200
    assert int(answer.headers["x-rbee-queue-ms"]) > 0


def test_a_wait_that_is_no_number(business: Colony) -> None:
    refused = business.call(**{"x-wait-for-model": "soon"}).post(PATH, json=chat("x"))
    assert (refused.status_code, error(refused)["param"]) == (400, "X-Wait-For-Model")
