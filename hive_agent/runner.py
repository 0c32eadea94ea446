"""Runs tasks: one asyncio loop in a thread of the Celery worker's process, to which every Celery thread hands its task.

    claim    GETDEL of the body; none there: another delivery of the message was first, or the queen took it back
    open     a row in the spool, on disk before the engine is asked
    BEGUN    the queen knows who has the task
    answer   the engine's events become frames; counts go to the spool each second or 64 tokens
    close    the receipt, on disk before END tells the outcome

Whatever stops a task (a cancel, its deadline, a lost queen, a drain) goes through `Job.stop`: the engine is aborted, and
what it had counted by then is what the receipt says.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Coroutine
from statistics import median

import msgspec
from redis.exceptions import RedisError

from hive_agent import clock, redis_client
from hive_agent.answer import WORKER_ERROR, Answer, Ended
from hive_agent.cancellations import Cancellations
from hive_agent.control import follow_control
from hive_agent.credentials import Credentials
from hive_agent.ending import cancel_all
from hive_agent.engine_client import EngineClient
from hive_agent.engines import load_engine
from hive_agent.folder import Folder
from hive_agent.protocol import (
    VERSION,
    Begun,
    Control,
    ControlKind,
    End,
    Endpoint,
    Frame,
    FrameKind,
    Outcome,
    TaskBody,
    TaskError,
    body_key,
    decode_body,
    encode,
)
from hive_agent.shared_state import RunnerState, SharedFile, WorkerEntry, WorkerGauges, WorkerTable
from hive_agent.spool import Attempt, Spool
from hive_agent.spool_writer import SpoolFailed, SpoolWriter
from hive_agent.writer import FrameWriter

log = logging.getLogger(__name__)

STATE_INTERVAL_S = 0.25
DRAIN_S = 30.0
TTFT_SAMPLES = 32
CLOSE_RETRY_S = 1.0


class Job:
    """A task that this runner holds."""

    def __init__(self, body: TaskBody, worker: WorkerEntry, attempt: Attempt) -> None:
        self.body = body
        self.worker = worker
        self.attempt = attempt
        self.sent = 0  # numbered frames
        self.stopped: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    def stop(self, ended: Ended) -> None:
        if not self.stopped.done():
            self.stopped.set_result(ended)


class Runner:
    def __init__(self, folder: Folder, credentials: Credentials, epoch: int) -> None:
        self.folder = folder
        self.hive = credentials.hive
        self.prefix = credentials.redis.prefix
        self.epoch = epoch
        self.table = SharedFile(folder.workers, WorkerTable)
        self.state_file = SharedFile(folder.runner, RunnerState)
        self.redis = redis_client.connect(credentials.redis_url)
        self.engines = EngineClient()
        self.jobs: dict[tuple[str, int], Job] = {}
        self.cancellations = Cancellations()
        self.first_tokens: dict[str, deque[int]] = {}
        self.is_draining = False
        self.probe = ""
        self.background: set[asyncio.Task[None]] = set()
        self.writer = FrameWriter(self.redis, self.prefix, self._on_queen_lost)

    async def start(self) -> None:
        spool = Spool(self.folder.spool)
        abandoned = spool.close_abandoned(self.epoch, self._now_ms())
        spool.shut()
        if abandoned:
            log.warning("%d tasks of an earlier process end as failed", abandoned)
        self.spool = SpoolWriter(self.folder.spool, self._now_ms)
        self._spawn(
            follow_control(self.redis, self.prefix, self._on_control, on_lost=self._on_redis_lost),
            name="control",
        )
        self._spawn(self._tell_state(), name="state")

    async def run(self, task: str, attempt: int, deadline_ms: int) -> None:
        try:
            content = await self._claim(task, attempt)
        except (RedisError, OSError) as error:
            log.warning("task %s: cannot claim: %s", task, error)
            return
        if content is None:
            return
        try:
            body = decode_body(content)
        except msgspec.DecodeError as error:
            log.error("task %s: its body is not understood: %s", task, error)
            return
        worker = self._worker(body.worker)
        refusal = self._refusal(body, worker)
        if worker is None or refusal is not None:
            self._refuse(body, refusal or _not_here())
            return
        await self._hold(body, worker)

    def drain(self) -> None:
        """Take nothing more; what still runs after DRAIN_S is aborted."""
        if self.is_draining:
            return
        self.is_draining = True
        self._spawn(self._end_drain(), name="drain")

    async def stop(self) -> None:
        while self.jobs:  # noqa: ASYNC110 -- once in the life of the process
            await asyncio.sleep(0.01)
        await self.writer.flush()
        await cancel_all(self.background)
        await self.writer.stop()
        await self.spool.stop()
        await self.engines.close()
        await self.redis.aclose()

    async def _claim(self, task: str, attempt: int) -> bytes | None:
        content = await self.redis.getdel(self.prefix + body_key(task, attempt))
        return content.encode() if isinstance(content, str) else content

    def _worker(self, worker_id: str) -> WorkerEntry | None:
        table = self.table.read()
        return next((each for each in table.workers if each.id == worker_id), None) if table else None

    def _refusal(self, body: TaskBody, worker: WorkerEntry | None) -> TaskError | None:
        table = self.table.read()
        if body.version > VERSION or body.endpoint not in set(Endpoint):
            return TaskError(
                503, "service_unavailable", "no_workers", "The hive runs an older release than the queen."
            )
        if self.is_draining or table is None or table.is_draining:
            return TaskError(503, "service_unavailable", "no_workers", "The hive is being stopped.")
        if worker is None:
            return _not_here()
        if not worker.is_ready:
            return TaskError(503, "service_unavailable", "model_loading", "The model is being loaded.")
        if self._in_flight(worker.id) >= worker.capacity:
            return TaskError(503, "service_unavailable", "no_workers", "The worker is full.")
        return None

    def _refuse(self, body: TaskBody, error: TaskError) -> None:
        self.writer.send(body.queen, Frame(body.task, body.attempt, 0, FrameKind.REFUSED, encode(error)))

    async def _hold(self, body: TaskBody, worker: WorkerEntry) -> None:
        attempt = Attempt(
            task=body.task,
            attempt=body.attempt,
            epoch=self.epoch,
            hive=self.hive,
            worker=body.worker,
            model=body.model,
            engine=worker.engine,
            began_at_ms=self._now_ms(),
            envelope=body.envelope,
        )
        job = Job(body, worker, attempt)
        self.jobs[attempt.key] = job
        try:
            if not await self.spool.open(attempt):
                return  # begun here before: the queen has its receipt, or will
        except SpoolFailed:
            self._refuse(
                body, TaskError(503, "service_unavailable", "no_workers", "The hive cannot write its spool.")
            )
            return
        else:
            await self._run_begun(job)
        finally:
            del self.jobs[attempt.key]

    async def _run_begun(self, job: Job) -> None:
        body = job.body
        self.writer.send(
            body.queen, Frame(body.task, body.attempt, 0, FrameKind.BEGUN, encode(self._begun(body)))
        )
        if (outcome := self.cancellations.take(body.task, body.attempt)) is not None:
            job.stop(Ended(outcome))
        try:
            ended = await self._answer(job)
        except Exception as error:  # noqa: BLE001 -- a row that was opened is closed whatever happens
            log.error("task %s failed: %s", body.task, type(error).__name__)
            ended = Ended(Outcome.WORKER_FAILED, WORKER_ERROR)
        if ended.error is not None:
            self._send(job, FrameKind.ERROR, encode(ended.error))
        await self._close(job, ended.outcome)

    async def _answer(self, job: Job) -> Ended:
        answer = Answer(job.worker, load_engine(job.worker.engine), self.engines, job.body, self._sender(job))
        answer.on_progress = lambda: self._note_progress(job, answer)
        try:
            return await answer.run(
                job.stopped, clock.remaining_s(job.body.deadline_ms, self._clock_ahead_ms())
            )
        finally:
            job.attempt.usage = answer.counts.usage()

    async def _close(self, job: Job, outcome: Outcome) -> None:
        payload = job.attempt.receipt(outcome, ended_at_ms=self._now_ms(), frames=job.sent)
        try:
            await self.spool.close(job.attempt, payload)
        except SpoolFailed:
            self._spawn(self._close_later(job), name=f"close {job.body.task}")
            outcome = Outcome.WORKER_FAILED  # what cannot be proven is not charged
        end = End(outcome, job.attempt.usage)
        self.writer.send(
            job.body.queen, Frame(job.body.task, job.body.attempt, job.sent, FrameKind.END, encode(end))
        )

    async def _close_later(self, job: Job) -> None:
        payload = job.attempt.receipt(Outcome.WORKER_FAILED, ended_at_ms=self._now_ms(), frames=job.sent)
        while True:
            await asyncio.sleep(CLOSE_RETRY_S)
            try:
                return await self.spool.close(job.attempt, payload)
            except SpoolFailed:
                continue

    def _sender(self, job: Job) -> Callable[[FrameKind, bytes], None]:
        return lambda kind, data: self._send(job, kind, data)

    def _send(self, job: Job, kind: FrameKind, data: bytes) -> None:
        self.writer.send(job.body.queen, Frame(job.body.task, job.body.attempt, job.sent, kind, data))
        job.sent += 1

    def _note_progress(self, job: Job, answer: Answer) -> None:
        attempt = job.attempt
        if not attempt.first_token_at_ms and answer.counts.completion_tokens:
            attempt.first_token_at_ms = self._now_ms()
            samples = self.first_tokens.setdefault(job.worker.id, deque(maxlen=TTFT_SAMPLES))
            samples.append(attempt.first_token_at_ms - attempt.began_at_ms)
        if answer.is_worth_noting():
            attempt.usage = answer.counts.usage()
            self.spool.update(attempt)

    def _on_control(self, message: Control) -> None:
        if message.kind == ControlKind.DRAIN:
            self.drain()
        if message.kind != ControlKind.CANCEL:
            return
        outcome = _outcome(message.outcome)
        job = self.jobs.get((message.task, message.attempt))
        if job is not None:
            job.stop(Ended(outcome))
        else:
            self.cancellations.remember(message.task, message.attempt, outcome)

    def _on_queen_lost(self, queen: str, why: str) -> None:
        concerned = [
            each for each in self.jobs.values() if each.body.queen == queen and not each.stopped.done()
        ]
        for job in concerned:
            job.stop(Ended(Outcome.PLATFORM_FAILED))
        if concerned:
            log.warning("%d tasks of queen %s are lost: %s", len(concerned), queen, why)

    def _on_redis_lost(self, why: str) -> None:
        for job in self.jobs.values():
            job.stop(Ended(Outcome.PLATFORM_FAILED))

    async def _end_drain(self) -> None:
        await asyncio.sleep(DRAIN_S)
        error = TaskError(503, "service_unavailable", "no_workers", "The hive was stopped.")
        for job in self.jobs.values():
            job.stop(Ended(Outcome.PLATFORM_FAILED, error))

    async def _tell_state(self) -> None:
        """Each second, and sooner when something changed."""
        told: RunnerState | None = None
        while True:
            state = self._state()
            if told is None or state.at_ms - told.at_ms >= 1000 or _differs(state, told):
                self.state_file.write(state)
                told = state
            await asyncio.sleep(STATE_INTERVAL_S)

    def _state(self) -> RunnerState:
        table = self.table.read()
        workers = {
            each.id: WorkerGauges(
                in_flight=self._in_flight(each.id),
                ttft_ms=round(median(self.first_tokens[each.id])) if self.first_tokens.get(each.id) else 0,
            )
            for each in (table.workers if table else [])
        }
        return RunnerState(
            pid=os.getpid(),
            epoch=self.epoch,
            at_ms=clock.now_ms(),
            is_draining=self.is_draining,
            in_flight=len(self.jobs),
            probe=self.probe,
            workers=workers,
        )

    def _in_flight(self, worker_id: str) -> int:
        return sum(1 for job in self.jobs.values() if job.worker.id == worker_id)

    def _begun(self, body: TaskBody) -> Begun:
        return Begun(self.epoch, body.worker)

    def _now_ms(self) -> int:
        return clock.now_ms() + self._clock_ahead_ms()

    def _clock_ahead_ms(self) -> int:
        table = self.table.read()
        return table.clock_ahead_ms if table else 0

    def _spawn(self, work: Coroutine[object, object, None], *, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self.background.add(task)
        task.add_done_callback(self._on_background_done)

    def _on_background_done(self, task: asyncio.Task[None]) -> None:
        self.background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed: %s", task.get_name(), type(error).__name__)
            os._exit(1)  # the agent starts a new one; a runner without its control stream must not go on


def _not_here() -> TaskError:
    return TaskError(503, "service_unavailable", "no_workers", "The worker is not on this hive.")


def _outcome(name: str) -> Outcome:
    try:
        return Outcome(name)
    except ValueError:
        return Outcome.CLIENT_CANCELLED


def _differs(state: RunnerState, told: RunnerState) -> bool:
    return (state.in_flight, state.probe, state.workers, state.is_draining) != (
        told.in_flight,
        told.probe,
        told.workers,
        told.is_draining,
    )
