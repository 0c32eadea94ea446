"""Limits, taken with the dispatch in one Lua call, and given back when the task ends.

What a killed queen held comes back by itself: concurrency when its leases run out, the quantities of a minute with the
minute. What it took of the day counts as used.

After Redis lost everything, `register` writes down again what this queen holds and what it took in the running minutes
(see recovery.py).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from inference.domain.failures import rebuilding, redis_unreachable
from inference.domain.limits import (
    DAY_MS,
    MINUTE_MS,
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

_log = logging.getLogger(__name__)


class Delivery(NamedTuple):
    """What a hive gets: see hive_agent.protocol."""

    body_key: str
    body: bytes
    body_ms: int  # until it expires
    queue: str
    message: bytes


NOWHERE = Delivery("", b"", 0, "", b"")


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

    def release(self, tokens_used: int) -> None:
        """Once; nothing after that. Never waits."""
        if self._release is not None:
            self._release.release(self, tokens_used)
            self._release = None


IfLate = Callable[[Reservation | None], None]


class Reserver:
    """One per queen process. `epoch` is that of the counters in Redis; None while they are not there."""

    def __init__(self, pipe: RedisPipe, queen: str) -> None:
        self.pipe = pipe
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
        """Take every limit and dispatch, or do neither; without a delivery only take them. Raises TaskFailed, or RedisDown when it is not known which of the
        two happened: take the delivery back. A caller that is cancelled meanwhile is told by `if_late`: of what it
        holds, or None when that is nothing or not known."""
        reply = self._begin(task, limits, delivery)
        try:
            answer = await self._answer(reply, task, limits, delivery)
        except asyncio.CancelledError:
            reply.add_done_callback(lambda late: if_late(self._late(late, task, limits)))
            raise
        if answer[0] == 0:
            _, index, used, reset_ms = answer
            raise refusal(Level(limits[index], used, reset_ms))
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
        return held

    def release(self, held: Reservation, tokens_used: int) -> None:
        """Called by `Reservation.release`."""
        self.held.pop(held.task, None)
        keys: list[Argument] = []
        args: list[Argument] = [held.task]
        for level, start in zip(held.levels, held.starts, strict=True):
            limit = level.limit
            more = tokens_used - limit.amount if limit.is_of_tokens else 0
            if limit.kind == "l" or more:
                keys.append(limit.key)
                args += (limit.kind, start, more)
            if limit.kind == "w" and more:
                self._note(limit.key, start, more)
        if keys:
            self.pipe.send_run(scripts.RELEASE, keys, args)

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
        keys: list[Argument] = [f"rbee:registered:{self.queen}"]
        args: list[Argument] = [LEASE_MS]
        now_ms = time.time() * 1000
        for key, (start, taken) in self._minutes.items():
            if start + MINUTE_MS > now_ms:
                keys.append(key)
                args += ("w", start, taken, "")
        for held in self.held.values():
            for level, start in zip(held.levels, held.starts, strict=True):
                if level.limit.kind != "w":
                    keys.append(level.limit.key)
                    args += (level.limit.kind, start, level.limit.amount, held.task)
        return bool(await self.pipe.run(scripts.REGISTER, keys, args))

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
            args += (limit.kind, limit.limit, limit.amount)
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


def _parts(tasks: list[str]) -> Iterable[list[str]]:
    return (tasks[at : at + RENEWED_AT_ONCE] for at in range(0, len(tasks), RENEWED_AT_ONCE))
