"""The hive's Celery worker: `python -m celery -A hive_agent.tasks worker`, started by the agent.

Stock Celery, which reads `tasks` under the hive's own prefix. Its threads do nothing but hand a task to the runner's loop
and wait. Remote control, events, gossip, mingle, results and pickle are off.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import warnings
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.exceptions import CPendingDeprecationWarning
from celery.worker.request import Request
from kombu import Queue  # type: ignore[attr-defined]

from hive_agent import clock
from hive_agent.credentials import Credentials, load_credentials
from hive_agent.event_loop import new_event_loop
from hive_agent.folder import Folder
from hive_agent.lifeline import bind_to_parent, exit_at_end_of_input
from hive_agent.protocol import RUN_TASK, TASKS_QUEUE
from hive_agent.runner import Runner
from rbee_quiet.install import be_quiet

FOLDER_VARIABLE = "RBEE_HIVE_DIR"
PARENT_VARIABLE = "RBEE_HIVE_AGENT_PID"
PROBE_TASK = "hive.probe"
CONCURRENCY = 128

log = logging.getLogger(__name__)


def make_app(credentials: Credentials) -> Celery:
    made = Celery(
        "hive_agent", broker=credentials.redis_url, set_as_current=False, fixups=()
    )  # Django is not here
    made.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_queues=[Queue(TASKS_QUEUE)],  # type: ignore[no-untyped-call]
        task_default_queue=TASKS_QUEUE,
        task_create_missing_queues=False,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": credentials.redis.prefix,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 5,
            "ack_emulation": False,  # the claim of the body is the truth; two transactions less for each task
        },
    )
    return made


class HiveRequest(Request):  # type: ignore[misc]
    """Never expires: whether a task is still wanted is for the claim to find out, and this clock may be wrong."""

    def maybe_expire(self) -> bool:
        return False


class RunnerThread:
    """The loop, and the runner on it."""

    def __init__(self, folder: Folder, credentials: Credentials) -> None:
        self.epoch = clock.now_ms()
        self.folder = folder
        self.credentials = credentials
        self.loop = new_event_loop()
        self.thread = threading.Thread(target=self._run, name="runner", daemon=True)

    def start(self) -> None:
        self.thread.start()
        self.call(self._make())

    def call(self, work: Coroutine[object, object, None]) -> None:
        """Run on the loop and wait."""
        asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def stop(self) -> None:
        self.call(self.runner.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    async def _make(self) -> None:
        self.runner = Runner(self.folder, self.credentials, self.epoch)
        await self.runner.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()


def _folder() -> Folder:
    return Folder(Path(os.environ[FOLDER_VARIABLE]))


app = make_app(load_credentials(_folder()))
hosted: RunnerThread | None = None


@app.task(name=RUN_TASK, Request=HiveRequest)  # type: ignore[untyped-decorator]
def run(task: str, attempt: int, deadline_ms: int) -> None:
    assert hosted is not None
    hosted.call(hosted.runner.run(task, attempt, deadline_ms))


@app.task(name=PROBE_TASK, Request=HiveRequest)  # type: ignore[untyped-decorator]
def probe(token: str) -> None:
    """The agent asks whether messages still come through."""
    assert hosted is not None
    hosted.runner.probe = token


@signals.worker_init.connect  # type: ignore[untyped-decorator]
def _on_init(**_: Any) -> None:
    global hosted
    os.umask(0o077)
    be_quiet(name_errors_only=True)
    if parent := os.environ.get(PARENT_VARIABLE):
        bind_to_parent(int(parent))
        exit_at_end_of_input()
    warnings.simplefilter("ignore", CPendingDeprecationWarning)  # ten lines at each lost connection
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    hosted = RunnerThread(_folder(), load_credentials(_folder()))
    hosted.start()


@signals.worker_shutting_down.connect  # type: ignore[untyped-decorator]
def _on_shutting_down(**_: Any) -> None:
    if hosted is not None:
        hosted.loop.call_soon_threadsafe(hosted.runner.drain)


@signals.worker_shutdown.connect  # type: ignore[untyped-decorator]
def _on_shutdown(**_: Any) -> None:
    if hosted is not None:
        hosted.stop()
