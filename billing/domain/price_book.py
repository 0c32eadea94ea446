"""The prices that a queen process knows. Those in force are at most 5 s old; a version never changes and is kept."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from billing.domain.prices import NoPrice
from billing.domain.pricing import ANY_MODEL, PriceVersion
from gdpr.pool import Pool, colony_connection

REMEMBERED_S = 5.0

IN_FORCE = """
    SELECT DISTINCT ON (p.card_id, p.model) p.id, p.model, p.currency, p.prices, coalesce(l.slug, '') AS plan
    FROM billing_price p JOIN billing_pricecard c ON c.id = p.card_id LEFT JOIN tenants_plan l ON l.id = c.plan_id
    WHERE p.valid_from <= now() AND NOT EXISTS (SELECT FROM billing_pricewithdrawal w WHERE w.version_id = p.id)
    ORDER BY p.card_id, p.model, p.valid_from DESC, p.version DESC
"""
BY_ID = "SELECT id, model, currency, prices FROM billing_price WHERE id = %s"

EVERY_PLAN = ""


class PricesDown(Exception):
    """The database did not answer, and what is remembered is too old."""


class PriceBook:
    """One per queen process, used on one event loop."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._in_force: dict[tuple[str, str], PriceVersion] = {}  # by plan and model
        self._versions: dict[str, PriceVersion] = {}
        self._until = 0.0
        self._refreshing: asyncio.Task[None] | None = None

    def get(self, model_name: str, plan_slug: str) -> PriceVersion | None:
        """Without waiting. None: not remembered, or there is none; `current_price` tells."""
        if self._until <= time.monotonic():
            return None
        prices = self._in_force
        return (
            prices.get((plan_slug, model_name))
            or prices.get((plan_slug, ANY_MODEL))
            or prices.get((EVERY_PLAN, model_name))
            or prices.get((EVERY_PLAN, ANY_MODEL))
        )

    async def current_price(self, model_name: str, plan_slug: str) -> PriceVersion:
        """The plan's own card before the one for all, the model's own price before that of any model. Raises NoPrice,
        PricesDown."""
        if price := self.get(model_name, plan_slug):
            return price
        await self._refresh()
        if price := self.get(model_name, plan_slug):
            return price
        raise NoPrice(f"{model_name} has no price")

    async def version(self, price_id: str) -> PriceVersion | None:
        """Any version there ever was, by its id in hex. Raises PricesDown."""
        if price_id not in self._versions:
            for row in await self._fetch(BY_ID, [price_id]):
                self._keep(row)
        return self._versions.get(price_id)

    def invalidate(self) -> None:
        self._until = 0.0

    async def _refresh(self) -> None:
        """One query, shared by all who wait."""
        if self._until > time.monotonic():
            return
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._read())
        await asyncio.shield(self._refreshing)

    async def _read(self) -> None:
        asked_at = time.monotonic()
        rows = await self._fetch(IN_FORCE, [])
        self._in_force = {(row["plan"], row["model"]): self._keep(row) for row in rows}
        self._until = asked_at + REMEMBERED_S

    def _keep(self, row: dict[str, Any]) -> PriceVersion:
        price = PriceVersion(
            id=row["id"].hex, model=row["model"], currency=row["currency"], prices=dict(row["prices"])
        )
        return self._versions.setdefault(price.id, price)

    async def _fetch(self, query: str, parameters: list[str]) -> list[dict[str, Any]]:
        try:
            async with colony_connection(self._pool) as connection:
                cursor = connection.cursor(row_factory=dict_row)
                await cursor.execute(query, parameters)
                return await cursor.fetchall()
        except psycopg.DataError:
            return []  # an id that is no UUID
        except (psycopg.Error, PoolTimeout) as error:
            raise PricesDown(type(error).__name__) from error
