"""From an admitted task to its tokens: give it to a hive, and to another one while nobody has begun to answer.

    sent ──► BEGUN ──► first chunk ──► END
      │        │            │
      │        │            └ the hive is lost: the answer fails, the queen books it
      │        └ the hive is lost: fence, then another hive
      └ REFUSED, or unclaimed after CLAIM_TIMEOUT_S and taken back: another hive

A task moves at most MAX_ATTEMPTS - 1 times, never after its first chunk, and never because that one is slow. Refusals of
full workers do not count among these: it waits until one has room, holding what was reserved for it.

Every way out of a task ends in `_finish`, which gives back what it held. It never waits, so no cancellation comes between.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from hive_agent.protocol import (
    CLAIM_TIMEOUT_S,
    CONTROL_FIELD,
    TASKS_QUEUE,
    VERSION,
    Control,
    ControlKind,
    Outcome,
    TaskBody,
    body_key,
    encode,
)
from inference.domain import failures
from inference.domain.colony import Colony, WorkerView
from inference.domain.eligibility import may_serve
from inference.domain.envelope import seal
from inference.domain.failover import Failover, Fence, SettleLost
from inference.domain.failures import TaskFailed
from inference.domain.limits import Limit, limits_of, money_limit
from inference.domain.refusals import NoWorkers
from inference.domain.reserve import Delivery, Reservation, Reserver, Unfunded
from inference.domain.stream import TaskStream
from inference.domain.task import Task
from inference.domain.waiting_room import WaitingRoom
from inference.transport.publisher import task_message
from inference.transport.reader import TokenReader
from inference.transport.resp import RedisDown, RedisPipe, Reply
from tenants.domain.limit_shape import NO_LEVELS

__all__ = ["Choose", "Dispatcher", "Fence", "SettleLost", "TaskFailed", "TaskStream"]

MAX_ATTEMPTS = 3
MAX_REFUSALS = 20
MAX_TOP_UPS = 10  # of a tenant whose tasks compete for its money
NOTHING_USED: Mapping[str, int] = {}
BEGIN_TIMEOUT_S = 5.0  # from the claim to BEGUN, which waits for no engine
BODY_MS = 10_000  # longer than a queen leaves it unclaimed
DEADLINE_GRACE_S = 5.0  # the hive ends a task at its deadline; this is for one that does not
LINGER_S = 30.0  # how long the END of a cancelled or failed task is waited for
STALLED_S = 30.0  # how long a client may take for one write
SWEEP_INTERVAL_S = 1.0
CONTROL_LENGTH = 1000

Choose = Callable[
    [set[str]], WorkerView
]  # ids of the hives that were tried -> who is next; raises when nobody is

_log = logging.getLogger(__name__)


class Money(Protocol):
    """`inference.domain.treasury.Treasury`."""

    def slice_of(self, tenant_id: str, currency: str, /) -> str: ...
    def top_up(self, tenant_id: str, currency: str, need_micros: int, /) -> Awaitable[None]: ...


class NoLongerEligible(Exception):
    """The worker may not serve this customer any more: since it was chosen, the attestation of its hive has ended, or the
    operator has said something else of it."""


class Dispatcher:
    """One per queen process. Without `money` no task may have a price to be held."""

    def __init__(
        self,
        pipe: RedisPipe,
        reader: TokenReader,
        colony: Colony,
        reserver: Reserver,
        *,
        fence: Fence,
        settle_lost: SettleLost,
        room: WaitingRoom,
        money: Money | None = None,
    ) -> None:
        self.live: dict[str, TaskStream] = {}  # by task
        self._pipe = pipe
        self._reader = reader
        self._colony = colony
        self._reserver = reserver
        self._room = room
        self._money = money
        self._failover = Failover(fence, settle_lost)
        self._orphans: list[tuple[TaskStream, Outcome]] = []  # their hives could not be told to stop
        self._sweeper: asyncio.Task[None] | None = None
        room.tokens_held = self._tokens_held
        colony.on_lost.append(self._on_hive_lost)
        colony.on_epoch.append(self._on_hive_replaced)

    def run(self) -> None:
        """Watch deadlines and stalled clients, until `stop`."""
        self._sweeper = asyncio.create_task(self._sweep(), name="sweep tasks")

    async def stop(self) -> None:
        """Cancel what still runs."""
        if self._sweeper:
            self._sweeper.cancel()
            await asyncio.gather(self._sweeper, return_exceptions=True)
        for stream in list(self.live.values()):
            stream.fail(failures.stream_lost())
            stream.cancel(Outcome.PLATFORM_FAILED)
        try:
            await self._pipe.call("PING")  # all that was sent before has left
        except RedisDown:
            pass
        await self._failover.stop()

    async def start(self, task: Task, choose: Choose) -> TaskStream:
        """Its first frame is there when this returns. `cancel` the stream whatever happens to the client. Raises
        TaskFailed, and what `choose` raises; then nothing is left to do."""
        stream = TaskStream(task, self)
        self.live[task.id] = stream
        try:
            await self._begin(stream, choose)
        except BaseException:  # a cancelled caller above all
            self._leave(stream)
            raise
        return stream

    async def _begin(self, stream: TaskStream, choose: Choose) -> None:
        tried: set[str] = set()
        moves = refusals = 0
        while moves < MAX_ATTEMPTS and refusals < MAX_REFUSALS:
            worker = await self._next_worker(stream, choose, tried)
            try:
                await self._deliver(stream, worker, moves + refusals + 1)
            except NoLongerEligible:
                moves += 1
                continue
            if await self._is_answered(stream):
                return
            self._detach(stream)
            tried.add(worker.hive_id)
            if stream.refused is not None:
                refusals += 1
                worker.fill()
            else:
                moves += 1
        raise failures.no_workers()

    async def _next_worker(self, stream: TaskStream, choose: Choose, tried: set[str]) -> WorkerView:
        """At once, or when it is this task's turn. Limits are taken first: who is over one does not stand in line."""
        task = stream.task
        wait_s = self._room.timeout_s
        if not wait_s or not self._room.has_line(task.model):
            try:
                return choose(tried)
            except NoWorkers as refusal:
                wait_s = wait_s if refusal.is_busy else task.wait_for_model_s if refusal.is_loading else 0
                if not wait_s:
                    raise
        began = time.monotonic()
        if stream.reservation is None:
            await self._reserve(stream, is_given=False)
        before_ms = stream.queued_ms or 0
        left_s = min(wait_s - before_ms / 1000, task.deadline_ms / 1000 - time.time())
        worker = await self._room.wait(task, choose, left_s)
        tried.clear()  # who was full may have room again
        stream.queued_ms = before_ms + round((time.monotonic() - began) * 1000)
        return worker

    def _tokens_held(self, tenant_id: str, model: str) -> int:
        """What is reserved for a tenant's tasks that have a worker."""
        return sum(
            stream.task.tokens_reserved
            for stream in self.live.values()
            if stream.is_attached and stream.task.model == model and stream.task.caller.tenant_id == tenant_id
        )

    async def _reserve(self, stream: TaskStream, *, is_given: bool) -> None:
        """`is_given`: with the delivery to its worker."""
        task = stream.task
        limits = limits_of(
            task.caller,
            task.tokens_reserved,
            subject=task.subject,
            counts_subject=task.is_subject_counted,
            amounts=None if task.caller.levels is NO_LEVELS else task.amounts,
        )
        if not task.hold_micros or task.price is None or self._money is None:
            await self._take(stream, limits, is_given=is_given)
            return
        whose = (task.caller.tenant_id, task.price.currency)
        for _ in range(MAX_TOP_UPS):
            if slice_id := self._money.slice_of(*whose):
                task.slice_id = slice_id
                if is_given:
                    stream.envelope = task.make_envelope(stream.attempt, stream.worker)
                try:
                    await self._take(
                        stream, [*limits, money_limit(slice_id, task.hold_micros)], is_given=is_given
                    )
                    return
                except Unfunded:
                    pass
            self._detach(stream)  # whoever leaves meanwhile leaves nothing with a hive
            await self._money.top_up(*whose, task.hold_micros)
            if is_given:
                self._attach(stream)
        raise failures.balance_unknown()

    async def _take(self, stream: TaskStream, limits: Sequence[Limit], *, is_given: bool) -> None:
        stream.reservation = await self._reserver.reserve(
            stream.task.id,
            limits,
            self._delivery(stream) if is_given else None,
            if_late=lambda late: self._on_reserved_late(stream, late),
        )

    async def _deliver(self, stream: TaskStream, worker: WorkerView, attempt: int) -> None:
        task = stream.task
        stream.give_to(worker, task.make_envelope(attempt, worker))
        try:
            self._attach(stream)
            if stream.reservation is None:
                await self._reserve(stream, is_given=True)
            else:
                await self._reserver.dispatch(task.id, self._delivery(stream))
        except (TaskFailed, NoLongerEligible):
            self._detach(stream)  # nobody got it
            raise
        except RedisDown:
            self._orphan(stream)  # somebody may have got it
            raise failures.redis_unreachable() from None

    def _delivery(self, stream: TaskStream) -> Delivery:
        task, worker = stream.task, stream.worker
        if not may_serve(worker, task.caller):
            raise NoLongerEligible
        left_ms = task.deadline_ms - time.time_ns() // 1_000_000
        if left_ms <= 0:
            raise failures.timed_out()
        body = TaskBody(
            version=VERSION,
            task=task.id,
            attempt=stream.attempt,
            queen=self._reader.queen,
            worker=worker.id,
            model=task.model,
            endpoint=task.endpoint,
            stream=task.stream,
            include_usage=task.include_usage,
            deadline_ms=task.deadline_ms,
            created_s=task.created_s,
            answer_id=task.answer_id,
            request=task.body,
            envelope=seal(stream.envelope),
        )
        return Delivery(
            body_key=_body_key(stream),
            body=encode(body),
            body_ms=min(left_ms, BODY_MS),
            queue=f"{worker.prefix}{TASKS_QUEUE}",
            message=task_message(task.id, stream.attempt, task.deadline_ms),
        )

    async def _is_answered(self, stream: TaskStream) -> bool:
        """False: another hive may have it. Raises TaskFailed."""
        if not await _has_sign_within(stream, CLAIM_TIMEOUT_S):
            if await self._take_back(stream):
                return False
            if not await _has_sign_within(stream, BEGIN_TIMEOUT_S):
                stream.lose()
        while stream.first is None and not stream.is_decided:
            await stream.wait()
        if stream.first is not None:
            if stream.is_lost and stream.end is None:  # it came in the moment in which the hive was given up
                self._fail_lost(stream)
                self._failover.settle(stream.envelope)
            return True
        if stream.refused is not None:
            return False
        if stream.is_lost and not stream.is_cancelled:
            await self._fence(stream)
            return False
        raise stream.failure or failures.worker_lost()

    async def _take_back(self, stream: TaskStream) -> bool:
        """False: a hive has claimed it."""
        try:
            return await self._pipe.call("GETDEL", _body_key(stream)) is not None
        except RedisDown:
            self._orphan(stream)
            raise failures.redis_unreachable() from None

    async def _fence(self, stream: TaskStream) -> None:
        """Raises TaskFailed when the task must not begin elsewhere."""
        lost = stream.envelope
        try:
            is_free = await self._failover.fence(lost)
        except asyncio.CancelledError:
            self._failover.settle(lost)  # the fence may stand
            raise
        except Exception as error:
            _log.warning("task %s cannot be moved: %s", lost.task, type(error).__name__)
            self._failover.settle(lost)
            self._finish(stream, is_known=False)
            raise failures.worker_lost() from error
        if not is_free:
            self._finish(stream, is_known=False)
            raise failures.worker_lost()
        stream.owed = lost
        self._tell_hive(stream, Outcome.PLATFORM_FAILED)

    def _leave(self, stream: TaskStream) -> None:
        """`start` ends without a stream. What a hive has is cancelled, and waited for in the background."""
        if not stream.is_attached:
            self._finish(stream)
        elif stream.failure is None:
            stream.cancel()

    def _on_reserved_late(self, stream: TaskStream, late: Reservation | None) -> None:
        if late is None:
            self._orphan(stream)
        elif stream.is_over:
            late.release({})
        else:
            stream.reservation = late

    def end(self, stream: TaskStream, failure: TaskFailed) -> None:
        """Whether it waits for a worker or runs; what was produced is charged. One that is just being given to a hive is
        left alone: say it again."""
        if not stream.is_attached:
            self._room.refuse(stream.task, failure)
        elif stream.reservation is not None:
            stream.fail(failure)
            stream.cancel()

    def on_cancel(self, stream: TaskStream, outcome: Outcome) -> None:
        """Of the stream."""
        if not stream.is_attached:
            return
        if not self._pipe.is_connected:
            self._orphans.append((stream, outcome))
            return
        self._tell_hive(stream, outcome)
        if stream.begun is None:
            body = self._pipe.call("GETDEL", _body_key(stream))
            body.add_done_callback(lambda reply: self._on_taken_back(stream, reply))

    def on_begun(self, stream: TaskStream) -> None:
        """Of the stream. Its hive may have been replaced before this was read, and what followed with it."""
        hive = self._colony.hive(stream.hive_id)
        if hive is not None and hive.epoch > stream.epoch:
            asyncio.get_running_loop().call_soon(self._on_hive_replaced, hive.info.id, hive.epoch)

    def on_end(self, stream: TaskStream) -> None:
        """Of the stream."""
        self._finish(stream, stream.used)

    def on_stream_lost(self, stream: TaskStream) -> None:
        """Of the stream."""
        stream.fail(failures.stream_lost())
        self._orphan(stream)

    def _on_taken_back(self, stream: TaskStream, reply: Reply) -> None:
        if not reply.cancelled() and reply.exception() is None and reply.result() is not None:
            self._finish(stream)  # no hive has it: there will be no END

    def _on_hive_lost(self, hive_id: str) -> None:
        for stream in self._of_hive(hive_id):
            if stream.has_sign and not self._can_move(stream):
                self._fail_lost(stream)
                self._failover.settle(stream.envelope)

    def _on_hive_replaced(self, hive_id: str, epoch: int) -> None:
        """The new process reports what the old one had begun: it finds it in the spool."""
        for stream in self._of_hive(hive_id):
            if stream.begun is not None and stream.epoch != epoch and not self._can_move(stream):
                self._fail_lost(stream)

    def _of_hive(self, hive_id: str) -> list[TaskStream]:
        return [stream for stream in self.live.values() if stream.hive_id == hive_id and stream.is_attached]

    def _can_move(self, stream: TaskStream) -> bool:
        """If so it is told to: `start` still has it."""
        if stream.first is not None or stream.is_decided:
            return stream.is_lost
        stream.lose()
        return True

    def _fail_lost(self, stream: TaskStream) -> None:
        stream.fail(failures.worker_lost())
        self._finish(stream, is_known=False)

    def _attach(self, stream: TaskStream) -> None:
        self._reader.expect(stream.task.id, stream.worker.prefix, stream, self._pipe)
        stream.worker.give()
        stream.is_attached = True

    def _detach(self, stream: TaskStream) -> None:
        if stream.is_attached:
            stream.is_attached = False
            self._reader.forget(stream.task.id)
            stream.worker.take()
            self._room.wake(stream.task.model)  # also when it goes elsewhere

    def _finish(
        self, stream: TaskStream, used: Mapping[str, int] = NOTHING_USED, *, is_known: bool = True
    ) -> None:
        """`is_known`: nobody will say later that it used something else. Money is given back only then; else by whoever
        books the task."""
        if stream.is_over:
            return
        stream.is_over = True
        self._detach(stream)
        self.live.pop(stream.task.id, None)
        self._room.wake(stream.task.model)
        if stream.reservation is not None:
            stream.reservation.release(used, is_known=is_known)
        if stream.owed is not None and (stream.attempt == stream.owed.attempt or stream.begun is None):
            self._failover.settle(stream.owed)  # no later attempt began that will be reported

    def _orphan(self, stream: TaskStream) -> None:
        """Redis is away, or forgot the stream. The hive is told to stop when it can be."""
        if not stream.is_over:
            self._orphans.append((stream, Outcome.PLATFORM_FAILED))
            self._finish(stream, is_known=False)
            self._tell_orphans()

    def _tell_orphans(self) -> None:
        if self._orphans and self._pipe.is_connected:
            for stream, outcome in self._orphans:
                self._tell_hive(stream, outcome)
                self._pipe.send("UNLINK", _body_key(stream))
            self._orphans = []

    def _tell_hive(self, stream: TaskStream, outcome: Outcome) -> None:
        control = Control(ControlKind.CANCEL, stream.task.id, stream.attempt, outcome)
        self._pipe.send(
            "XADD",
            f"{stream.worker.prefix}control",
            "MAXLEN",
            "~",
            CONTROL_LENGTH,
            "*",
            CONTROL_FIELD,
            encode(control),
        )

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_INTERVAL_S)
            self._tell_orphans()
            now, now_ms = time.monotonic(), time.time() * 1000
            for stream in list(self.live.values()):
                self._look_at(stream, now, now_ms)

    def _look_at(self, stream: TaskStream, now: float, now_ms: float) -> None:
        if stream.closing_at:
            hive = self._colony.hive(stream.hive_id)
            is_awaited = hive is not None and hive.is_silent and not hive.is_lost
            if now - stream.closing_at > LINGER_S and not is_awaited:
                self._finish(stream, stream.task.amounts, is_known=False)
        elif now_ms > stream.task.deadline_ms + DEADLINE_GRACE_S * 1000:
            stream.fail(failures.timed_out())
            stream.cancel(Outcome.TIMED_OUT)
        elif stream.handed_over_at and now - stream.handed_over_at > STALLED_S:
            stream.fail(failures.client_too_slow())
            stream.cancel()


async def _has_sign_within(stream: TaskStream, timeout_s: float) -> bool:
    if stream.has_sign:
        return True
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s
    timer = loop.call_later(timeout_s, stream.wake)
    try:
        while not stream.has_sign and loop.time() < until:
            await stream.wait()
    finally:
        timer.cancel()
    return stream.has_sign


def _body_key(stream: TaskStream) -> str:
    return stream.worker.prefix + body_key(stream.task.id, stream.attempt)
