"""Nothing is served from a database that was restored and has somebody in it who was erased."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from django.db import DatabaseError, InterfaceError

from gdpr.domain.replays import Watch
from gdpr.threads import in_thread
from inference.api.errors import envelope
from rbee.front import Receive, Scope, Send

INTERVAL_S: Final = 1.0
LET_THROUGH: Final = frozenset({"/healthz", "/gdpr/replay", "/openai/healthz"})
UNAVAILABLE: Final = "service_unavailable"
MESSAGE: Final = (
    "This database was restored from a backup, and somebody who was erased is in it: nothing is served until"
    " `rbee gdpr replay` has run."
)

_log = logging.getLogger(__name__)


class LedgerGate:
    """Shut until it was asked once. While the database is away it stays as it was."""

    def __init__(self) -> None:
        self.is_shut = True
        self._watch = Watch()
        self._asking: asyncio.Task[None] | None = None

    async def startup(self) -> None:
        await self._ask()
        self._asking = asyncio.create_task(self._keep_asking(), name="ledger gate")

    async def shutdown(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._asking

    def lets_through(self, path: str) -> bool:
        return path in LET_THROUGH

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = envelope(MESSAGE, UNAVAILABLE, "erasures_behind")
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"retry-after", b"60"),
            (b"x-should-retry", b"false"),
        ]
        await send({"type": "http.response.start", "status": 503, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _keep_asking(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_S)
            await self._ask()

    async def _ask(self) -> None:
        try:
            is_shut = await in_thread(self._watch.is_behind)()
        except (DatabaseError, InterfaceError, OSError) as error:
            _log.warning("the ledger of erasures was not compared: %s", type(error).__name__)
            return
        if is_shut and not self.is_shut:
            _log.error(
                "this database is behind the ledger of erasures: nothing is served until rbee gdpr replay"
            )
        self.is_shut = is_shut
