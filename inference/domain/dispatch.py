"""From an admitted task to its tokens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from typing import Protocol
from uuid import UUID

from hive_agent.protocol import End, Frame, Outcome
from inference.domain.colony import Colony, WorkerView
from inference.domain.failures import TaskFailed
from inference.domain.reserve import Reserver
from inference.domain.task import Task
from inference.transport.reader import TokenReader
from inference.transport.resp import RedisPipe

__all__ = ["Choose", "Dispatcher", "Fence", "SettleLost", "TaskFailed", "TaskStream"]

Choose = Callable[[set[str]], WorkerView]  # ids of the hives that were tried -> who is next; raises when nobody is


class Fence(Protocol):
    """`billing.domain.fence.fence` without its pool. False: the task is settled already."""

    def __call__(
        self, task_id: UUID, month: date, tenant_id: UUID, lowest_valid_attempt: int
    ) -> Awaitable[bool]: ...


SettleLost = Callable[[bytes], Awaitable[None]]  # the sealed envelope of an attempt whose hive is lost; charged 0


class TaskStream:
    """The answer of one task. `first` is there; `end` only after `frames` has ended by itself."""

    task: Task
    worker: WorkerView
    attempt: int
    first: Frame  # CHUNK or RESULT
    end: End | None
    headers: dict[str, str]  # x-ratelimit-*

    def frames(self) -> AsyncIterator[bytes]:
        """SSE bytes, or the JSON body; several frames joined when the consumer was behind. The first one included.
        Raises TaskFailed."""
        raise NotImplementedError

    def cancel(self, outcome: Outcome = Outcome.CLIENT_CANCELLED) -> None:
        """Nothing when the task has ended. Call it in a `finally`: it never waits."""
        raise NotImplementedError


class Dispatcher:
    def __init__(
        self,
        pipe: RedisPipe,
        reader: TokenReader,
        colony: Colony,
        reserver: Reserver,
        *,
        fence: Fence,
        settle_lost: SettleLost,
    ) -> None:
        raise NotImplementedError

    async def start(self, task: Task, choose: Choose) -> TaskStream:
        """Raises TaskFailed, and what `choose` raises."""
        raise NotImplementedError
