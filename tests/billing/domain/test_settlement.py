import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from asgiref.sync import sync_to_async
from psycopg_pool import PoolTimeout

from billing.domain.settlement import Settlement, settle
from billing.models import LedgerTransfer, UsageEvent
from gdpr.domain.audit import leaf_of
from gdpr.ids import month_of, uuid7
from gdpr.models import AuditEntry
from gdpr.pool import Pool, make_pool
from gdpr.scope import colony_tx
from tests.factories.billing import make_price, make_settlement
from tests.factories.tenants import make_key, make_project

make_settlement_async = sync_to_async(make_settlement)


async def test_settle_books_usage_transfer_and_audit_entry(pool: Pool) -> None:
    settlement = await make_settlement_async()

    settled = await settle(pool, [settlement])

    assert settled == {settlement.task_id}
    usage, transfers, entries = await books(settlement)
    assert len(usage) == len(transfers) == len(entries) == 1
    event, transfer, entry = usage[0], transfers[0], entries[0]
    assert event.month == month_of(event.task_id)
    assert event.usage == {"prompt_tokens": 10, "completion_tokens": 20}
    assert event.amount_micros == 14  # 1.5 + 12 micro-units: halves go to even
    assert event.receipt == settlement.receipt
    assert event.first_token_at == datetime.fromtimestamp(settlement.first_token_at_ms / 1000, UTC)
    assert (transfer.kind, transfer.debit_account, transfer.credit_account, transfer.amount_micros) == (
        "task", f"tenant:{settlement.tenant_id}", "revenue:usage", event.amount_micros,
    )  # fmt: skip
    assert (entry.event, entry.actor, entry.outcome) == (
        "task.settled",
        f"hive:{settlement.hive_id}",
        "completed",
    )
    assert entry.leaf == leaf_of(entry)


async def test_settle_is_done_once(pool: Pool) -> None:
    settlement = await make_settlement_async()

    results = [await settle(pool, [settlement, settlement]) for _ in range(3)]

    assert results == [{settlement.task_id}] * 3
    assert [len(rows) for rows in await books(settlement)] == [1, 1, 1]


async def test_settle_keeps_what_was_booked_first(pool: Pool) -> None:
    first = await make_settlement_async(usage={"prompt_tokens": 1})
    second = copy(first, attempt=2, usage={"prompt_tokens": 1_000_000})

    assert await settle(pool, [first]) == {first.task_id}
    assert await settle(pool, [second]) == {first.task_id}
    usage, _, _ = await books(first)
    assert [(event.attempt, event.usage) for event in usage] == [(1, {"prompt_tokens": 1})]


async def test_settle_takes_the_lowest_attempt_of_a_batch(pool: Pool) -> None:
    first = await make_settlement_async()

    await settle(pool, [copy(first, attempt=3), copy(first, attempt=2)])

    usage, _, _ = await books(first)
    assert [event.attempt for event in usage] == [2]


@pytest.mark.parametrize("outcome", ["worker_failed", "platform_failed", "rejected", "timed_out"])
async def test_settle_charges_nothing_for_failures(pool: Pool, outcome: str) -> None:
    settlement = await make_settlement_async(outcome=outcome)

    await settle(pool, [settlement])

    usage, transfers, _ = await books(settlement)
    assert [event.amount_micros for event in usage] == [0]
    assert [transfer.amount_micros for transfer in transfers] == [0]


async def test_settle_books_many_at_once_and_concurrent_duplicates_once(pool: Pool) -> None:
    project, price = await sync_to_async(make_project)(), await sync_to_async(make_price)()
    batch = [await make_settlement_async(project, price) for _ in range(100)]
    everything = {settlement.task_id for settlement in batch}

    results = await asyncio.gather(
        *(settle(pool, part) for part in (batch, batch[::-1], batch[30:], batch[:70]))
    )

    assert results == [everything, everything, everything - ids(batch[:30]), everything - ids(batch[70:])]
    assert await counts(project.tenant_id) == (100, 100, 100)
    assert await total(project.tenant_id) == sum(14 for _ in batch)


async def test_settle_makes_a_month_that_is_missing(pool: Pool) -> None:
    last_year = datetime.now(UTC) - timedelta(days=365)
    old = await make_settlement_async(task_id=uuid7(int(last_year.timestamp() * 1e9)).hex)
    new = await make_settlement_async()

    assert await settle(pool, [old, new]) == {old.task_id, new.task_id}
    usage, transfers, _ = await books(old)
    assert [event.month for event in usage] == [transfer.month for transfer in transfers] == [
        last_year.date().replace(day=1)
    ]  # fmt: skip


async def test_one_receipt_that_cannot_be_booked_holds_back_no_other(pool: Pool) -> None:
    good = [await make_settlement_async() for _ in range(5)]
    bad = [
        copy(good[0], task_id=uuid7().hex, project_id=uuid7().hex),  # no such project
        copy(good[0], task_id=uuid7().hex, project_id=good[1].project_id),  # another tenant's
        copy(good[0], task_id=uuid7().hex, usage={"prompt_tokens": -1}),
        copy(good[0], task_id=uuid7().hex, usage={"prompt_tokens": 2**53}),
        copy(good[0], task_id=uuid7().hex, model="nul \x00"),
        copy(good[0], task_id=uuid7().hex, admitted_at_ms=10**18),
        copy(good[0], task_id=uuid7(int(1e18)).hex),  # the year 2001
        copy(good[0], task_id="0" * 32),
        copy(good[0], task_id="nonsense"),
    ]

    assert await settle(pool, [*bad[:4], *good, *bad[4:]]) == ids(good)


async def test_key_of_another_tenant_is_refused(pool: Pool) -> None:
    theirs, _ = await sync_to_async(make_key)()
    settlement = await make_settlement_async(key_id=theirs.id.hex)

    assert await settle(pool, [settlement]) == set()


async def test_settle_without_a_database_raises_and_books_nothing(pool: Pool) -> None:
    settlement = await make_settlement_async()
    away = make_pool("postgresql://nobody:x@127.0.0.1:1/none", size=1)
    away.timeout = 0.2
    await away.open()

    with pytest.raises((PoolTimeout, psycopg.OperationalError)):
        await settle(away, [settlement])
    await away.close()
    assert await settle(pool, [settlement]) == {settlement.task_id}


def copy(settlement: Settlement, **changes: object) -> Settlement:
    facts = {name: getattr(settlement, name) for name in Settlement.__struct_fields__}
    return Settlement(**{**facts, **changes})


def ids(settlements: list[Settlement]) -> set[str]:
    return {settlement.task_id for settlement in settlements}


@sync_to_async
def books(settlement: Settlement) -> tuple[list[UsageEvent], list[LedgerTransfer], list[AuditEntry]]:
    with colony_tx("tests"):
        return (
            list(UsageEvent.objects.filter(task_id=settlement.task_id)),
            list(LedgerTransfer.objects.filter(transaction_id=settlement.task_id)),
            list(AuditEntry.objects.filter(object_ref=f"task:{settlement.task_id}")),
        )


@sync_to_async
def counts(tenant_id: UUID) -> tuple[int, int, int]:
    with colony_tx("tests"):
        return (
            UsageEvent.objects.filter(tenant_id=tenant_id).count(),
            LedgerTransfer.objects.filter(tenant_id=tenant_id).count(),
            AuditEntry.objects.filter(tenant_id=tenant_id, event="task.settled").count(),
        )


@sync_to_async
def total(tenant_id: UUID) -> int:
    with colony_tx("tests"):
        return sum(LedgerTransfer.objects.filter(tenant_id=tenant_id).values_list("amount_micros", flat=True))
