"""Limits of several levels, and quantities that begin with what the books say, on a real Redis."""

from __future__ import annotations

import asyncio
import calendar
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from gdpr.ids import uuid7
from inference.domain.limit_notices import LimitNotices
from inference.domain.limits import Level, Limit, limits_of, rate_headers
from inference.domain.reserve import EPOCH_KEY, Delivery, Reservation, Reserver, month_end_ms, period_start_ms
from inference.transport.resp import RedisPipe
from tenants.domain.authentication import Caller
from tenants.domain.limit_notices import LimitReached
from tenants.domain.limit_shape import LevelLimits, Levels, PerPeriod
from tests.inference.domain.lane import failure_of, make_caller


class Books:
    """`used` by limit name; `asked` is what was asked for."""

    def __init__(self) -> None:
        self.used: dict[str, int] = {}
        self.asked: list[tuple[list[str], list[str]]] = []
        self.are_away = False

    async def read(self, limits: Sequence[Limit], now_ms: int, without: Sequence[str]) -> Sequence[int]:
        if self.are_away:
            raise OSError
        self.asked.append(([f"{limit.level} {limit.name}" for limit in limits], list(without)))
        return [self.used.get(limit.name, 0) for limit in limits]


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
async def reserver(pipe: RedisPipe, books: Books) -> Reserver:
    return await make_reserver(pipe, books)


async def make_reserver(pipe: RedisPipe, books: Books, epoch: str = "1") -> Reserver:
    await pipe.call("SET", EPOCH_KEY, epoch)
    reserver = Reserver(pipe, uuid7().hex, read_books=books.read)
    reserver.epoch = epoch
    return reserver


def caller_with(before: Caller | None = None, **levels: LevelLimits) -> Caller:
    return msgspec.structs.replace(before or make_caller(), levels=Levels(**levels))


async def take(
    reserver: Reserver, caller: Caller, tokens: int = 10, *, subject: str = "", **amounts: int
) -> Reservation:
    task = uuid7().hex
    limits = limits_of(
        caller,
        tokens,
        subject=subject,
        amounts={"requests": 1, "tokens": tokens, "gpu_seconds": 1, **amounts},
    )
    delivery = Delivery(f"h:body:{task}", b"", 1000, "h:tasks", b"")
    return await reserver.reserve(task, limits, delivery, if_late=lambda _: None)


A_DAY = LevelLimits(quantities={"tokens": PerPeriod(day=25)})


@pytest.mark.parametrize("level", ["tenant", "project", "key", "subject"])
@pytest.mark.parametrize(
    ("limits", "code", "words"),
    [
        (LevelLimits(quantities={"tokens": PerPeriod(day=25)}), "quota_exceeded", "25 tokens a day"),
        (LevelLimits(quantities={"requests": PerPeriod(month=2)}), "quota_exceeded", "2 requests a month"),
        (LevelLimits(spend_micros=PerPeriod(month=2500)), "insufficient_quota", "budget"),
    ],
)
async def test_no_more_than_a_quantity_at_any_level(
    reserver: Reserver, level: str, limits: LevelLimits, code: str, words: str
) -> None:
    caller = caller_with(**{level: limits})
    for _ in range(2):
        await take(reserver, caller, subject="s", spend_micros=1000)
    failure = await failure_of(take(reserver, caller, subject="s", spend_micros=1000))
    assert (failure.status, failure.type, failure.code) == (429, "insufficient_quota", code)
    assert words in failure.message
    assert failure.headers["x-should-retry"] == "false"
    assert int(failure.headers["retry-after"]) > 0


async def test_rates_of_every_level_hold_at_once_and_headers_show_the_tightest(reserver: Reserver) -> None:
    key = LevelLimits(requests_per_minute=9, concurrent_tasks=9)
    project = LevelLimits(requests_per_minute=2)
    caller = caller_with(make_caller(requests_per_minute=5), project=project, key=key)
    held = await take(reserver, caller)
    assert held.headers["x-ratelimit-limit-requests"] == "2"
    assert held.headers["x-ratelimit-remaining-requests"] == "1"
    await take(reserver, caller)
    failure = await failure_of(take(reserver, caller))
    assert "The limit of this project of 2 requests a minute is reached" in failure.message
    assert len(reserver.held) == 2


async def test_a_new_key_resets_nothing(reserver: Reserver) -> None:
    one = caller_with(project=A_DAY, key=A_DAY)
    other = msgspec.structs.replace(one, key_id=uuid7().hex)
    await take(reserver, one)
    await take(reserver, other)
    failure = await failure_of(take(reserver, other))
    assert "of this project" in failure.message


async def test_end_users_have_each_their_own(reserver: Reserver) -> None:
    caller = caller_with(subject=LevelLimits(requests_per_minute=1))
    await take(reserver, caller, subject="one")
    await take(reserver, caller, subject="two")
    assert "of this end user" in (await failure_of(take(reserver, caller, subject="one"))).message
    await take(reserver, caller)  # for nobody in particular
    await take(reserver, caller)


async def test_what_was_used_replaces_what_was_reserved(reserver: Reserver) -> None:
    limits = LevelLimits(
        quantities={
            "tokens": PerPeriod(day=100),
            "gpu_seconds": PerPeriod(day=2),
            "requests": PerPeriod(day=5),
        },
        spend_micros=PerPeriod(day=1000),
    )
    caller = caller_with(key=limits)
    held = await take(reserver, caller, 90, spend_micros=900)
    assert (await failure_of(take(reserver, caller, 90, spend_micros=900))).status == 429
    held.release({"tokens": 20, "spend_micros": 150, "gpu_seconds": 1999, "requests": 1})
    (await take(reserver, caller, 80, spend_micros=850)).release({})  # failed: nothing is charged
    again = await take(reserver, caller, 80, spend_micros=850)
    used = {level.limit.name: level.used for level in again.levels if level.limit.kind == "D"}
    assert used == {
        "tokens_per_day": 100, "gpu_seconds_per_day": 2000, "requests_per_day": 2, "spend_micros_per_day": 1000,
    }  # fmt: skip


async def test_a_counter_begins_with_the_books(pipe: RedisPipe, reserver: Reserver, books: Books) -> None:
    books.used = {"tokens_per_day": 10, "tokens_per_month": 30}
    caller = caller_with(
        project=LevelLimits(quantities={"tokens": PerPeriod(day=25, month=100)}),
        key=LevelLimits(requests_per_minute=9),
    )
    held = await take(reserver, caller)
    assert {level.limit.name: level.used for level in held.levels if level.limit.is_of_books} == {
        "tokens_per_month": 40, "tokens_per_day": 20,
    }  # fmt: skip
    assert (await failure_of(take(reserver, caller))).code == "quota_exceeded"
    assert books.asked == [(["project tokens_per_month", "project tokens_per_day"], [])]
    assert await pipe.call("LLEN", "h:tasks") == 1


async def test_many_at_once_read_the_books_and_count_them_once(reserver: Reserver, books: Books) -> None:
    books.used = {"tokens_per_day": 50}
    caller = caller_with(key=LevelLimits(quantities={"tokens": PerPeriod(day=150)}))
    answers = await asyncio.gather(*(take(reserver, caller) for _ in range(40)), return_exceptions=True)
    assert sum(isinstance(answer, Reservation) for answer in answers) == 10


async def test_without_the_books_nothing_is_taken(pipe: RedisPipe, reserver: Reserver, books: Books) -> None:
    books.are_away = True
    caller = caller_with(key=A_DAY)
    failure = await failure_of(take(reserver, caller))
    assert (failure.status, failure.code) == (503, "rebuilding")
    await take(reserver, make_caller())  # who has no such limit goes on
    books.are_away = False
    await take(reserver, caller)


async def test_after_a_loss_each_task_is_counted_once(pipe: RedisPipe, books: Books) -> None:
    """The one that runs, the one that has just ended, and those that are booked."""
    reserver = await make_reserver(pipe, books)
    caller = caller_with(key=LevelLimits(quantities={"tokens": PerPeriod(day=100)}))
    running = await take(reserver, caller, 30)
    ended = await take(reserver, caller, 30)
    ended.release({"tokens": 5})
    await pipe.call("FLUSHALL")
    await pipe.call("SET", EPOCH_KEY, "2")
    await reserver.register()
    reserver.epoch = "2"
    books.used = {"tokens_per_day": 20}  # without those two, which it is told
    held = await take(reserver, caller, 10)
    assert [set(without) for _, without in books.asked[1:]] == [{running.task, ended.task}]
    (level,) = [level for level in held.levels if level.limit.kind == "D"]
    assert level.used == 30 + 5 + 20 + 10
    running.release({"tokens": 1})
    (level,) = [level for level in (await take(reserver, caller, 10)).levels if level.limit.kind == "D"]
    assert level.used == 1 + 5 + 20 + 10 + 10


async def test_a_soft_level_warns_and_refuses_nobody(reserver: Reserver) -> None:
    soft = LevelLimits(quantities={"tokens": PerPeriod(day=25)}, requests_per_minute=2, soft=True)
    caller = caller_with(key=soft)
    headers = [(await take(reserver, caller)).headers.get("x-rbee-limit-warning") for _ in range(3)]
    assert headers == [None, "key tokens_per_day 80%", "key tokens_per_day 120%, key requests 150%"]


async def test_each_threshold_is_told_once_by_one_of_all_processes(pipe: RedisPipe, books: Books) -> None:
    noted: list[LimitReached] = []

    async def note(reached: LimitReached) -> None:
        noted.append(reached)

    caller = caller_with(project=LevelLimits(quantities={"tokens": PerPeriod(day=100)}))
    processes = [await make_reserver(pipe, books) for _ in range(2)]
    notices = [LimitNotices(pipe, note) for _ in processes]
    for process, own in zip(processes, notices, strict=True):
        process.on_reached.append(own.on_reached)
    for turn in range(8):
        held = await take(processes[turn % 2], caller, 30)  # passes thresholds to and fro
        assert len(noted) < 2
        held.release({"tokens": 10})
    answers = [await asyncio.gather(take(each, caller, 10), return_exceptions=True) for each in processes * 3]
    assert sum(isinstance(answer, Reservation) for (answer,) in answers) == 2
    async with asyncio.timeout(5):
        while len(noted) < 3:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert [(each.percent, each.limit, each.level, each.owner) for each in noted] == [
        (percent, "tokens_per_day", "project", caller.project_id) for percent in (50, 80, 100)
    ]
    assert noted[0].allowed == 100
    for own in notices:
        await own.stop()


DAYS = ["1970-01-01", "1999-12-31", "2000-02-29", "2024-02-29", "2024-12-31", "2026-02-28", "2026-11-25", "2100-02-28",
        "2100-03-01"]  # fmt: skip


@pytest.mark.parametrize("day", DAYS)
async def test_months_are_those_of_the_calendar(pipe: RedisPipe, day: str) -> None:
    """In the script, which has a clock of its own: here it is told what day it is."""
    from inference.transport.scripts import RESERVE_DISPATCH

    now = datetime.fromisoformat(day).replace(hour=23, minute=59, tzinfo=UTC)
    text = RESERVE_DISPATCH.text.decode()
    function = text[text.index("local function month_of") : text.index("local is_unread")]
    answer = await pipe.call(
        "EVAL",
        f"{function}\nlocal a, b = month_of(tonumber(ARGV[1]))\nreturn {{a, b}}",
        0,
        now.timestamp() // 86400,
    )
    first = now.replace(day=1, hour=0, minute=0)
    after = first + timedelta(days=calendar.monthrange(now.year, now.month)[1])
    assert answer == [int(first.timestamp()) // 86400, int(after.timestamp()) // 86400]
    limit = Limit("tokens_per_month", "M", "rbee:lim:t:x", 1, 1, "tokens")
    now_ms = int(now.timestamp() * 1000)
    assert period_start_ms(limit, now_ms) == int(first.timestamp() * 1000)
    assert month_end_ms(now_ms) == int(after.timestamp() * 1000)


async def test_a_day_that_is_over_is_forgotten_without_a_look_at_the_books(
    pipe: RedisPipe, reserver: Reserver, books: Books
) -> None:
    caller = caller_with(key=A_DAY)
    held = await take(reserver, caller, 20)
    (key,) = [level.limit.key for level in held.levels if level.limit.kind == "D"]
    assert await pipe.call("PTTL", key) > 86_400_000
    await pipe.call("HINCRBY", key, "start", -86_400_000)
    held.release({"tokens": 25})  # it began yesterday, and counts there
    (level,) = [level for level in (await take(reserver, caller, 20)).levels if level.limit.kind == "D"]
    assert level.used == 20
    assert len(books.asked) == 1


def test_a_level_is_shown_by_what_is_left() -> None:
    def level(limit: int, used: int, **fields: Any) -> Level:
        return Level(Limit("requests", "w", "k", limit, 1, "requests", **fields), used, 1000)

    headers: Mapping[str, str] = rate_headers([level(100, 99), level(10, 5)])
    assert headers["x-ratelimit-limit-requests"] == "100"
    assert headers["x-ratelimit-remaining-requests"] == "1"
