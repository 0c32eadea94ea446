"""Fences: from which attempt on a task may settle.

A queen that gives a task to another hive, because the first one claimed it and fell silent, commits a fence first. The
receipt of the silent one, should it come after all, is then refused, and the task is booked by the attempt that the
client got its answer from.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from django.db import connection as django_connection

from billing.domain.settlement import FENCE_LOCK
from gdpr.pool import Pool, colony_connection
from gdpr.scope import colony_tx

KEPT_DAYS = 7

SET = """
    INSERT INTO billing_attemptfence (task_id, tenant_id, lowest_valid_attempt, set_at)
    SELECT %(task)s, %(tenant)s, %(attempt)s, now()
    WHERE NOT EXISTS (SELECT 1 FROM billing_usageevent WHERE month = %(month)s AND task_id = %(task)s::uuid)
    ON CONFLICT (task_id) DO UPDATE
    SET lowest_valid_attempt = greatest(billing_attemptfence.lowest_valid_attempt, excluded.lowest_valid_attempt)
    RETURNING lowest_valid_attempt
"""
FENCED = """
    SELECT f.task_id FROM billing_attemptfence f JOIN unnest(%s::uuid[], %s::int2[]) AS g (task_id, attempt) USING (task_id)
    WHERE g.attempt < f.lowest_valid_attempt
"""
SWEEP = """
    DELETE FROM billing_attemptfence f WHERE f.set_at < now() - make_interval(days => %s) AND EXISTS (
        SELECT 1 FROM billing_usageevent u WHERE u.month = rbee_month(f.task_id) AND u.task_id = f.task_id)
"""


async def fence(pool: Pool, task_id: str, month: date, tenant_id: str, lowest_valid_attempt: int) -> bool:
    """False: the task is settled already, do not give it to anyone. Waits for the batches that are being booked. Raises
    psycopg.OperationalError or psycopg_pool.PoolTimeout when the database is away: then nothing is fenced."""
    given = {"task": task_id, "tenant": tenant_id, "attempt": lowest_valid_attempt, "month": month}
    async with colony_connection(pool) as connection:
        # A statement of its own: the next one must see what was committed while this one waited.
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [FENCE_LOCK])
        cursor = await connection.execute(SET, given)
        await connection.commit()
        return await cursor.fetchone() is not None


async def fenced_tasks(pool: Pool, attempts: Iterable[tuple[str, int]]) -> set[str]:
    """Which of these (task, attempt) are below their fence: they settle never, and need not be sent again."""
    pairs = list(attempts)
    async with colony_connection(pool) as connection:
        cursor = await connection.execute(
            FENCED, [[task for task, _ in pairs], [number for _, number in pairs]]
        )
        return {row[0].hex for row in await cursor.fetchall()}


def sweep_fences() -> int:
    """Remove old fences of tasks that are settled: the books keep a second receipt out by themselves."""
    with colony_tx("sweep fences"), django_connection.cursor() as cursor:
        cursor.execute(SWEEP, [KEPT_DAYS])
        return int(cursor.rowcount)
