"""Where tasks wait in one queen process while all workers for their model are busy, or while it is being loaded.

A line for each model, in which tenants take fair turns. It moves when a task of this process ends, and at each look at
the colony, which shows what ended elsewhere. While workers are free nobody comes here.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from inference.domain.colony import Colony, WorkerView
from inference.domain.failures import TaskFailed
from inference.domain.fair_queue import FairQueue, LineFull, Waiting
from inference.domain.refusals import NoWorkers
from inference.domain.task import Task

WEIGHTS: Final = {"enterprise": 4, "pro": 2}  # by tier; of all others 1
BODY_BYTES_PER_TOKEN: Final = 16  # what is held counts too: pictures in a body are no tokens yet
RETRY_MIN_S: Final = 1
RETRY_MAX_S: Final = 60
SMOOTHING: Final = 0.2

Choose = Callable[[set[str]], WorkerView]
TokensHeld = Callable[[str, str], int]  # tenant, model -> what is reserved for its tasks that run


class _Waiter:
    __slots__ = ("choose", "granted", "task")

    def __init__(self, task: Task, choose: Choose) -> None:
        self.task = task
        self.choose = choose
        self.granted: asyncio.Future[WorkerView] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        if not self.granted.done():
            self.granted.set_exception(error)


class _Line:
    def __init__(self) -> None:
        self.queue: FairQueue[_Waiter] = FairQueue()
        self._interval_s = 1.0
        self._served_at = time.monotonic()

    def note_served(self) -> None:
        now = time.monotonic()
        self._interval_s += SMOOTHING * (now - self._served_at - self._interval_s)
        self._served_at = now

    def retry_after_s(self, tenant: str) -> int:
        """When as many have been served as are before it, at the pace of late."""
        expected_s = self.queue.ahead_of(tenant) * self._interval_s
        return min(RETRY_MAX_S, max(RETRY_MIN_S, math.ceil(expected_s)))


class WaitingRoom:
    """One per queen process. `timeout_s` 0: nobody waits."""

    def __init__(self, colony: Colony, *, timeout_s: float, tokens_held: TokensHeld = lambda *_: 0) -> None:
        self.timeout_s = timeout_s
        self.tokens_held = tokens_held
        self._colony = colony
        self._lines: dict[str, _Line] = {}  # by model
        self._due: set[str] = set()
        self._waiters: dict[str, _Waiter] = {}  # by task
        colony.on_look.append(self._on_look)

    def __len__(self) -> int:
        return sum(len(line.queue) for line in self._lines.values())

    def has_line(self, model: str) -> bool:
        """Somebody is before whoever comes, and is about to be served."""
        return model in self._lines and self._colony.has_room(model)

    async def wait(self, task: Task, choose: Choose, wait_s: float) -> WorkerView:
        """For a worker. It is the caller's for as long as nothing is awaited: give it the task at once. Raises what
        `choose` raises, NoWorkers after `wait_s`, and TaskFailed when there is no place in the line."""
        line = self._lines.setdefault(task.model, _Line())
        waiting = self._waiting(task, choose)
        self._waiters[task.id] = waiting.item
        try:
            self._enter(line, waiting)
            self.wake(task.model)
            timer = asyncio.get_running_loop().call_later(
                wait_s, lambda: waiting.item.fail(self._too_long(line, task, wait_s))
            )
            try:
                worker = await waiting.item.granted
            finally:
                timer.cancel()
        except asyncio.CancelledError:
            granted = waiting.item.granted
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                granted.result().take()
                self.wake(task.model)
            raise
        finally:
            del self._waiters[task.id]
            line.queue.remove(waiting)
            if not line.queue and self._lines.get(task.model) is line:
                del self._lines[task.model]
        worker.take()
        return worker

    def refuse(self, task: Task, error: Exception) -> None:
        """Whoever waits for it gets `error`; nobody may."""
        if (waiter := self._waiters.get(task.id)) is not None:
            waiter.fail(error)

    def wake(self, model: str) -> None:
        """A worker may be free. Soon: scripts are asked, which nobody's frames should wait for."""
        if model in self._lines:
            if not self._due:
                asyncio.get_running_loop().call_soon(self._serve_due)
            self._due.add(model)

    def _on_look(self) -> None:
        for model in self._lines:
            self.wake(model)

    def _serve_due(self) -> None:
        due, self._due = self._due, set()
        for model in due:
            if (line := self._lines.get(model)) is not None:
                self._serve(model, line)

    def _serve(self, model: str, line: _Line) -> None:
        while self._colony.has_room(model) or not self._colony.busy(model):
            if not any(self._is_settled(line, waiting) for waiting in line.queue.in_turn()):
                return

    def _is_settled(self, line: _Line, waiting: Waiting[_Waiter]) -> bool:
        """It was given a worker, or will never get one. Otherwise others may still be: theirs are other workers."""
        waiter = waiting.item
        if waiter.granted.done():
            line.queue.remove(waiting)
            return True
        try:
            worker = waiter.choose(set())
        except NoWorkers as refusal:
            if refusal.is_busy or (refusal.is_loading and waiter.task.wait_for_model_s):
                return False
            waiter.fail(refusal)
            line.queue.remove(waiting)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is that caller's
            waiter.fail(error)
            line.queue.remove(waiting)
        else:
            worker.give()
            waiter.granted.set_result(worker)
            line.queue.serve(waiting)
            line.note_served()
        return True

    def _waiting(self, task: Task, choose: Choose) -> Waiting[_Waiter]:
        return Waiting(
            _Waiter(task, choose),
            tenant=task.caller.tenant_id,
            weight=WEIGHTS.get(task.caller.tier, 1),
            tokens=max(task.tokens_reserved, len(task.body) // BODY_BYTES_PER_TOKEN),
            priority=task.priority,
        )

    def _enter(self, line: _Line, waiting: Waiting[_Waiter]) -> None:
        task = waiting.item.task
        held = 0 if line.queue.has(waiting.tenant) else self.tokens_held(waiting.tenant, task.model)
        try:
            leaving = line.queue.add(waiting, tokens_held=held)
        except LineFull as full:
            retry_s = line.retry_after_s(waiting.tenant)
            raise (_too_many(task, retry_s) if full.is_tenants else _line_full(task, retry_s)) from None
        for evicted in leaving:
            evicted.item.fail(_line_full(evicted.item.task, line.retry_after_s(evicted.tenant)))

    def _too_long(self, line: _Line, task: Task, wait_s: float) -> NoWorkers:
        refusal = NoWorkers(task.model, is_busy=True)
        refusal.message = f"{refusal.message.split(';')[0]}; this request waited for {wait_s:g} s."
        refusal.headers["retry-after"] = str(line.retry_after_s(task.caller.tenant_id))
        return refusal


def _too_many(task: Task, retry_s: int) -> TaskFailed:
    return TaskFailed(
        429,
        "rate_limit_error",
        "rate_limit_exceeded",
        f"All workers for the model '{task.model}' are busy, and as many requests of yours wait for it as may; try again"
        f" in {retry_s} s.",
        {"retry-after": str(retry_s)},
    )


def _line_full(task: Task, retry_s: int) -> TaskFailed:
    return TaskFailed(
        503,
        "service_unavailable",
        "no_workers",
        f"All workers for the model '{task.model}' are busy and the line for them is full; try again in {retry_s} s.",
        {"retry-after": str(retry_s)},
    )
