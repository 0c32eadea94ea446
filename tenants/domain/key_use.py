"""When each key was last used, to the minute. A request only notes the key's name in memory; what was noted is written
every few seconds, for all keys in one statement, and for none more often than once a minute.

A use is also the one moment at which a MAC can be made under another root secret: what is noted of that is written with
it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from gdpr.pool import Pool, colony_connection
from gdpr.secrets import newest_root

WRITE_INTERVAL_S: Final = 5.0
WRITTEN_AT_ONCE: Final = 5000
_DUE: Final = "coalesce({column} < now() - interval '1 minute', true)"

# In the order of their ids and past those that are locked: several queens do this at the same time.
WRITE: Final = f"""
    WITH due AS (
        SELECT id FROM tenants_apikey
        WHERE (kid = ANY(%(kids)s) AND {_DUE.format(column="last_used_at")})
           OR (old_kid = ANY(%(kids)s) AND {_DUE.format(column="old_last_used_at")})
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE tenants_apikey k
    SET last_used_at = CASE WHEN kid = ANY(%(kids)s) THEN now() ELSE last_used_at END,
        old_last_used_at = CASE WHEN old_kid = ANY(%(kids)s) THEN now() ELSE old_last_used_at END
    FROM due WHERE k.id = due.id
"""  # noqa: S608 -- constants

# By the old MAC, so that nothing is written over a value that was rotated meanwhile. Both values of a key may be among
# them, and a row that is joined twice would be updated once.
REMAKE: Final = """
    WITH made AS (SELECT * FROM unnest(%(before)s::bytea[], %(after)s::bytea[]) AS pairs (before, after))
    UPDATE tenants_apikey k
    SET mac = coalesce((SELECT after FROM made WHERE before = k.mac), k.mac),
        mac_root = CASE WHEN k.mac = ANY(%(before)s) THEN %(root)s ELSE k.mac_root END,
        old_mac = coalesce((SELECT after FROM made WHERE before = k.old_mac), k.old_mac),
        old_mac_root = CASE WHEN k.old_mac = ANY(%(before)s) THEN %(root)s ELSE k.old_mac_root END
    WHERE k.mac = ANY(%(before)s) OR k.old_mac = ANY(%(before)s)
"""

_log = logging.getLogger(__name__)


class KeyUse:
    """One per process, also for Django's views, which run on other threads: a set takes that."""

    def __init__(self) -> None:
        self.seen: set[str] = set()  # kids
        self.remade: dict[bytes, bytes] = {}  # MACs under another root secret, and under the newest

    async def watch(self, pool: Pool) -> None:
        """Runs for ever."""
        while True:
            await asyncio.sleep(WRITE_INTERVAL_S)
            await self.write(pool)

    async def write(self, pool: Pool) -> None:
        """What cannot be written is noted again by the next request."""
        seen, self.seen = self.seen, set()
        seen.discard("")
        kids = list(seen)
        remade, self.remade = self.remade, {}
        try:
            if remade:
                made = {"before": list(remade), "after": list(remade.values()), "root": newest_root()}
                async with colony_connection(pool) as connection:
                    await connection.execute(REMAKE, made)
            for at in range(0, len(kids), WRITTEN_AT_ONCE):
                async with colony_connection(pool) as connection:
                    await connection.execute(WRITE, {"kids": kids[at : at + WRITTEN_AT_ONCE]})
        except (psycopg.Error, PoolTimeout) as error:
            _log.warning("when keys were last used is not written: %s", type(error).__name__)


KEY_USE: Final = KeyUse()
