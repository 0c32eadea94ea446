"""What end users agreed to, as one queen process remembers it: a task asks here, and the database only for an end user who
was not here of late.

Every POLL_INTERVAL_S the database is asked who gave or withdrew anything, and of those what is remembered is forgotten; a
notice says the same at once, and may be lost. What is remembered holds for as long as that asking works, at most
TRUSTED_S after the last time that it did. `missing` raises ConsentsDown when nobody can tell: then nothing runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg_pool import PoolTimeout

from gdpr.pool import Pool, colony_connection

POLL_INTERVAL_S: Final = 1.5
TRUSTED_S: Final = 4.5
WINDOW_S: Final = 120.0  # how far back each asking looks: clocks differ, and transactions take their time
REMEMBERED_MAX: Final = 100_000
NOTICE: Final = "consent:"  # then the tenant and the end user

CHANGED: Final = """
    SELECT id, tenant_id, subject FROM gdpr_consent
    WHERE subject <> '' AND at > statement_timestamp() - make_interval(secs => %(window)s)
"""
IN_FORCE: Final = """
    SELECT purpose FROM (
        SELECT DISTINCT ON (purpose) purpose, is_given FROM gdpr_consent
        WHERE tenant_id = %(tenant)s AND subject = %(subject)s ORDER BY purpose, number DESC
    ) last WHERE is_given
"""

Whom = tuple[str, str]  # tenant in hex, pseudonym

_log = logging.getLogger(__name__)


class ConsentsDown(Exception):
    """The database did not answer."""


class ConsentBook:
    """One per queen process, used on one event loop."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[Whom, tuple[frozenset[str], float]] = {}  # purposes, as of then
        self._loading: dict[Whom, asyncio.Task[frozenset[str]]] = {}
        self._stale: set[Whom] = set()  # forgotten while they were loaded
        self._seen: set[UUID] = set()  # changes that were taken notice of
        self._polled_at = float("-inf")

    async def missing(self, tenant_id: str, subject: str, wanted: frozenset[str]) -> list[str]:
        """Of what is wanted, what the end user has not agreed to: everything, when it is not known who that is."""
        if not subject:
            return sorted(wanted)
        known = self._known.get((tenant_id, subject))
        if known is not None and time.monotonic() - max(known[1], self._polled_at) < TRUSTED_S:
            return sorted(wanted - known[0])
        return sorted(wanted - await self._load((tenant_id, subject)))

    def handle(self, message: str) -> None:
        """Takes the messages of `tenants.domain.invalidation`; `consents` is all of them."""
        if message == "consents":
            self._forget_all()
        elif message.startswith(NOTICE):
            tenant_id, _, subject = message.removeprefix(NOTICE).partition(":")
            self._forget((tenant_id, subject))

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(POLL_INTERVAL_S)
            if self._known or self._loading:
                await self.poll()

    async def poll(self) -> None:
        began = time.monotonic()
        try:
            rows = await self._fetch(CHANGED, {"window": WINDOW_S})
        except ConsentsDown as error:
            _log.warning("it is not known who withdrew a consent: %s", error)
            return
        if began - self._polled_at > WINDOW_S / 2:
            self._forget_all()  # between then and the window something may have been missed
        for row_id, tenant_id, subject in rows:
            if row_id not in self._seen:
                self._forget((tenant_id.hex, subject))
        self._seen = {row[0] for row in rows}
        self._polled_at = began

    async def _load(self, whom: Whom) -> frozenset[str]:
        loading = self._loading.get(whom)
        if loading is None:
            loading = self._loading[whom] = asyncio.create_task(self._read(whom))
            loading.add_done_callback(lambda _: self._loading.pop(whom, None))
        # A client that leaves must not take the query away from the others.
        return await asyncio.shield(loading)

    async def _read(self, whom: Whom) -> frozenset[str]:
        self._stale.discard(whom)
        began = time.monotonic()
        rows = await self._fetch(IN_FORCE, {"tenant": UUID(whom[0]), "subject": whom[1]})
        purposes = frozenset(row[0] for row in rows)
        if whom not in self._stale:
            if len(self._known) >= REMEMBERED_MAX:
                for oldest in list(self._known)[: REMEMBERED_MAX // 2]:
                    del self._known[oldest]
            self._known[whom] = (purposes, began)
        self._stale.discard(whom)
        return purposes

    def _forget(self, whom: Whom) -> None:
        self._known.pop(whom, None)
        if whom in self._loading:
            self._stale.add(whom)

    def _forget_all(self) -> None:
        self._known.clear()
        self._stale.update(self._loading)

    async def _fetch(self, query: str, parameters: dict[str, object]) -> list[tuple[Any, ...]]:
        try:
            async with colony_connection(self._pool) as connection:
                cursor = await connection.execute(query, parameters)
                return await cursor.fetchall()
        except (psycopg.Error, PoolTimeout) as error:
            raise ConsentsDown(type(error).__name__) from error
