"""What one process of the queen is made of. Everything is built here, once, and every long-lived task starts here."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import redis.asyncio

from billing.domain.fence import fence
from billing.domain.price_book import PriceBook
from billing.domain.quantities import Wanted, quantities_used, tokens_used_since
from billing.domain.settlement import Settlement
from billing.domain.slices import Grant, grant
from gdpr.domain.consent_book import ConsentBook
from gdpr.domain.frozen import frozen_among
from gdpr.pool import Pool, make_pool
from gdpr.threads import in_thread
from inference.api.authentication import Authentication
from inference.api.delivery import Deliveries
from inference.api.gatherer import Gatherer
from inference.api.guard import Guard
from inference.api.local import LocalEnv, LocalRule
from inference.api.receipts import HiveCredentials, settlement_of_lost
from inference.domain.colony import Colony, HiveInfo
from inference.domain.content_log import ContentLog
from inference.domain.decision_log import DecisionLog
from inference.domain.dispatch import Dispatcher
from inference.domain.envelope import Envelope
from inference.domain.hives import info_of, joined_hives, restore_hive_acls
from inference.domain.idempotency import Idempotency
from inference.domain.kept_content import write_content
from inference.domain.limit_notices import LimitNotices
from inference.domain.limits import Limit
from inference.domain.offer import Offer
from inference.domain.policy_failures import PolicyFailures, tell_failures
from inference.domain.policy_source import Policies
from inference.domain.recovery import Recovery
from inference.domain.refusal_log import RefusalLog, write_refusals
from inference.domain.reserve import Reserver, period_start_ms
from inference.domain.revocations import Revocations
from inference.domain.treasury import Treasury
from inference.domain.waiting_room import WaitingRoom
from inference.transport.reader import TokenReader
from inference.transport.resp import RedisPipe
from tenants.domain.addresses import Network, network_set
from tenants.domain.authentication import CallerCache, good_kids
from tenants.domain.invalidation import CHANNEL
from tenants.domain.key_use import KEY_USE
from tenants.domain.limit_notices import note_limit_reached

FINISH_S: Final = 5.0
LISTEN_TIMEOUT_S: Final = 5.0
LISTEN_PAUSE_S: Final = 0.5

_log = logging.getLogger(__name__)


class QueenEnv(LocalEnv, Protocol):
    """The settings that a process goes by."""

    @property
    def database_url(self) -> str: ...
    @property
    def redis_url(self) -> str: ...
    @property
    def scheduler_file(self) -> Path: ...
    @property
    def task_timeout_s(self) -> int: ...
    @property
    def queue_timeout_s(self) -> int: ...
    @property
    def decision_headers(self) -> bool: ...
    @property
    def trusted_proxies(self) -> tuple[Network, ...]: ...


class Queen:
    """`start` before the first request, `stop` after the last."""

    def __init__(self, env: QueenEnv) -> None:
        self.env = env
        self.name = secrets.token_hex(8)
        self.pool: Pool = make_pool(env.database_url)
        self.pipe = RedisPipe(env.redis_url)
        self._reader_pipe = RedisPipe(env.redis_url, name="queen-tokens")
        self.reader = TokenReader(self._reader_pipe, self.name)
        self.colony = Colony(self.pipe, load_hives)
        self.room = WaitingRoom(self.colony, timeout_s=env.queue_timeout_s)
        self.reserver = Reserver(self.pipe, self.name, read_books=self._read_books)
        self.limit_notices = LimitNotices(self.pipe, in_thread(note_limit_reached))
        self.reserver.on_reached.append(self.limit_notices.on_reached)
        self.recovery = Recovery(
            self.pipe,
            self.reserver,
            restore_acls=in_thread(restore_hive_acls),
            used_since=self._used_since,
        )
        self.prices = PriceBook(self.pool)
        self.treasury = Treasury(
            self.pool, self.pipe, self.reserver, grant=self._grant, is_on=env.is_business
        )
        self.gatherer = Gatherer(self.pool, self._on_booked)
        self.dispatcher = Dispatcher(
            self.pipe,
            self.reader,
            self.colony,
            self.reserver,
            fence=self._fence,
            settle_lost=self._settle_lost,
            room=self.room,
            money=self.treasury,
        )
        self.callers = CallerCache(self.pool)
        self.authentication = Authentication(self.callers, LocalRule(env), network_set(env.trusted_proxies))
        self.consents = ConsentBook(self.pool)
        self.revocations = Revocations(self.dispatcher, self._good_kids, self._frozen)
        self.policies = Policies(env.scheduler_file)
        self.decisions = DecisionLog(self.pool, self.colony)
        self.contents = ContentLog(in_thread(write_content))
        self.refusals = RefusalLog(in_thread(write_refusals))
        self.policy_failures = PolicyFailures(in_thread(tell_failures))
        self.policies.on_failed.append(self.policy_failures.note)
        self.offer = Offer()
        self.hive_credentials = HiveCredentials()
        self.deliveries = Deliveries()
        self.idempotency = Idempotency(self.pipe)
        self._guard = Guard()

    async def start(self) -> None:
        """Raises what keeps it from starting; then nothing is left running."""
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        await self.pool.open()
        await self.pipe.connect()
        await self._reader_pipe.connect()
        await self.policies.load()
        await self.offer.load()
        await self.recovery.start()
        await self.colony.start()
        await self.reader.start()
        self.reserver.start()
        self.idempotency.start()
        self.dispatcher.run()
        self._guard.spawn("notices", self._listen)
        self._guard.spawn("revocations", self.revocations.watch)
        self._guard.spawn("use of keys", self._write_key_use)
        self._guard.spawn("consents", self.consents.watch)
        self._guard.spawn("policies", self.policies.watch)
        self._guard.spawn("decisions", self.decisions.watch)
        self._guard.spawn("kept content", self.contents.watch)
        self._guard.spawn("refusals", self.refusals.watch)
        self._guard.spawn("failures of policies", self.policy_failures.watch)
        self._guard.spawn("catalog", self.offer.watch)
        self._guard.spawn("deliveries", self.deliveries.watch)

    async def stop(self) -> None:
        await self.deliveries.finish(FINISH_S)
        await self.dispatcher.stop()
        await self.idempotency.stop()
        await self.limit_notices.stop()
        await self.gatherer.close()
        await self._guard.stop()
        await self.decisions.stop()
        await self.contents.stop()
        await self.refusals.stop()
        await self.policy_failures.stop()
        await KEY_USE.write(self.pool)
        await self.recovery.stop()
        await self.reserver.stop()
        await self.reader.stop()
        await self.colony.stop()
        await self._reader_pipe.close()
        await self.pipe.close()
        await self.pool.close()

    async def _listen(self) -> None:
        """To what other processes changed. Whatever was said while nobody listened is made up for by forgetting all."""
        while True:
            client = redis.asyncio.Redis.from_url(self.env.redis_url)
            try:
                async with client.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(CHANNEL)
                    await channel.get_message(timeout=LISTEN_TIMEOUT_S)  # what says that it is so
                    for everything in (
                        "keys",
                        "consents",
                        "prices",
                        "models",
                        "hives",
                        "policies",
                        "billing",
                    ):
                        self._take_notice(everything)
                    while True:
                        message = await channel.get_message(timeout=LISTEN_TIMEOUT_S)
                        if message is not None:
                            self._take_notice(message["data"].decode("utf-8", "replace"))
            except redis.RedisError as error:
                _log.warning("notices of changes are not heard: %s", type(error).__name__)
            finally:
                await client.aclose()
            await asyncio.sleep(LISTEN_PAUSE_S)

    def _take_notice(self, message: str) -> None:
        self.callers.handle(message)
        self.consents.handle(message)
        self.revocations.handle(message)
        if message == "prices":
            self.prices.invalidate()
        elif message == "billing":
            self.treasury.invalidate()
        elif message == "models":
            self.offer.reload_soon()
        elif message == "hives":
            self.hive_credentials.forget()
            self.colony.reload_hives()
        elif message == "policies":
            self.policies.reload_soon()

    async def _good_kids(self, key_ids: Collection[str]) -> Collection[str]:
        return await good_kids(self.pool, key_ids)

    async def _frozen(self, whom: Collection[tuple[str, str]]) -> Collection[tuple[str, str]]:
        return await frozen_among(self.pool, whom)

    async def _write_key_use(self) -> None:
        await KEY_USE.watch(self.pool)

    async def _fence(self, task_id: UUID, month: date, tenant_id: UUID, lowest_valid_attempt: int) -> bool:
        return await fence(self.pool, task_id.hex, month, tenant_id.hex, lowest_valid_attempt)

    async def _used_since(self, since_ms: int) -> Mapping[str, int]:
        return await tokens_used_since(self.pool, since_ms)

    async def _read_books(self, limits: Sequence[Limit], now_ms: int, without: Sequence[str]) -> list[int]:
        """All are of one tenant."""
        wanted = [
            Wanted(limit.level, limit.owner, limit.unit, period_start_ms(limit, now_ms)) for limit in limits
        ]
        return await quantities_used(self.pool, limits[0].tenant_id, wanted, without=without)

    async def _grant(
        self, tenant_id: str, currency: str, *, epoch: str, need_micros: int, known: str
    ) -> Grant:
        return await in_thread(grant)(
            UUID(tenant_id),
            currency,
            epoch=epoch,
            need_micros=need_micros,
            known=known,
            longest_task_s=self.env.task_timeout_s,
        )

    def _on_booked(self, settlement: Settlement, paid_micros: int) -> None:
        if settlement.slice_id:
            self.treasury.release(settlement.slice_id, settlement.task_id, paid_micros)

    async def _settle_lost(self, envelope: Envelope, attempt: int) -> None:
        """Booked at nothing, so that no task stays open. Raises while the database is away."""
        settlement = await settlement_of_lost(self.prices, envelope, attempt)
        if settlement is None or not all(await self.gatherer.settle([settlement])):
            _log.error("task %s of a lost hive cannot be booked", envelope.task)


async def load_hives() -> Mapping[str, HiveInfo]:
    return {hive.id: hive for hive in await in_thread(_hive_infos)()}


def _hive_infos() -> list[HiveInfo]:
    return [info_of(hive) for hive in joined_hives()]
