import asyncio
import multiprocessing
import time

import pytest
import redis

from gdpr.ids import uuid7
from inference.domain import reserve
from inference.domain.limits import DAY_MS, day_key, limits_of, subject_keys
from inference.domain.reserve import EPOCH_KEY, Delivery, Reservation, Reserver, Used
from inference.transport.resp import RedisPipe
from tests.inference.domain.lane import failure_of, make_caller
from tests.inference.domain.taker import take_many

TENANT = "7e57" * 8


@pytest.fixture
async def reserver(pipe: RedisPipe) -> Reserver:
    return await make_reserver(pipe)


async def make_reserver(pipe: RedisPipe, queen: str = "q") -> Reserver:
    await pipe.call("SET", EPOCH_KEY, "1", "NX")
    reserver = Reserver(pipe, queen)
    reserver.epoch = "1"
    return reserver


async def take(reserver: Reserver, tokens: int = 10, subject: str = "", **limits: int) -> Reservation:
    task = uuid7().hex
    delivery = Delivery(f"h:body:{task}", b"body", 10_000, "h:tasks", task.encode())
    taken = limits_of(make_caller(TENANT, **limits), tokens, subject=subject)
    return await reserver.reserve(task, taken, delivery, if_late=lambda _: None)


async def left_behind(pipe: RedisPipe) -> tuple[int, int]:
    """Messages in the queue, bodies."""
    return await pipe.call("LLEN", "h:tasks"), len(await pipe.call("KEYS", "h:body:*"))


async def used(pipe: RedisPipe, limit: str) -> int:
    return int(await pipe.call("HGET", f"rbee:lim:{TENANT}:{limit}", "used") or 0)


async def test_a_reservation_leaves_the_body_and_the_message(pipe: RedisPipe, reserver: Reserver) -> None:
    held = await take(reserver)
    assert await pipe.call("GET", f"h:body:{held.task}") == b"body"
    assert 9_000 < await pipe.call("PTTL", f"h:body:{held.task}") <= 10_000
    assert await pipe.call("LRANGE", "h:tasks", 0, -1) == [held.task.encode()]


@pytest.mark.parametrize(
    ("limits", "code", "message"),
    [
        ({"requests_per_minute": 2}, "rate_limit_exceeded", "The limit of 2 requests a minute is reached"),
        ({"tokens_per_minute": 29}, "rate_limit_exceeded", "The limit of 29 tokens a minute is reached"),
        ({"concurrent_tasks": 2}, "rate_limit_exceeded", "2 tasks run at the same time, which is the limit."),
        ({"tokens_per_day": 29}, "quota_exceeded", "The quota of 29 tokens a day does not leave 10"),
    ],
)
async def test_one_more_than_a_limit_is_refused_and_leaves_nothing(
    pipe: RedisPipe, reserver: Reserver, limits: dict[str, int], code: str, message: str
) -> None:
    everything = {
        "requests_per_minute": 99,
        "tokens_per_minute": 999,
        "concurrent_tasks": 99,
        "tokens_per_day": 999,
    }
    for _ in range(2):
        await take(reserver, **{**everything, **limits})
    failure = await failure_of(take(reserver, **{**everything, **limits}))
    assert (failure.status, failure.code, failure.message[: len(message)]) == (429, code, message)
    assert await left_behind(pipe) == (2, 2)
    assert [await used(pipe, name) for name in ("requests", "tokens", "day")] == [2, 20, 20]
    assert await pipe.call("ZCARD", f"rbee:lim:{TENANT}:tasks") == 2


async def test_a_refusal_says_when_to_come_back(reserver: Reserver) -> None:
    await take(reserver, requests_per_minute=1)
    headers = (await failure_of(take(reserver, requests_per_minute=1))).headers
    assert 58 <= int(headers.pop("retry-after")) <= 60
    assert headers.pop("x-ratelimit-reset-requests")[:2] in ("59", "1m")
    assert headers == {"x-ratelimit-limit-requests": "1", "x-ratelimit-remaining-requests": "0"}
    of_day = (await failure_of(take(reserver, tokens=20, tokens_per_day=25))).headers
    assert of_day["x-should-retry"] == "false"
    assert 0 < int(of_day["retry-after"]) <= 86_400


async def test_a_request_that_no_minute_can_hold_is_not_worth_a_retry(reserver: Reserver) -> None:
    failure = await failure_of(take(reserver, tokens=11, tokens_per_minute=10))
    assert failure.message == "The request needs 11 tokens, the limit is 10 a minute."
    assert failure.headers["x-should-retry"] == "false"


async def test_headers_tell_what_is_left(reserver: Reserver) -> None:
    held = await take(reserver, requests_per_minute=5, tokens_per_minute=100, concurrent_tasks=3)
    headers = held.headers
    assert {name: value for name, value in headers.items() if "reset" not in name} == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "4",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "90",
    }
    assert headers["x-ratelimit-reset-tokens"] == "1m0s"
    assert (await take(reserver)).headers == {}


async def test_a_release_corrects_tokens_and_frees_the_place_once(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    limits = {
        "requests_per_minute": 9,
        "tokens_per_minute": 100,
        "concurrent_tasks": 1,
        "tokens_per_day": 100,
    }
    held = await take(reserver, tokens=50, **limits)
    held.release({"tokens": 7})
    held.release({"tokens": 7})
    assert [await used(pipe, name) for name in ("requests", "tokens", "day")] == [1, 7, 7]
    (await take(reserver, tokens=50, **limits)).release(
        {"tokens": 60}
    )  # an answer may turn out longer than was reserved
    assert [await used(pipe, name) for name in ("requests", "tokens", "day")] == [2, 67, 67]
    assert await pipe.call("ZCARD", f"rbee:lim:{TENANT}:tasks") == 0
    assert reserver.held == {}


async def test_a_release_of_an_earlier_minute_leaves_this_one_alone(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    held = await take(reserver, tokens=50, tokens_per_minute=100)
    await pipe.call("HINCRBY", f"rbee:lim:{TENANT}:tokens", "start", -60_000)
    await asyncio.sleep(0.005)  # minutes are told apart by the millisecond of their first use
    await take(reserver, tokens=20, tokens_per_minute=100)
    held.release({"tokens": 0})
    assert await used(pipe, "tokens") == 20


async def test_a_minute_ends_a_minute_after_its_first_use(pipe: RedisPipe, reserver: Reserver) -> None:
    await take(reserver, requests_per_minute=1)
    assert 59_000 < await pipe.call("PTTL", f"rbee:lim:{TENANT}:requests") <= 60_000
    await pipe.call("HINCRBY", f"rbee:lim:{TENANT}:requests", "start", -60_000)
    await take(reserver, requests_per_minute=1)


async def test_a_lease_that_is_not_renewed_runs_out(
    pipe: RedisPipe, reserver: Reserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserve, "LEASE_MS", 300)
    monkeypatch.setattr(reserve, "RENEW_INTERVAL_S", 0.05)
    reserver.start()
    await take(reserver, concurrent_tasks=1)
    await asyncio.sleep(0.6)
    assert (await failure_of(take(reserver, concurrent_tasks=1))).code == "rate_limit_exceeded"
    await reserver.stop()  # as if this queen had been killed
    await asyncio.sleep(0.4)
    await take(reserver, concurrent_tasks=1)


async def test_nothing_is_reserved_without_the_epoch_that_is_known(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    await pipe.call("SET", EPOCH_KEY, "2")
    for epoch in ("1", None):
        reserver.epoch = epoch
        failure = await failure_of(take(reserver))
        assert (failure.status, failure.code, failure.headers) == (503, "rebuilding", {"retry-after": "5"})
    assert await left_behind(pipe) == (0, 0)


async def test_used_today_is_read_at_most_once_a_second(
    pipe: RedisPipe, reserver: Reserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await reserver.used_today("nobody") == 0
    held = await take(reserver, tokens=5)
    assert await reserver.used_today(TENANT) == 5
    held.release({"tokens": 3})
    assert await reserver.used_today(TENANT) == 5
    monkeypatch.setattr(reserve, "REMEMBERED_S", 0.0)
    reserver._used_today.clear()
    assert await reserver.used_today(TENANT) == 3
    await pipe.call("HSET", day_key(TENANT), "start", str(int(time.time() * 1000) - DAY_MS - 1))
    assert await reserver.used_today(TENANT) == 0
    await pipe.call("DEL", EPOCH_KEY)
    assert (await failure_of(reserver.used_today(TENANT))).code == "rebuilding"


async def test_a_flushed_script_is_sent_again(pipe: RedisPipe, reserver: Reserver) -> None:
    await pipe.call("SCRIPT", "FLUSH")
    await take(reserver, requests_per_minute=1)
    assert await left_behind(pipe) == (1, 1)


def test_eight_processes_take_exactly_the_limit_together(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set(EPOCH_KEY, "1")
    tightest = (
        ({"requests_per_minute": 101}, 101),
        ({"tokens_per_minute": 1010}, 101),
        ({"tokens_per_day": 1010}, 101),
        ({"concurrent_tasks": 37}, 37),
    )
    with multiprocessing.get_context("spawn").Pool(8) as processes:
        for limits, expected in tightest:
            shared = limits_of(make_caller(uuid7().hex, **limits), 10)
            taken = processes.starmap(take_many, [(redis_url, shared, 60)] * 8, chunksize=1)
            assert sum(taken) == expected


async def test_what_an_end_user_took_is_told_apart_from_others_and_corrected_to_what_was_used(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    first = await take(reserver, tokens=10, subject="alice")
    await take(reserver, tokens=5, subject="alice")
    await take(reserver, tokens=3, subject="bob")
    await take(reserver, tokens=1)

    assert await reserver.used(TENANT, "alice") == Used(19, 15, 2)
    assert await reserver.used(TENANT, "bob") == Used(19, 3, 1)
    assert await reserver.used(TENANT, "carol") == Used(19, 0, 0)
    assert await reserver.used(TENANT) == Used(19)
    first.release({"tokens": 4})
    assert await reserver.used(TENANT, "alice") == Used(13, 9, 2)
    assert await reserver.used_today(TENANT) == 13
    day, minute = subject_keys(TENANT, "alice")
    assert 0 < await pipe.call("PTTL", minute) <= 60_000
    assert 0 < await pipe.call("PTTL", day) <= DAY_MS


async def test_what_an_end_user_took_in_a_minute_survives_the_loss_of_the_counters(
    pipe: RedisPipe, reserver: Reserver
) -> None:
    await take(reserver, tokens=10, subject="alice")
    await pipe.call("FLUSHALL")
    await reserver.register()
    await pipe.call("SET", EPOCH_KEY, "1")

    assert await reserver.used(TENANT, "alice") == Used(10, 10, 1)
