"""The process that runs tasks: a stock Celery worker, kept alive.

It is started again when it ends, when its runner hangs, and when messages do not come through it any more: Celery
workers have stopped to consume after Redis went away (celery issues 8030, 8091). Whether they come through is asked by a
message of our own into the same queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Callable

import msgspec

from hive_agent import clock
from hive_agent.folder import Folder
from hive_agent.protocol import TASKS_QUEUE
from hive_agent.shared_state import RunnerState, SharedFile

log = logging.getLogger(__name__)

PROBE_TASK = "hive.probe"
CONCURRENCY = 128
START_TIMEOUT_S = 60.0
HANG_S = 10.0
SILENT_S = 3.0
PROBE_INTERVAL_S = 15.0
PROBE_TIMEOUT_S = 10.0
PROBE_TIMEOUT_BUSY_S = 60.0
PROBE_TIMEOUT_AFTER_LOSS_S = 4.0
POLL_S = 0.2
BACKOFF_S = (0.2, 1, 2, 5, 10)

Push = Callable[[str, bytes], Awaitable[None]]  # key below the hive's prefix, message


class CeleryProcess:
    def __init__(self, folder: Folder, push: Push, on_change: Callable[[], None]) -> None:
        self.folder = folder
        self.push = push
        self.on_change = on_change
        self.state_file = SharedFile(folder.runner, RunnerState)
        self.process: asyncio.subprocess.Process | None = None
        self.is_stopping = False
        self.probe_is_due = asyncio.Event()

    @property
    def state(self) -> RunnerState | None:
        """Of the process that runs; None before it is up, and while it is silent."""
        state = self.state_file.read()
        if state is None or self.process is None or self.process.returncode is not None:
            return None
        if state.pid != self.process.pid or clock.now_ms() - state.at_ms > SILENT_S * 1000:
            return None
        return state

    @property
    def is_serving(self) -> bool:
        """Messages come through: the first thing that it is given is a probe."""
        state = self.state
        return state is not None and state.probe != ""

    @property
    def epoch(self) -> int:
        """Of the process that runs, though it be silent: the queen gives up what an earlier epoch held. 0 without one."""
        state = self.state_file.read()
        if state is None or self.process is None or self.process.returncode is not None:
            return 0
        return state.epoch if state.pid == self.process.pid else 0

    async def run(self) -> None:
        """For ever, or until `stop`."""
        failures = 0
        while not self.is_stopping:
            began = time.monotonic()
            await self._start()
            why = await self._watch()
            if self.is_stopping:
                return
            log.warning("the Celery worker is started again: %s", why)
            await self._end()
            failures = 0 if time.monotonic() - began > 30 else failures + 1
            await asyncio.sleep(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])

    async def stop(self, timeout_s: float) -> None:
        """Warm: it takes nothing more and finishes what it holds."""
        self.is_stopping = True
        if self.process is None or self.process.returncode is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(timeout_s):
                await self.process.wait()
        except TimeoutError:
            log.warning("the Celery worker did not stop in %.0f s and is killed", timeout_s)
            await self._end()

    def kill(self) -> None:
        self.is_stopping = True
        self._signal(signal.SIGKILL)

    def probe_soon(self) -> None:
        """Redis was away: see whether messages come through again."""
        self.probe_is_due.set()

    async def _start(self) -> None:
        self.folder.runner.unlink(missing_ok=True)
        environment = {
            **{name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
            "RBEE_HIVE_DIR": str(self.folder.path),
            "RBEE_HIVE_AGENT_PID": str(os.getpid()),
        }
        with self.folder.open_log("celery") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "celery", "-A", "hive_agent.tasks", "worker",
                "--pool", "threads", "--concurrency", str(CONCURRENCY), "--loglevel", "WARNING",
                "--without-gossip", "--without-mingle", "--without-heartbeat", "--hostname", "hive@%h",
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the agent, which drains
            )  # fmt: skip

    async def _watch(self) -> str:
        """Why it has to be started again."""
        assert self.process is not None
        began = last_alive = time.monotonic()
        was_serving = False
        probing = asyncio.create_task(self._probe(), name="probe")
        try:
            while True:
                await asyncio.sleep(POLL_S)
                now = time.monotonic()
                if was_serving != self.is_serving:
                    was_serving = not was_serving
                    self.on_change()
                if self.process.returncode is not None:
                    return f"it ended with status {self.process.returncode}"
                if self.state is not None:
                    last_alive = now
                elif now - last_alive > (HANG_S if last_alive > began else START_TIMEOUT_S):
                    return "it hangs"
                if probing.done():
                    return probing.result()
        finally:
            probing.cancel()

    async def _probe(self) -> str:
        """Ends when messages do not come through."""
        timeout_s = START_TIMEOUT_S
        while True:
            token = secrets.token_hex(8)
            if await self._pushed(token) and not await self._came_through(token, timeout_s):
                return f"no message came through it in {timeout_s:.0f} s"
            timeout_s = PROBE_TIMEOUT_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL_S):
                    await self.probe_is_due.wait()
                timeout_s = PROBE_TIMEOUT_AFTER_LOSS_S
            self.probe_is_due.clear()

    async def _pushed(self, token: str) -> bool:
        try:
            await self.push(TASKS_QUEUE, probe_message(token))
        except Exception:  # noqa: BLE001 -- Redis is away, for whatever reason; `probe_soon` says when it is back
            return False
        return True

    async def _came_through(self, token: str, timeout_s: float) -> bool:
        """A worker that holds tasks gets more time: to start it again would end them."""
        began = time.monotonic()
        while True:
            state = self.state
            if state is not None and (state.probe == token or state.in_flight >= CONCURRENCY):
                return True
            is_busy = state is not None and state.in_flight > 0
            if time.monotonic() - began > (PROBE_TIMEOUT_BUSY_S if is_busy else timeout_s):
                return False
            await asyncio.sleep(POLL_S)

    async def _end(self) -> None:
        self._signal(signal.SIGKILL)
        if self.process is not None:
            await self.process.wait()

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


def probe_message(token: str) -> bytes:
    """A Celery message, protocol 2, in kombu's envelope for Redis."""
    task_id = str(uuid.uuid4())
    body = msgspec.json.encode(
        [[token], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]
    )
    headers = {
        "lang": "py", "task": PROBE_TASK, "id": task_id, "root_id": task_id, "parent_id": None, "group": None,
        "retries": 0, "timelimit": [None, None], "eta": None, "expires": None, "argsrepr": "", "kwargsrepr": "",
        "origin": "hive", "ignore_result": True,
    }  # fmt: skip
    properties = {
        "correlation_id": task_id, "reply_to": "", "delivery_mode": 1, "priority": 0, "body_encoding": None,
        "delivery_tag": str(uuid.uuid4()), "delivery_info": {"exchange": "", "routing_key": TASKS_QUEUE},
    }  # fmt: skip
    return msgspec.json.encode(
        {
            "body": body.decode(),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )
