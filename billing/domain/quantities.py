"""What tenants used of their daily quantities, from the books: for counters that were lost."""

from __future__ import annotations

from uuid import UUID

from gdpr.ids import month_of
from gdpr.pool import Pool, colony_connection
from hive_agent.protocol import CHARGED_OUTCOMES

QUERY = """
    SELECT tenant_id, sum(coalesce((usage->>'prompt_tokens')::bigint, 0)
                          + coalesce((usage->>'completion_tokens')::bigint, 0))
    FROM billing_usageevent
    WHERE month = %s AND task_id >= %s AND outcome = ANY(%s)
    GROUP BY tenant_id
"""


async def tokens_used_since(pool: Pool, since_ms: int) -> dict[str, int]:
    """By tenant, as hex. `since_ms` is Unix time within the running month; tasks count by when they were admitted."""
    first = UUID(int=(since_ms << 80) | (0x7 << 76) | (0b10 << 62))
    async with colony_connection(pool) as connection:
        cursor = await connection.execute(
            QUERY, [month_of(first), first, [str(outcome) for outcome in CHARGED_OUTCOMES]]
        )
        return {tenant.hex: int(tokens) for tenant, tokens in await cursor.fetchall()}
