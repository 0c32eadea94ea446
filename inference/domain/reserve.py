"""Limits, taken with the dispatch in one Lua call, and given back when the task ends.

What a killed queen held comes back by itself: concurrency when its leases run out, the quantities of a minute with the
minute. What it took of the day counts as used.

After Redis lost everything, `register` writes down again what this queen holds and what it took in the running minutes
(see recovery.py). A quantity of a day or month that has a limit begins with what the books say, read when it is first asked
for: after such a loss, and when the limit was set. The books lag behind by a moment, so what ended lately is written down
as well, and the tasks that are written down are left out when the books are read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from inference.domain.failures import rebuilding, redis_unreachable
from inference.domain.limits import (
    DAY_MS,
    MINUTE_MS,
    TOKENS,
    Level,
    Limit,
    day_key,
    rate_headers,
    refusal,
    subject_keys,
)
from inference.transport import scripts
from inference.transport.resp import Argument, RedisDown, RedisError, RedisPipe, Reply, ScriptMissing

EPOCH_KEY = "rbee:epoch"
LEASE_MS = 30_000
RENEW_INTERVAL_S = 10.0
RENEWED_AT_ONCE = 500  # leases in one script, which holds up Redis
REMEMBERED_S = 1.0  # what a tenant used today
REMEMBERED_MAX = 10_000
UNREAD = -2  # what the script answers when the books have to be read first
UNFUNDED = -3  # when the budget slice has too little left
THRESHOLDS = (50, 80, 100)  # percent of a day's or month's limit
COUNTED_KEY = "rbee:counted"  # tasks that counters have and the books are not asked for
BOOKS_KEPT_MS = 40 * DAY_MS
BOOKED_AFTER_S = 10.0  # what ended before is in the books

_log = logging.getLogger(__name__)


class Delivery(NamedTuple):
    """What a hive gets: see hive_agent.protocol."""

    body_key: str
    body: bytes
    body_ms: int  # until it expires
    queue: str
    message: bytes


NOWHERE = Delivery("", b"", 0, "", b"")


class Unfunded(Exception):
    """The budget slice has too little left, is closed, or is not in this Redis. Nothing was taken."""


class Used(NamedTuple):
    """Those of running tasks as reserved."""

    tokens_today: int = 0  # by the tenant, since midnight UTC
    subject_tokens_today: int = 0
    subject_requests: int = 0  # in the minute that runs


class Reservation:
    """What one task holds."""

    __slots__ = ("_release", "levels", "starts", "task")

    def __init__(self, reserver: Reserver, task: str, levels: list[Level], starts: list[int]) -> None:
        self.task = task
        self.levels = levels
        self.starts = starts
        self._release: Reserver | None = reserver

    @property
    def headers(self) -> dict[str, str]:
        return rate_headers(self.levels)

    def release(self, used: Mapping[str, int], *, is_known: bool = True) -> None:
        """By unit: what the task used, or what counts as such when that is not known; then the money that is held waits
        for the receipt. Once; nothing after that. Never waits."""
        if self._release is not None:
            self._release.release(self, used, is_known=is_known)
            self._release = None


IfLate = Callable[[Reservation | None], None]
ReadBooks = Callable[
    [Sequence[Limit], int, Sequence[str]], Awaitable[Sequence[int]]
]  # limits, now in Unix ms, tasks to be left out -> what was used of each
OnReached = Callable[[Level, int], None]  # a limit of a day or month, percent


async def _no_books(limits: Sequence[Limit], now_ms: int, without: Sequence[str]) -> Sequence[int]:
    return [0] * len(limits)


class Reserver:
    """One per queen process. `epoch` is that of the counters in Redis; None while they are not there."""

    def __init__(self, pipe: RedisPipe, queen: str, *, read_books: ReadBooks = _no_books) -> None:
        self.pipe = pipe
        self.on_reached: list[OnReached] = []
        self._read_books = read_books
        self._ended: deque[tuple[float, Reservation, Mapping[str, int]]] = (
            deque()
        )  # since when, what was used
        self.queen = queen
        self.epoch: str | None = None
        self.held: dict[str, Reservation] = {}  # by task
        self._minutes: dict[
            str, tuple[int, int]
        ] = {}  # key of a window: its start, what this queen took of it
        self._used_today: dict[str, tuple[int, float]] = {}
        self._renewer: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._renewer = asyncio.create_task(self._renew(), name="renew leases")

    async def stop(self) -> None:
        if self._renewer:
            self._renewer.cancel()
            await asyncio.gather(self._renewer, return_exceptions=True)

    async def reserve(
        self, task: str, limits: Sequence[Limit], delivery: Delivery | None, *, if_late: IfLate
    ) -> Reservation:
        """Take every limit and dispatch, or do neither; without a delivery only take them. Raises TaskFailed, Unfunded, or
        RedisDown when it is not known which of the two happened: take the delivery back. A caller that is cancelled
        meanwhile is told by `if_late`: of what it holds, or None when that is nothing or not known."""
        reply = self._begin(task, limits, delivery)
        try:
            answer = await self._answer(reply, task, limits, delivery)
            if answer[0] == UNREAD:
                await self._load(limits, answer[1])
                reply = self._begin(task, limits, delivery)
                answer = await self._answer(reply, task, limits, delivery)
        except asyncio.CancelledError:
            reply.add_done_callback(lambda late: if_late(self._late(late, task, limits)))
            raise
        if answer[0] == UNREAD:
            raise rebuilding()
        if answer[0] == UNFUNDED:
            raise Unfunded
        if answer[0] == 0:
            _, index, used, reset_ms = answer
            refused = Level(limits[index], used, reset_ms)
            if refused.limit.kind in "dDM":
                self._tell(refused, 100)
            raise refusal(refused)
        return self._hold(task, limits, answer)

    async def dispatch(self, task: str, delivery: Delivery) -> None:
        """Another attempt of a task that holds its reservation. Raises TaskFailed, RedisDown."""
        await self._answer(self._begin(task, (), delivery), task, (), delivery)

    def _hold(self, task: str, limits: Sequence[Limit], answer: list[int]) -> Reservation:
        used, starts, resets = answer[1::3], answer[2::3], answer[3::3]
        levels = [Level(*level) for level in zip(limits, used, resets, strict=True)]
        held = Reservation(self, task, levels, starts)
        self.held[task] = held
        for limit, start in zip(limits, starts, strict=True):
            if limit.kind == "w":
                self._note(limit.key, start, limit.amount)
        for level in levels:
            if level.limit.kind in "dDM" and level.limit.limit >= 0:
                before = level.used - level.limit.amount  # what this task will use is not known
                for percent in THRESHOLDS:
                    if before * 100 >= level.limit.limit * percent:
                        self._tell(level, percent)
        return held

    def _tell(self, level: Level, percent: int) -> None:
        for listener in self.on_reached:
            listener(level, percent)

    def release(self, held: Reservation, used: Mapping[str, int], *, is_known: bool) -> None:
        """Called by `Reservation.release`."""
        self.held.pop(held.task, None)
        keys: list[Argument] = []
        args: list[Argument] = [held.task]
        for level, start in zip(held.levels, held.starts, strict=True):
            limit = level.limit
            if limit.kind == "m":
                if is_known:
                    paid = min(limit.amount, used.get(limit.unit, 0))
                    self.pipe.send_run(scripts.RELEASE_HOLDS, [limit.key], [held.task, paid])
                continue
            more = used.get(limit.unit, 0) - limit.amount if _is_corrected(limit) else 0
            if limit.kind == "l" or more:
                keys.append(limit.key)
                args += (limit.kind, start, more)
            if limit.kind == "w" and more:
                self._note(limit.key, start, more)
        if keys:
            self.pipe.send_run(scripts.RELEASE, keys, args)
        if any(level.limit.is_of_books for level in held.levels):
            now = time.monotonic()
            self._ended.append((now, held, used))
            while self._ended[0][0] < now - BOOKED_AFTER_S:
                self._ended.popleft()

    async def used_today(self, tenant_id: str) -> int:
        """Tokens of a tenant since midnight UTC, those of running tasks as reserved. At most 1 s old. Raises TaskFailed
        while counters are restored."""
        remembered = self._used_today.get(tenant_id)
        if remembered and remembered[1] > time.monotonic():
            return remembered[0]
        return (await self.used(tenant_id)).tokens_today

    async def used(self, tenant_id: str, subject: str = "") -> Used:
        """The same, never remembered, and what an end user took; asked for in one go. Raises TaskFailed."""
        windows = [(day_key(tenant_id), DAY_MS)]
        if subject:
            windows += zip(subject_keys(tenant_id, subject), (DAY_MS, MINUTE_MS), strict=True)
        try:
            epoch = self.pipe.call("GET", EPOCH_KEY)
            replies = [self.pipe.call("HMGET", key, "start", "used") for key, _ in windows]
            known_epoch, *counters = await asyncio.gather(epoch, *replies)
        except (RedisDown, RedisError):
            raise redis_unreachable() from None
        if known_epoch is None:
            raise rebuilding()
        now_ms = time.time() * 1000
        used = Used(
            *(
                int(taken) if start is not None and int(start) + period_ms > now_ms else 0
                for (_, period_ms), (start, taken) in zip(windows, counters, strict=True)
            )
        )
        if len(self._used_today) >= REMEMBERED_MAX:
            self._used_today.clear()
        self._used_today[tenant_id] = (used.tokens_today, time.monotonic() + REMEMBERED_S)
        return used

    async def register(self) -> bool:
        """Write down what this queen holds, unless this Redis has it already. False: it had. Raises RedisDown."""
        keys: list[Argument] = [f"rbee:registered:{self.queen}", COUNTED_KEY]
        args: list[Argument] = [LEASE_MS, BOOKS_KEPT_MS]
        now_ms = time.time() * 1000
        for key, (start, taken) in self._minutes.items():
            if start + MINUTE_MS > now_ms:
                keys.append(key)
                args += ("w", start, taken, "")
        for held in self.held.values():
            for level, start in zip(held.levels, held.starts, strict=True):
                if level.limit.kind not in "wm":  # a slice is lost with its Redis
                    keys.append(level.limit.key)
                    args += (level.limit.kind, start, level.limit.amount, held.task)
        oldest = time.monotonic() - BOOKED_AFTER_S
        for ended_at, ended, used in self._ended:
            for level, start in zip(ended.levels, ended.starts, strict=True):
                if level.limit.is_of_books and ended_at > oldest:
                    keys.append(level.limit.key)
                    args += (level.limit.kind, start, used.get(level.limit.unit, 0), ended.task)
        return bool(await self.pipe.run(scripts.REGISTER, keys, args))

    async def _load(self, limits: Sequence[Limit], now_ms: int) -> None:
        """Raises TaskFailed while the books cannot be read."""
        unread = [limit for limit in limits if limit.is_of_books]
        without = [task.decode() for task in await self.pipe.call("SMEMBERS", COUNTED_KEY)]
        try:
            used = await self._read_books(unread, now_ms, without)
        except Exception as error:
            _log.warning("the books cannot be read: %s", type(error).__name__)
            raise rebuilding() from error
        args: list[Argument] = [BOOKS_KEPT_MS]
        for limit, amount in zip(unread, used, strict=True):
            args += (period_start_ms(limit, now_ms), amount)
        await self.pipe.run(scripts.LOAD_QUANTITIES, [limit.key for limit in unread], args)

    async def reload(self, day_start_ms: int, used_by_tenant: Mapping[str, int]) -> None:
        """What the books say that tenants used since `day_start_ms`, unless this Redis has it already."""
        keys = ["rbee:reloaded", *(day_key(tenant) for tenant in used_by_tenant)]
        await self.pipe.run(scripts.RELOAD, keys, [day_start_ms, *used_by_tenant.values()])

    def _begin(
        self, task: str, limits: Sequence[Limit], delivery: Delivery | None, *, in_full: bool = False
    ) -> Reply:
        if self.epoch is None:
            raise rebuilding()
        where = delivery or NOWHERE
        keys: list[Argument] = [EPOCH_KEY, where.body_key, where.queue]
        args: list[Argument] = [self.epoch, where.body, where.body_ms, where.message, task, LEASE_MS]
        for limit in limits:
            keys.append(limit.key)
            args += (limit.kind, limit.enforced, limit.amount)
        return self.pipe.begin(scripts.RESERVE_DISPATCH, keys, args, in_full=in_full)

    async def _answer(
        self, reply: Reply, task: str, limits: Sequence[Limit], delivery: Delivery | None
    ) -> list[int]:
        try:
            try:
                answer: list[int] = await asyncio.shield(reply)
            except ScriptMissing:
                answer = await self._begin(task, limits, delivery, in_full=True)
        except RedisError as error:
            _log.error("Redis refused a reservation: %s", error)
            raise redis_unreachable() from None
        if answer[0] == -1:
            raise rebuilding()
        return answer

    def _late(self, reply: Reply, task: str, limits: Sequence[Limit]) -> Reservation | None:
        if reply.cancelled() or reply.exception() is not None or reply.result()[0] != 1:
            return None
        return self._hold(task, limits, reply.result())

    def _note(self, key: str, start: int, amount: int) -> None:
        known = self._minutes.get(key)
        if known is None or known[0] < start:
            self._minutes[key] = (start, amount)
        elif known[0] == start:
            self._minutes[key] = (start, known[1] + amount)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_INTERVAL_S)
            self._forget_minutes()
            for key, tasks in self._leases().items():
                for part in _parts(tasks):
                    self.pipe.send_run(scripts.RENEW_LEASES, [key], [LEASE_MS, *part])

    def _leases(self) -> dict[str, list[str]]:
        leases: dict[str, list[str]] = {}
        for held in self.held.values():
            for level in held.levels:
                if level.limit.kind == "l":
                    leases.setdefault(level.limit.key, []).append(held.task)
        return leases

    def _forget_minutes(self) -> None:
        oldest_ms = time.time() * 1000 - 2 * MINUTE_MS
        self._minutes = {key: known for key, known in self._minutes.items() if known[0] > oldest_ms}


def period_start_ms(limit: Limit, now_ms: int) -> int:
    day_ms = now_ms - now_ms % DAY_MS
    if limit.kind != "M":
        return day_ms
    return day_ms - (datetime.fromtimestamp(now_ms / 1000, UTC).day - 1) * DAY_MS


def month_end_ms(now_ms: int) -> int:
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    return int(datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000)


def _is_corrected(limit: Limit) -> bool:
    """A minute's requests were made, whatever became of them."""
    return limit.kind in "dDM" or (limit.kind == "w" and limit.unit == TOKENS)


def _parts(tasks: list[str]) -> Iterable[list[str]]:
    return (tasks[at : at + RENEWED_AT_ONCE] for at in range(0, len(tasks), RENEWED_AT_ONCE))
