"""Tasks that cost money, without hives: what queens, receipts and chores do to one tenant's balance, one step at a time and
against real PostgreSQL and Redis. `faults` says what is wrong with the books; it trusts nobody's projection.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final
from uuid import UUID

import msgspec
from asgiref.sync import sync_to_async
from django.utils import timezone

from billing.domain import slices
from billing.domain.accounts import change_account
from billing.domain.fence import fence
from billing.domain.payments import give_credit
from billing.domain.settlement import Settlement, book
from billing.domain.slices import Grant
from billing.enums import BillingMode, SliceState, TransferKind
from billing.models import BudgetSlice
from gdpr.ids import month_of, uuid7
from gdpr.pool import Pool, colony_connection
from gdpr.scope import colony_tx
from gdpr.threads import in_thread
from inference.domain.failures import TaskFailed
from inference.domain.limits import money_limit, slice_key
from inference.domain.reserve import EPOCH_KEY, Reservation, Reserver, Unfunded
from inference.domain.slice_keeper import keep_slices
from inference.domain.treasury import Treasury
from inference.transport import scripts
from inference.transport.resp import RedisPipe
from tenants.domain.limit_shape import SPEND
from tests.factories.billing import make_price, make_settlement
from tests.factories.tenants import TESTER, make_project

LONGEST_TASK_S: Final = 600
TRIES: Final = 10
IDLE: Final = timedelta(minutes=11)
OVERDUE: Final = timedelta(seconds=LONGEST_TASK_S + 120)
TOO_LATE: Final = timedelta(seconds=LONGEST_TASK_S + 60) + slices.SPOOL_GRACE


# Of this month and the one before: a run may begin in one and end in the other.
BOOKS: Final = """
    SELECT json_build_object(
        'balance', (SELECT json_build_array(balance_micros, reserved_micros) FROM billing_balance
                    WHERE tenant_id = %(tenant)s),
        'transfers', (SELECT coalesce(json_agg(json_build_array(
                          id, transaction_id, kind, debit_account, credit_account, amount_micros)), '[]')
                      FROM billing_ledgertransfer WHERE tenant_id = %(tenant)s AND month >= %(since)s),
        'events', (SELECT coalesce(json_agg(json_build_array(task_id, amount_micros)), '[]')
                   FROM billing_usageevent WHERE tenant_id = %(tenant)s AND month >= %(since)s),
        'slices', (SELECT coalesce(json_agg(json_build_array(
                       id, epoch, state, granted_micros, returned_micros, settled_micros)), '[]')
                   FROM billing_budgetslice WHERE tenant_id = %(tenant)s))::text
"""


class Transfer(msgspec.Struct, array_like=True):
    id: UUID
    transaction: UUID
    kind: str
    debit: str
    credit: str
    amount: int


class Slice(msgspec.Struct, array_like=True):
    id: UUID
    epoch: str
    state: str
    granted: int
    returned: int
    settled: int

    @property
    def held(self) -> int:
        return self.granted - self.returned - self.settled


class Books(msgspec.Struct):
    balance: tuple[int, int] | None
    transfers: list[Transfer]
    events: list[tuple[UUID, int]]
    slices: list[Slice]


@dataclass
class Work:
    """A task that was admitted, and what is true of it, whoever believes what."""

    task: str
    slice_id: str
    hold: int
    reservation: Reservation
    cost: int = 0  # by its receipt
    is_booked: bool = False
    is_late: bool = False  # its slice was gone before it was booked


@dataclass
class Queen:
    pipe: RedisPipe
    reserver: Reserver
    treasury: Treasury


@dataclass
class Market:
    """One tenant who pays before. Queens are as many processes as far as their memory goes."""

    pool: Pool
    redis_url: str
    queens: list[Queen] = field(default_factory=list)
    paid_in: int = 0
    works: dict[str, Work] = field(default_factory=dict)
    epochs: int = 0
    lost: set[str] = field(default_factory=set)  # slices that do not pay for everything any more

    async def open(self, queens: int = 2) -> None:
        self.project = await sync_to_async(make_project)()
        self.tenant: UUID = self.project.tenant_id
        self.price = await sync_to_async(make_price)(
            prices={"prompt_tokens": 1_000_000, "completion_tokens": 0}
        )
        await sync_to_async(change_account)(self.tenant, {"mode": BillingMode.PREPAID}, actor=TESTER)
        self.settlement = await sync_to_async(make_settlement)(self.project, self.price)
        for number in range(queens):
            pipe = RedisPipe(self.redis_url, name=f"queen-{number}")
            await pipe.connect()
            reserver = Reserver(pipe, f"q{number}")
            self.queens.append(Queen(pipe, reserver, Treasury(self.pool, pipe, reserver, grant=self._grant)))
        await self.lose_redis()

    async def close(self) -> None:
        for queen in self.queens:
            await queen.pipe.close()

    async def _grant(
        self, tenant_id: str, currency: str, *, epoch: str, need_micros: int, known: str
    ) -> Grant:
        return await in_thread(slices.grant)(
            UUID(tenant_id), currency, epoch=epoch, need_micros=need_micros, known=known,
            longest_task_s=LONGEST_TASK_S,
        )  # fmt: skip

    async def pay(self, amount: int) -> None:
        await sync_to_async(give_credit)(self.tenant, amount, reason="tests", actor=TESTER)
        self.paid_in += amount
        for queen in self.queens:
            queen.treasury.invalidate()

    async def admit(self, hold: int, queen: Queen) -> Work | None:
        """As the dispatcher does it."""
        task, whose = uuid7().hex, (self.tenant.hex, "EUR")
        for _ in range(TRIES):
            if slice_id := queen.treasury.slice_of(*whose):
                try:
                    held = await queen.reserver.reserve(
                        task, [money_limit(slice_id, hold)], None, if_late=lambda _: None
                    )
                except Unfunded:
                    pass
                else:
                    self.works[task] = work = Work(task, slice_id, hold, held)
                    return work
            try:
                await queen.treasury.top_up(*whose, hold)
            except TaskFailed as refused:
                if refused.status != 402:
                    raise
                return None
        return None

    def end(self, work: Work, cost: int) -> None:
        """Its queen has seen how it ended, and gives back what it did not use."""
        work.cost = cost
        work.reservation.release({SPEND: cost})

    def forget(self, work: Work) -> None:
        """Its queen was killed, or does not know how it ended."""
        work.reservation.release({}, is_known=False)

    async def settle(self, works: Sequence[Work], queen: Queen, *, is_killed: bool = False) -> None:
        """Receipts arrive, in one batch. `is_killed`: between the commit and what follows from it."""
        batch = [self.receipt(work) for work in works]
        booked = await book(self.pool, batch)
        assert booked.keys() == {work.task for work in works}, "a receipt was not booked"
        for work in works:
            if not work.is_booked:
                work.is_booked, work.is_late = True, work.slice_id in self.lost
            if not is_killed:
                queen.treasury.release(work.slice_id, work.task, booked[work.task])

    def receipt(self, work: Work) -> Settlement:
        facts = {name: getattr(self.settlement, name) for name in Settlement.__struct_fields__}
        return Settlement(**facts | {
            "task_id": work.task, "usage": {"prompt_tokens": work.cost}, "slice_id": work.slice_id,
            "hold_micros": work.hold,
        })  # fmt: skip

    async def void(self, work: Work, queen: Queen) -> None:
        """Its hive is gone: a fence, and it is booked at nothing in the hive's place."""
        task = UUID(work.task)
        if await fence(self.pool, work.task, month_of(task), self.tenant.hex, 2):
            work.cost = 0
            lost = self.receipt(work)
            facts = {name: getattr(lost, name) for name in Settlement.__struct_fields__}
            booked = await book(self.pool, [Settlement(**facts | {"attempt": 2, "outcome": "worker_failed"})])
            work.is_booked = True
            queen.treasury.release(work.slice_id, work.task, booked[work.task])

    async def lose_redis(self) -> None:
        self.epochs += 1
        epoch = f"{time.time_ns()}-{self.epochs}"
        await self.queens[0].pipe.call("FLUSHALL")
        await self.queens[0].pipe.call("SET", EPOCH_KEY, epoch)
        for queen in self.queens:
            queen.reserver.epoch = epoch

    async def keep(self, later: timedelta = timedelta()) -> None:
        """The chore, as if so much time had passed."""
        await self._settled()
        await sync_to_async(keep_slices)(timezone.now() + later)
        if later >= TOO_LATE:
            held = await sync_to_async(slices.slices_held)()
            alive = {each.id.hex for each in held}
            self.lost |= {work.slice_id for work in self.works.values()} - alive

    async def drain_and_die(self) -> None:
        """The chore is killed after Redis gave something back."""
        for each in await sync_to_async(self._slices)():
            if each.state == SliceState.CLOSING:
                await self.queens[0].pipe.run(scripts.DRAIN_SLICE, [slice_key(each.id.hex)], [])

    async def grant_and_die(self, queen: Queen) -> None:
        """A queen is killed after PostgreSQL granted something, before Redis hears of it."""
        known = queen.treasury.slice_of(self.tenant.hex, "EUR")
        assert queen.reserver.epoch
        await self._grant(self.tenant.hex, "EUR", epoch=queen.reserver.epoch, need_micros=1, known=known)

    async def _settled(self) -> None:
        for queen in self.queens:
            await queen.pipe.call("PING")  # what was sent before has arrived

    def _slices(self) -> list[BudgetSlice]:
        with colony_tx("tests"):
            return list(BudgetSlice.objects.filter(tenant_id=self.tenant))

    async def faults(self) -> list[str]:
        await self._settled()
        books = await self._books()
        transfers, held = books.transfers, books.slices
        accounts: dict[str, int] = defaultdict(int)
        for each in transfers:
            accounts[each.debit] -= each.amount
            accounts[each.credit] += each.amount
        own, reserved = accounts[f"tenant:{self.tenant.hex}"], accounts[f"reserved:{self.tenant.hex}"]
        said = {
            "the ledger sums to zero": sum(accounts.values()) == 0,
            "balances are what the ledger says": tuple(books.balance or (0, 0)) == (own, reserved),
            "no balance is below zero": own >= 0 and reserved >= 0,
            "slices hold what is reserved": sum(each.held for each in held) == reserved,
            "no slice holds less than nothing": all(each.held >= 0 for each in held),
            "what came in is there, or was paid for tasks": self.paid_in
            == own + reserved + sum(each.amount for each in transfers if each.kind == TransferKind.TASK),
        }
        found = [name for name, is_so in said.items() if not is_so]
        found += self._task_faults(dict(books.events), transfers)
        found += await self._redis_faults(held)
        return found

    async def _books(self) -> Books:
        async with colony_connection(self.pool) as connection:
            given = {"tenant": self.tenant, "since": month_of(uuid7()) - timedelta(days=31)}
            cursor = await connection.execute(BOOKS, given)
            row = await cursor.fetchone()
        assert row is not None
        return msgspec.json.decode(row[0], type=Books)

    def _task_faults(self, events: dict[UUID, int], transfers: Sequence[Transfer]) -> list[str]:
        booked = {UUID(work.task) for work in self.works.values() if work.is_booked}
        times = Counter(each.transaction for each in transfers if each.kind == TransferKind.TASK)
        paid = {each.id: each.amount for each in transfers if each.kind == TransferKind.TASK}
        late: dict[UUID, int] = defaultdict(int)
        for each in transfers:
            if each.kind == TransferKind.LATE_USAGE:
                late[each.transaction] += each.amount
        found = []
        if events.keys() != booked or times.keys() != booked or set(times.values()) - {1}:
            found.append("each booked task has one event and one transfer")
        for work in self.works.values():
            task = UUID(work.task)
            if work.is_booked and task in events and task in paid:
                if events[task] != work.cost or paid[task] + late[task] != work.cost:
                    found.append(f"{work.task} costs {work.cost}, booked {events[task]}, paid {paid[task]}")
                if not work.is_late and paid[task] != min(work.cost, work.hold):
                    found.append(f"{work.task} of {work.cost}, held {work.hold}, paid {paid[task]}")
        return found

    async def _redis_faults(self, held: Sequence[Slice]) -> list[str]:
        found = []
        pipe = self.queens[0].pipe
        epoch = await pipe.call("GET", EPOCH_KEY)
        for each in held:
            flat = await pipe.call("HGETALL", slice_key(each.id.hex))
            told = {name.decode(): value.decode() for name, value in batched(flat, 2)}
            if (
                "granted" not in told
                or epoch is None
                or each.epoch != epoch.decode()
                or each.state == SliceState.CLOSED
            ):
                continue
            amounts = {name: int(told.get(name, 0)) for name in ("granted", "returned", "left", "used")}
            holds = sum(int(value) for name, value in told.items() if name.startswith("t:"))
            granted, returned, left, used = amounts.values()
            said = {
                "left is below zero": left < 0,
                "more is left or held than was granted": left + holds + used != granted - returned,
                "Redis has more than PostgreSQL": granted > each.granted or returned < each.returned,
                "tasks hold what the slice has not": each.id.hex not in self.lost
                and holds + used - each.settled > each.held,
            }
            found += [f"{name}: {told} {each}" for name, is_so in said.items() if is_so]
        return found


def batched(flat: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    return (flat[at : at + size] for at in range(0, len(flat), size))
