"""Connections for asynchronous code. Django's own are synchronous; what a queen does for each batch of receipts, or for a
key that it does not remember, goes through this pool, with SQL of our own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from gdpr.scope import COLONY_ROLE

Pool = AsyncConnectionPool[AsyncConnection[Any]]

WAIT_S = 3.0  # for a free connection
STATEMENT_TIMEOUT_MS = 10_000


def make_pool(database_url: str, *, size: int = 4) -> Pool:
    """Not open yet: `await pool.open()`. Waiting for a connection raises psycopg_pool.PoolTimeout."""
    return AsyncConnectionPool(
        database_url,
        min_size=1,
        max_size=size,
        timeout=WAIT_S,
        open=False,
        name="rbee",
        kwargs={"connect_timeout": 5, "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"},
    )


@asynccontextmanager
async def colony_connection(pool: Pool) -> AsyncIterator[AsyncConnection[Any]]:
    """A transaction that sees the rows of all tenants, in pipeline mode: what is executed before the first fetch is one
    round trip. Commits at the end, rolls back on an error."""
    async with pool.connection() as connection, connection.pipeline():
        await connection.execute(f"SET LOCAL ROLE {COLONY_ROLE}")
        yield connection
