"""Money on the hot path: whether a tenant's tasks are paid for before they run, and out of which budget slice.

A queen process remembers how a tenant pays for at most 5 s, and forgets at once when it is told that money moved
(`billing`). Which slice is open it remembers for as long as the reservation script finds money there. When it does not,
the slice is topped up out of PostgreSQL, once for all of a tenant's tasks that wait for it, and the reservation is tried
again. Nobody waits who is refused: when the balance has no more, that is remembered for a moment.

Tenants that pay afterwards and have no limit, and all in home mode, have nothing to do with this.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable
from typing import Final, Protocol

import msgspec
import psycopg
from django.db import Error as DatabaseError
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from billing.domain.slices import Grant
from billing.enums import AccountState, BillingMode
from gdpr.pool import Pool, colony_connection
from inference.domain import failures
from inference.domain.limits import slice_key
from inference.domain.reserve import EPOCH_KEY, Reserver
from inference.transport import scripts
from inference.transport.resp import RedisDown, RedisError, RedisPipe
from tenants.domain.authentication import Caller, Limits
from tenants.domain.limit_shape import NO_LIMITS, LevelLimits, read_limits

REMEMBERED_S: Final = 5.0
REMEMBERED_MAX: Final = 10_000
EXHAUSTED_S: Final = 0.25  # nobody looks for more money of a tenant that has none
GATHER_S: Final = 0.002  # who comes together is funded together
STALE: Final = -1  # what fund_slice.lua answers of another life of Redis
RESTRICTED_PLAN: Final = "free"

FUNDING = """
    SELECT a.mode, a.state, a.credit_limit_micros, p.slug AS plan, p.requests_per_minute, p.tokens_per_minute,
           p.tokens_per_day, p.concurrent_tasks, p.limits
    FROM billing_billingaccount a LEFT JOIN tenants_plan p ON p.slug = %(plan)s AND a.state = %(restricted)s
    WHERE a.tenant_id = %(tenant)s
"""

_log = logging.getLogger(__name__)


class FundingDown(Exception):
    """The database did not answer, and what is remembered is too old."""


class Funding(msgspec.Struct, frozen=True):
    """How a tenant pays. `limits` and `periods`: of one whose account is restricted."""

    is_limited: bool = False  # its tasks are paid out of slices
    is_suspended: bool = False
    limits: Limits | None = None
    periods: LevelLimits = NO_LIMITS

    def narrowed(self, caller: Caller) -> Caller:
        """What is left of the caller's limits."""
        if self.limits is None:
            return caller
        own, least = caller.limits, self.limits
        limits = Limits(
            _least(own.requests_per_minute, least.requests_per_minute),
            _least(own.tokens_per_minute, least.tokens_per_minute),
            _least(own.tokens_per_day, least.tokens_per_day),
            _least(own.concurrent_tasks, least.concurrent_tasks),
        )
        tenant = caller.levels.tenant
        if self.periods != NO_LIMITS:
            tenant = msgspec.structs.replace(
                tenant,
                quantities={**tenant.quantities, **self.periods.quantities},
                spend_micros=self.periods.spend_micros or tenant.spend_micros,
            )
        levels = msgspec.structs.replace(caller.levels, tenant=msgspec.structs.replace(tenant, soft=False))
        return msgspec.structs.replace(caller, limits=limits, levels=levels)


UNLIMITED: Final = Funding()


class GrantMoney(Protocol):
    """`billing.domain.slices.grant`."""

    def __call__(
        self, tenant_id: str, currency: str, *, epoch: str, need_micros: int, known: str
    ) -> Awaitable[Grant]: ...


class Treasury:
    """One per queen process, used on one event loop. `is_on`: somebody pays."""

    def __init__(
        self, pool: Pool, pipe: RedisPipe, reserver: Reserver, *, grant: GrantMoney, is_on: bool = True
    ) -> None:
        self._pool = pool
        self._pipe = pipe
        self._reserver = reserver
        self._grant = grant
        self._is_on = is_on
        self._known: dict[str, tuple[Funding, float]] = {}  # by tenant, until when
        self._reading: dict[str, asyncio.Task[Funding]] = {}
        self._generation = 0  # of what was forgotten
        self._slices: dict[tuple[str, str], str] = {}  # by tenant and currency
        self._waiting: dict[tuple[str, str], int] = {}  # what those that wait for money need together
        self._flights: dict[tuple[str, str], asyncio.Task[tuple[int, int]]] = {}
        self._exhausted: dict[tuple[str, str], float] = {}  # until when

    def get(self, tenant_id: str) -> Funding | None:
        """Without waiting. None: not remembered; `load` tells."""
        if not self._is_on:
            return UNLIMITED
        known = self._known.get(tenant_id)
        return known[0] if known is not None and known[1] > time.monotonic() else None

    async def load(self, tenant_id: str) -> Funding:
        """One query, shared by all who ask of the same tenant. Raises FundingDown."""
        reading = self._reading.get(tenant_id)
        if reading is None:
            reading = self._reading[tenant_id] = asyncio.create_task(self._read(tenant_id))
            reading.add_done_callback(lambda _: self._reading.pop(tenant_id, None))
        return await asyncio.shield(reading)

    def invalidate(self) -> None:
        """Money moved."""
        self._generation += 1
        self._known.clear()
        self._exhausted.clear()

    def slice_of(self, tenant_id: str, currency: str) -> str:
        """In hex. Empty: none is known to be open, `top_up` finds or opens one."""
        return self._slices.get((tenant_id, currency), "")

    async def top_up(self, tenant_id: str, currency: str, need_micros: int) -> None:
        """So that the reservation is worth another try. Raises TaskFailed: when the balance does not have it, or nobody can
        tell."""
        whose = (tenant_id, currency)
        if self._exhausted.get(whose, 0.0) > time.monotonic():
            raise failures.balance_too_low(need_micros, currency)
        self._waiting[whose] = self._waiting.get(whose, 0) + need_micros
        try:
            flight = self._flights.get(whose)
            if flight is None:
                flight = self._flights[whose] = asyncio.create_task(self._top_up(whose), name="top up")
                flight.add_done_callback(lambda _: self._flights.pop(whose, None))
            new, left = await asyncio.shield(flight)
        finally:
            self._waiting[whose] -= need_micros
            if not self._waiting[whose]:
                del self._waiting[whose]
        if not new and left < need_micros:
            raise failures.balance_too_low(need_micros, currency)

    def release(self, slice_id: str, task: str, paid_micros: int) -> None:
        """A task is in the books: what else is held for it is free, unless it is already. Never waits."""
        self._pipe.send_run(scripts.RELEASE_HOLDS, [slice_key(slice_id)], [task, paid_micros])

    async def _top_up(self, whose: tuple[str, str]) -> tuple[int, int]:
        """What was added, and what is left with it. Raises TaskFailed."""
        await asyncio.sleep(GATHER_S)
        epoch, known = self._reserver.epoch, self._slices.get(whose, "")
        try:
            if epoch is None or await self._pipe.call("GET", EPOCH_KEY) != epoch.encode():
                raise failures.rebuilding()
            granted = await self._grant(
                *whose, epoch=epoch, need_micros=self._waiting.get(whose, 0), known=known
            )
            left = await self._pipe.run(
                scripts.FUND_SLICE, [EPOCH_KEY, slice_key(granted.slice_id)], [epoch, granted.granted_micros]
            )
        except (RedisDown, RedisError):
            raise failures.redis_unreachable() from None
        except (psycopg.Error, DatabaseError, PoolTimeout, RuntimeError) as error:
            _log.warning("a balance cannot be read: %s", type(error).__name__)
            raise failures.balance_unknown() from None
        if left == STALE:
            raise failures.rebuilding()
        if len(self._slices) >= REMEMBERED_MAX:
            self._slices.clear()
        self._slices[whose] = granted.slice_id
        if granted.new_micros == 0 and granted.slice_id == known:
            _make_room(self._exhausted)
            self._exhausted[whose] = time.monotonic() + EXHAUSTED_S
        return granted.new_micros, int(left)

    async def _read(self, tenant_id: str) -> Funding:
        generation, asked_at = self._generation, time.monotonic()
        given = {"tenant": tenant_id, "plan": RESTRICTED_PLAN, "restricted": AccountState.RESTRICTED}
        try:
            async with colony_connection(self._pool) as connection:
                cursor = connection.cursor(row_factory=dict_row)
                await cursor.execute(FUNDING, given)
                row = await cursor.fetchone()
        except (psycopg.Error, PoolTimeout) as error:
            raise FundingDown(type(error).__name__) from error
        funding = _funding(row) if row else UNLIMITED
        if generation == self._generation:
            _make_room(self._known)
            self._known[tenant_id] = (funding, asked_at + REMEMBERED_S)
        return funding


def _funding(row: dict[str, object]) -> Funding:
    limits, periods = None, NO_LIMITS
    if row["state"] == AccountState.RESTRICTED and row["plan"] is not None:
        names = ("requests_per_minute", "tokens_per_minute", "tokens_per_day", "concurrent_tasks")
        limits = msgspec.convert({name: row[name] for name in names}, Limits)
        periods = read_limits(row["limits"])
    return Funding(
        is_limited=row["mode"] == BillingMode.PREPAID or row["credit_limit_micros"] is not None,
        is_suspended=row["state"] == AccountState.SUSPENDED,
        limits=limits,
        periods=periods,
    )


def _least(*limits: int | None) -> int | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _make_room(remembered: dict[str, tuple[Funding, float]] | dict[tuple[str, str], float]) -> None:
    if len(remembered) >= REMEMBERED_MAX:
        remembered.clear()
