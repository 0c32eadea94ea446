"""What the queen knows of this hive: written to `state` each second, and at once when a worker changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import psutil
from redis.asyncio import Redis
from redis.exceptions import RedisError

from hive_agent import clock, devices
from hive_agent.celery_process import CeleryProcess
from hive_agent.credentials import Credentials
from hive_agent.placements import Workers
from hive_agent.protocol import HEARTBEAT_EXPIRY_S, HEARTBEAT_INTERVAL_S, VERSION, Heartbeat, encode
from hive_agent.spool import Spool
from hive_agent.version import SOFTWARE

log = logging.getLogger(__name__)

MIB = 1 << 20
WRITE_TIMEOUT_S = 3.0


class Heart:
    def __init__(self, credentials: Credentials, redis: Redis, spool: Spool) -> None:
        self.credentials = credentials
        self.redis = redis
        self.spool = spool
        self.counts: dict[str, int] = {}
        self.counted = (-1, -1)  # version of the spool, by others' changes and by this connection's
        self.seq = 0
        self.due = asyncio.Event()

    async def run(self, workers: Workers, celery: CeleryProcess) -> None:
        """For ever."""
        key = f"{self.credentials.redis.prefix}state"
        while True:
            self._count_receipts()
            beat = await asyncio.to_thread(self._beat, workers, celery)
            with contextlib.suppress(RedisError, OSError, TimeoutError):  # `control` says that Redis is lost
                async with asyncio.timeout(WRITE_TIMEOUT_S):
                    await self.redis.set(key, encode(beat), px=HEARTBEAT_EXPIRY_S * 1000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_INTERVAL_S):
                    await self.due.wait()
            self.due.clear()

    def beat_soon(self) -> None:
        self.due.set()

    def _count_receipts(self) -> None:
        """Again only when something has changed; on the loop, as all that uses this connection."""
        version = self.spool.data_version(), self.spool.db.total_changes
        if version != self.counted:
            self.counts, self.counted = self.spool.counts(), version

    def _beat(self, workers: Workers, celery: CeleryProcess) -> Heartbeat:
        """In a thread: asking devices may take a while."""
        self.seq += 1
        found = devices.detect()
        state = celery.state
        return Heartbeat(
            version=VERSION,
            hive=self.credentials.hive,
            name=self.credentials.name,
            epoch=celery.epoch,
            seq=self.seq,
            at_ms=clock.now_ms() + workers.queen.clock_ahead_ms,
            software=SOFTWARE,
            draining=workers.is_draining or (state is not None and state.is_draining),
            cpu_pct=found[-1].util_pct,
            rss_mib=_rss_mib(celery),
            devices=found,
            workers=workers.reports(found),
            receipts_waiting=self.counts.get("closed", 0),
            receipts_refused=self.counts.get("refused", 0),
        )


def _rss_mib(celery: CeleryProcess) -> int:
    """Of the agent and its Celery worker; engines are in the reports of their workers."""
    total = 0
    for pid in (None, celery.process.pid if celery.process else None):
        with contextlib.suppress(psutil.Error):
            total += int(psutil.Process(pid).memory_info().rss)
    return total // MIB
