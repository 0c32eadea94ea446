"""Sends what is due, many at once, until nothing is.

One thread of a process does all the sending, beside its Celery tasks: an endpoint that stalls holds a place in here and
never a worker of the chores.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from django.db import connection

from gdpr.fetcher import Bounds, Fetched, FetchFailed, UrlRefused, fetch
from gdpr.threads import in_thread
from tenants.domain.deliveries import Claimed, Outcome, claim_deliveries, end_attempts, spread_events
from tenants.domain.webhook_signatures import headers_of

IN_FLIGHT_MAX = 64
FAILING_MAX = 24  # of these for endpoints that fail, so that the others never wait for them
GATHER_S = 0.01  # what ends within it is written in one transaction
RESPONSE_BYTES = 1024
RETRY_AFTER_MAX_S = 24 * 3600
BOUNDS = Bounds(connect_s=5, read_s=10, total_s=15, answer_bytes=RESPONSE_BYTES)

logger = logging.getLogger(__name__)

Ended = tuple[Claimed, Outcome]


class Courier:
    """One per process. `nudge` returns at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_running = False
        self._is_wanted = False
        self._wake: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    def nudge(self) -> None:
        with self._lock:
            self._is_wanted = True
            if self._wake is not None:
                loop, event = self._wake
                loop.call_soon_threadsafe(event.set)
            elif not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="webhooks", daemon=True).start()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._is_wanted:
                    self._is_running = False
                    return
                self._is_wanted = False
            try:
                asyncio.run(self._work())
            except Exception:
                # Leases run out, and beat nudges again.
                logger.exception("webhooks were not sent")

    async def _work(self) -> None:
        event = asyncio.Event()
        with self._lock:
            self._wake = (asyncio.get_running_loop(), event)
        try:
            await send_due(event)
        finally:
            with self._lock:
                self._wake = None
            await in_thread(connection.close)()


courier = Courier()


async def send_due(nudged: asyncio.Event | None = None) -> int:
    """Returns how many attempts it made. Looks for more when `nudged` is set."""
    nudged = nudged or asyncio.Event()
    flying: dict[asyncio.Task[Ended], Claimed] = {}
    waiting = asyncio.create_task(nudged.wait())
    attempts, is_fresh = 0, True
    try:
        while True:
            if is_fresh:
                while await in_thread(spread_events)():
                    pass
            failing = sum(claimed.is_failing for claimed in flying.values())
            claimed = await in_thread(_claim)(len(flying), failing)
            flying |= {asyncio.create_task(_send(one)): one for one in claimed}
            attempts += len(claimed)
            if not flying:
                return attempts
            everything: list[asyncio.Task[Any]] = [*flying, waiting]
            await asyncio.wait(everything, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(GATHER_S)
            done = [task for task in flying if task.done()]
            await in_thread(end_attempts)([task.result() for task in done])
            for task in done:
                del flying[task]
            is_fresh = waiting.done()
            if is_fresh:
                nudged.clear()
                waiting = asyncio.create_task(nudged.wait())
    finally:
        waiting.cancel()
        for task in flying:
            task.cancel()
        await asyncio.gather(waiting, *flying, return_exceptions=True)


def _claim(flying: int, failing: int) -> list[Claimed]:
    claimed = claim_deliveries(min(FAILING_MAX - failing, IN_FLIGHT_MAX - flying), failing=True)
    return claimed + claim_deliveries(IN_FLIGHT_MAX - flying - len(claimed), failing=False)


async def _send(claimed: Claimed) -> Ended:
    """Whatever goes wrong with one is its own: the others go on."""
    at = datetime.now(UTC)
    if not claimed.secrets:
        return claimed, Outcome(at=at, status=0, latency_ms=0, error="secret_unreadable")
    try:
        return claimed, await _attempt(claimed, at)
    except Exception:
        logger.exception("delivery %s was not sent", claimed.id)
        return claimed, Outcome(at=at, status=0, latency_ms=0, error="not_sent")


async def _attempt(claimed: Claimed, at: datetime) -> Outcome:
    headers = headers_of(claimed.message_id, int(time.time()), claimed.body, claimed.secrets)
    headers["content-type"] = "application/json"
    try:
        answer = await fetch("POST", claimed.url, headers=headers, content=claimed.body, bounds=BOUNDS)
    except UrlRefused:
        return Outcome(at=at, status=0, latency_ms=0, error="url_refused")
    except FetchFailed as failed:
        return Outcome(at=at, status=0, latency_ms=failed.latency_ms, error=failed.code)
    return Outcome(
        at=at,
        status=answer.status,
        latency_ms=answer.latency_ms,
        error=""
        if 200 <= answer.status < 300
        else "redirected"
        if 300 <= answer.status < 400
        else "not_accepted",
        retry_after_s=retry_after_s(answer),
        response=answer.body.decode("utf-8", "replace").replace("\x00", "")
        if claimed.keeps_responses
        else "",
    )


def retry_after_s(answer: Fetched) -> int:
    """0 when the answer does not say."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(int(text[:9]), RETRY_AFTER_MAX_S)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0
    wait_s = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0, min(int(wait_s), RETRY_AFTER_MAX_S))
