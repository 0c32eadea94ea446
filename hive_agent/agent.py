"""The agent of one machine: it tells the queen what is here, keeps engines and the Celery worker running, sends receipts.

It runs no task itself. Every long-lived task is started in `Agent.run`, named and guarded: one that fails ends the agent,
whose children die with it, and whoever supervises it starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
from collections.abc import Coroutine
from typing import IO

from hive_agent import redis_client
from hive_agent.celery_process import CeleryProcess
from hive_agent.control import follow_control
from hive_agent.credentials import load_credentials, load_signing_key
from hive_agent.ending import cancel_all
from hive_agent.errors import HiveError
from hive_agent.folder import Folder
from hive_agent.heartbeat import Heart
from hive_agent.placements import Workers
from hive_agent.protocol import Control, ControlKind
from hive_agent.queen import Queen
from hive_agent.receipts import ReceiptSender
from hive_agent.spool import Spool

log = logging.getLogger(__name__)

PLACEMENTS_INTERVAL_S = 60.0
PLACEMENTS_RETRY_S = 0.5  # a queen and its own hive start side by side
DRAIN_S = 35.0  # the runner aborts what still runs after 30
FLUSH_S = 5.0


class Agent:
    def __init__(self, folder: Folder) -> None:
        """Raises HiveError when this folder cannot be run."""
        folder.make()
        self.lock = _lock(folder)
        self.folder = folder
        self.credentials = load_credentials(folder)
        self.signing_key = load_signing_key(folder)

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; the second one ends it at once."""
        self.redis = redis_client.connect(self.credentials.redis_url)
        self.queen = Queen(self.credentials)
        self.spool = Spool(self.folder.spool)
        self.heart = Heart(self.credentials, self.redis, self.spool)
        self.celery = CeleryProcess(self.folder, self._push, self.heart.beat_soon)
        self.workers = Workers(self.folder, self.queen, self.celery, self.heart.beat_soon)
        self.receipts = ReceiptSender(self.spool, self.queen, self.signing_key)
        self.placements_are_due = asyncio.Event()
        self.signals: asyncio.Queue[int] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.signals.put_nowait, number)
        self.workers.write_table()
        tasks = [
            _named(self.heart.run(self.workers, self.celery), "heartbeat"),
            _named(self._follow_placements(), "placements"),
            _named(self._follow_control(), "control"),
            _named(self.receipts.run(), "receipts"),
            _named(self.celery.run(), "celery"),
        ]
        stopping = _named(self._until_signal(), "signals")
        log.info("hive %s serves the queen at %s", self.credentials.name, self.credentials.queen_url)
        try:
            done, _ = await asyncio.wait([*tasks, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                _raise_end(task)
            await self._drain_or_quit()
        finally:
            self.celery.kill()
            self.workers.kill()
            await cancel_all([*tasks, stopping])
            await self.workers.stop()
            await self.queen.close()
            await self.redis.aclose()
            self.spool.shut()

    async def _drain_or_quit(self) -> None:
        draining = _named(self._drain(), "drain")
        quitting = _named(self._until_signal(), "second signal")
        await asyncio.wait([draining, quitting], return_when=asyncio.FIRST_COMPLETED)
        await cancel_all([draining, quitting])

    async def _drain(self) -> None:
        log.info("draining")
        self.workers.is_draining = True
        self.workers.write_table()
        self.heart.beat_soon()
        await self.celery.stop(DRAIN_S)
        left = await self.receipts.flush(FLUSH_S)
        if left:
            log.warning("%d receipts wait in the spool for the next start", left)

    async def _follow_placements(self) -> None:
        while True:
            try:
                await self.workers.refresh()
                await self._forget()
                delay_s = PLACEMENTS_INTERVAL_S
            except HiveError as error:
                log.warning("placements: %s", error)
                delay_s = PLACEMENTS_RETRY_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay_s):
                    await self.placements_are_due.wait()
            self.placements_are_due.clear()

    async def _forget(self) -> None:
        """What is asked for with the placements. Told to the queen once nothing is left."""
        gone = [each.id for each in self.workers.to_forget if self.spool.forget_whose(each.whose)]
        if gone:
            await self.queen.forgotten(gone)
            log.info("forgot what %d erasures asked for", len(gone))

    async def _follow_control(self) -> None:
        await follow_control(
            self.redis, self.credentials.redis.prefix, self._on_control, on_found=self.celery.probe_soon
        )

    def _on_control(self, message: Control) -> None:
        if message.kind == ControlKind.PLACEMENTS:
            self.placements_are_due.set()
        if message.kind == ControlKind.DRAIN:
            self.workers.is_draining = True
            self.workers.write_table()
            self.heart.beat_soon()

    async def _push(self, key: str, message: bytes) -> None:
        await self.redis.lpush(self.credentials.redis.prefix + key, message)

    async def _until_signal(self) -> None:
        await self.signals.get()


def _lock(folder: Folder) -> IO[str]:
    """One agent for each folder. Held until the process ends."""
    file = os.fdopen(os.open(folder.agent_lock, os.O_RDWR | os.O_CREAT, 0o600), "r+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise HiveError(f"another agent (process {file.read().strip()}) runs in {folder.path}") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _named(work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
    return asyncio.create_task(work, name=name)


def _raise_end(task: asyncio.Task[None]) -> None:
    """A task that lives as long as the agent has ended."""
    error = task.exception()
    raise RuntimeError(f"{task.get_name()} ended: {error or 'without an error'}") from error
