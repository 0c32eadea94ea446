import asyncio
from datetime import timedelta
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import connection

from billing.domain.fence import fence, fenced_tasks, sweep_fences
from billing.domain.settlement import Settlement, settle
from billing.models import AttemptFence, UsageEvent
from gdpr.ids import month_of, uuid7
from gdpr.pool import Pool
from gdpr.scope import colony_tx
from tests.billing.domain.test_settlement import books, copy, make_settlement_async
from tests.factories.billing import make_price
from tests.factories.tenants import make_project


async def test_fence_drops_attempts_below_it(pool: Pool) -> None:
    first = await make_settlement_async()
    second = copy(first, attempt=2)

    assert await set_fence(pool, first, 2)

    assert await settle(pool, [first]) == set()
    assert await fenced_tasks(pool, [(first.task_id, 1), (first.task_id, 2)]) == {first.task_id}
    assert await settle(pool, [first, second]) == {first.task_id}
    usage, _, _ = await books(first)
    assert [event.attempt for event in usage] == [2]


async def test_fence_of_a_settled_task_is_refused(pool: Pool) -> None:
    settlement = await make_settlement_async()
    await settle(pool, [settlement])

    assert not await set_fence(pool, settlement, 2)
    assert await fenced_tasks(pool, [(settlement.task_id, 1)]) == set()


async def test_fence_never_goes_down(pool: Pool) -> None:
    settlement = await make_settlement_async()

    assert await set_fence(pool, settlement, 3)
    assert await set_fence(pool, settlement, 2)

    assert await settle(pool, [copy(settlement, attempt=2)]) == set()
    assert await settle(pool, [copy(settlement, attempt=3)]) == {settlement.task_id}


async def test_fence_and_settlement_that_race_never_both_win(pool: Pool) -> None:
    project, price = await sync_to_async(make_project)(), await sync_to_async(make_price)()
    won = {"fence": 0, "settlement": 0}
    for round_number in range(60):
        settlement = await make_settlement_async(project, price)
        racers = [settle(pool, [settlement]), set_fence(pool, settlement, 2)]
        if round_number % 2:
            racers.reverse()
        results = await asyncio.gather(*racers)
        settled, fenced = sorted(results, key=lambda result: isinstance(result, bool))
        assert (settled == {settlement.task_id}) is not fenced
        won["fence" if fenced else "settlement"] += 1
    assert sum(won.values()) == 60


async def test_sweep_keeps_fences_of_unsettled_tasks(pool: Pool) -> None:
    old_ns = int(uuid7().int >> 80) * 1_000_000 - int(timedelta(days=1).total_seconds() * 1e9)
    settled = await make_settlement_async(task_id=uuid7(old_ns).hex, attempt=2)
    unsettled = await make_settlement_async(task_id=uuid7(old_ns).hex)
    for settlement in (settled, unsettled):
        await set_fence(pool, settlement, 2)
    await settle(pool, [settled])

    @sync_to_async
    def age_and_sweep() -> set[str]:
        with colony_tx("tests"), connection.cursor() as cursor:
            cursor.execute("UPDATE billing_attemptfence SET set_at = now() - interval '8 days'")
        sweep_fences()
        with colony_tx("tests"):
            wanted = [settled.task_id, unsettled.task_id]
            return {row.task_id.hex for row in AttemptFence.objects.filter(task_id__in=wanted)}

    assert await age_and_sweep() == {unsettled.task_id}


async def test_fence_is_seen_by_its_tenant_only(pool: Pool) -> None:
    settlement = await make_settlement_async()
    await set_fence(pool, settlement, 2)

    async with pool.connection() as plain:
        cursor = await plain.execute("SELECT count(*) FROM billing_attemptfence")
        assert await cursor.fetchone() == (0,)
    assert await sync_to_async(UsageEvent._base_manager.count)() == 0


async def set_fence(pool: Pool, settlement: Settlement, lowest: int) -> bool:
    month = month_of(UUID(settlement.task_id))
    return await fence(pool, settlement.task_id, month, settlement.tenant_id, lowest)
