"""The HTTP server of an engine process of ours, whatever computes behind it.

    GET  /health                 200 with base.Health once the model is loaded. Every request needs the key, this one too:
                                 so that an agent whose engine lost a race for its port does not take another for it
    POST /v1/chat/completions    server-sent events; ends with [DONE], or with an event `"aborted":true` and the counts
    POST /v1/completions         the same
    POST /abort/<task>:<attempt> stop that task; it answers when the computing has stopped

A client that goes away aborts its task too. One line in the log for each request says what was counted, never a text.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler

import msgspec
from aiohttp import web

from hive_agent.engines.base import ABORT_PATH, PATHS, TASK_HEADER, Counter, EngineError, Health, Launch
from hive_agent.engines.slots import Slots
from hive_agent.event_loop import new_event_loop
from hive_agent.lifeline import bind_to_parent, exit_at_end_of_input
from rbee_quiet.install import be_quiet

LOG_BYTES = 20 << 20
MAX_REQUEST_BYTES = 64 << 20


class Rejected(Exception):
    """The request is at fault (or the engine, from 500 on); raised before the first chunk."""

    def __init__(self, status: int, error: EngineError) -> None:
        super().__init__(status)
        self.status = status
        self.error = error


class Job:
    """One request while it runs. `abort` may be called at any time and from any thread."""

    def __init__(self, name: str, endpoint: str, request: bytes, counter: Counter) -> None:
        self.name = name
        self.endpoint = endpoint
        self.request = request
        self.counter = counter
        self.began = time.monotonic()
        self.is_noted = False
        self.aborted = False
        self.finished = asyncio.Event()
        self.waiting: asyncio.Task[int] | None = None

    def abort(self) -> None:
        self.aborted = True
        if self.waiting is not None:
            self.waiting.cancel()


class Backend(ABC):
    """What computes. It loads its model in `__init__`, before the process says that it is healthy."""

    health: Health

    def counter(self, request: bytes) -> Counter:
        return Counter()

    def choices(self, request: bytes) -> int:
        """How many slots the request needs."""
        return 1

    @abstractmethod
    def stream(self, job: Job) -> AsyncIterator[list[bytes]]:
        """Chunks as JSON, those that are ready together; every one went through `job.counter`. Ends soon after
        `job.aborted`. Raises Rejected before the first chunk."""


class EngineServer:
    def __init__(self, backend: Backend, launch: Launch) -> None:
        self.backend = backend
        self.launch = launch
        self.slots = Slots(backend.health.slots)
        self.jobs: dict[str, Job] = {}
        self.log = _open_log(launch.log)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_get("/health", self.health)
        app.router.add_post(ABORT_PATH + "/{name}", self.abort)
        for endpoint, path in PATHS.items():
            app.router.add_post(path, self._answerer(endpoint))
        return app

    async def health(self, request: web.Request) -> web.Response:
        self._check_key(request)
        return web.Response(body=msgspec.json.encode(self.backend.health), content_type="application/json")

    async def abort(self, request: web.Request) -> web.Response:
        self._check_key(request)
        job = self.jobs.get(request.match_info["name"])
        if job is not None:
            job.abort()
            await job.finished.wait()
        return web.Response(status=204)

    def _answerer(self, endpoint: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            self._check_key(request)
            name = request.headers.get(TASK_HEADER, "")
            body = await request.read()
            job = Job(name, endpoint, body, self.backend.counter(body))
            self.jobs[name] = job
            outcome = "failed"
            try:
                response = await self._run(request, job)
            except Rejected as error:
                outcome = "rejected" if error.status < 500 else "failed"
                explanation = msgspec.json.encode({"error": error.error})
                response = web.Response(
                    status=error.status, body=explanation, content_type="application/json"
                )
            except (asyncio.CancelledError, ConnectionError):
                outcome = "aborted"
                raise
            finally:
                job.finished.set()
                if self.jobs.get(name) is job:
                    del self.jobs[name]
                self._note(job, outcome)
            return response

        return answer

    async def _run(self, request: web.Request, job: Job) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        job.waiting = asyncio.ensure_future(self.slots.take(self.backend.choices(job.request)))
        try:
            taken = await job.waiting
        except asyncio.CancelledError:
            if job.waiting.done() and not job.waiting.cancelled():
                self.slots.give(job.waiting.result())  # its turn came in the moment in which the client left
            if not job.aborted:
                raise
            taken = 0
        finally:
            job.waiting.cancel()
            job.waiting = None
        try:
            if taken:
                async for chunks in self.backend.stream(job):
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(b"".join([b"data: " + chunk + b"\n\n" for chunk in chunks]))
        except (asyncio.CancelledError, ConnectionError):
            job.abort()
            raise
        finally:
            self.slots.give(taken)
        if not response.prepared:
            await response.prepare(request)
        self._note(job, "aborted" if job.aborted else "completed")  # before anybody can know that it ended
        await response.write(_aborted_event(job.counter) if job.aborted else b"data: [DONE]\n\n")
        await response.write_eof()
        return response

    def _check_key(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").encode()
        if not hmac.compare_digest(given, b"Bearer " + self.launch.key.encode()):
            raise web.HTTPUnauthorized

    def _note(self, job: Job, outcome: str) -> None:
        if job.is_noted:
            return
        job.is_noted = True
        counts = job.counter.counts
        task, _, attempt = job.name.partition(":")
        self.log.info(
            "%s task=%s attempt=%s endpoint=%s outcome=%s prompt_tokens=%d cached_tokens=%d completion_tokens=%d ms=%d",
            datetime.now(UTC).isoformat(timespec="milliseconds"),
            task,
            attempt,
            job.endpoint,
            outcome,
            counts.prompt_tokens,
            counts.cached_tokens,
            counts.completion_tokens,
            round((time.monotonic() - job.began) * 1000),
        )


def serve(make_backend: Callable[[Launch], Backend]) -> None:
    """The program of an engine process. What a library prints is shown while the model loads, so that the agent can
    report why a start failed; afterwards it goes nowhere, because nothing vouches that it holds no prompt."""
    launch = msgspec.json.decode(sys.stdin.buffer.readline(), type=Launch)
    exit_at_end_of_input()
    backend = make_backend(launch)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_serve(backend, launch))


async def _serve(backend: Backend, launch: Launch) -> None:
    runner = web.AppRunner(EngineServer(backend, launch).app(), access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, launch.host, launch.port).start()
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    await asyncio.Event().wait()


def _aborted_event(counter: Counter) -> bytes:
    counts = counter.counts
    usage = {
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": counts.cached_tokens},
    }
    return b"data: " + msgspec.json.encode({"choices": [], "aborted": True, "usage": usage}) + b"\n\n"


def _open_log(path: str) -> logging.Logger:
    os.close(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600))
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=2, encoding="utf-8")
    log = logging.getLogger("hive_agent.engine")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    return log


def bind_to_agent() -> None:
    """First thing in an engine process; its argument is the agent's process id."""
    os.umask(0o077)
    be_quiet()
    bind_to_parent(int(sys.argv[1]))
