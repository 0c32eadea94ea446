"""Budget slices in PostgreSQL: what may be granted, what comes back, and who pays for a task."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from billing.domain import slices
from billing.domain.accounts import change_account
from billing.domain.book_reading import Booked
from billing.domain.comparisons import compare_reserved, compare_tasks
from billing.domain.ledger import LATE_USAGE
from billing.domain.payments import give_credit
from billing.domain.settlement import Settlement, book
from billing.domain.slices import GRANT_MICROS, GRANT_SHARE, Grant
from billing.enums import BillingMode, DifferenceKind, SliceState, TransferKind
from billing.models import BudgetSlice, LedgerTransfer, UsageEvent
from gdpr.ids import uuid7
from gdpr.models import AuditEntry
from gdpr.pool import Pool
from gdpr.scope import colony_tx, tenant_tx
from inference.domain.reconcile import outside
from tenants.models import Project
from tests.billing.domain.test_ledger import money_of
from tests.factories.billing import make_price, make_settlement
from tests.factories.tenants import TESTER, make_project

HOUR_S = 3600
TOKEN_MICROS = 1_000_000  # a million of them cost so much: a micro-unit each


def prepaid(balance_micros: int, project: Project | None = None) -> Project:
    project = project or make_project()
    change_account(project.tenant_id, {"mode": BillingMode.PREPAID}, actor=TESTER)
    if balance_micros:
        give_credit(project.tenant_id, balance_micros, reason="tests", actor=TESTER)
    return project


def ask(project: Project, need: int, *, epoch: str = "1", known: str = "") -> Grant:
    return slices.grant(
        project.tenant_id, "EUR", epoch=epoch, need_micros=need, known=known, longest_task_s=HOUR_S
    )


def state_of(slice_id: str) -> tuple[str, int]:
    found = slices.slice_now(UUID(slice_id))
    return found.state, found.held_micros


@pytest.mark.django_db
def test_a_slice_is_granted_out_of_the_balance_and_never_more() -> None:
    project = prepaid(1600)

    first = ask(project, 10)
    again = ask(project, 500, known=first.slice_id)
    rest = ask(project, 9999, known=first.slice_id)
    nothing = ask(project, 10, known=first.slice_id)

    assert [each.new_micros for each in (first, again, rest, nothing)] == [100, 500, 1000, 0]
    assert nothing.granted_micros == 1600
    assert len({each.slice_id for each in (first, again, rest, nothing)}) == 1
    assert money_of(project.tenant_id) == (0, 1600)
    with tenant_tx(project.tenant_id):
        assert AuditEntry.objects.filter(event="budget_slice.granted").count() == 3


@pytest.mark.django_db
def test_what_may_be_lost_with_redis_is_a_small_part_whatever_there_is() -> None:
    rich, poor = prepaid(1000 * GRANT_MICROS), prepaid(GRANT_SHARE)
    assert ask(rich, 10).new_micros == GRANT_MICROS
    assert ask(rich, 2 * GRANT_MICROS, epoch="2").new_micros == 2 * GRANT_MICROS
    assert ask(poor, 1).new_micros == 1


@pytest.mark.django_db
def test_who_did_not_know_the_slice_is_told_of_it_first() -> None:
    project = prepaid(10 * GRANT_MICROS)
    first = ask(project, 10)
    told = ask(project, 10, known="")
    assert told == (first.slice_id, first.granted_micros, 0)


@pytest.mark.django_db
def test_credit_of_one_who_pays_afterwards_is_what_may_be_held() -> None:
    project = make_project()
    change_account(project.tenant_id, {"credit_limit_micros": 100}, actor=TESTER)

    granted = ask(project, 100)

    assert (granted.new_micros, ask(project, 1, known=granted.slice_id).new_micros) == (100, 0)
    assert money_of(project.tenant_id) == (-100, 100)
    with tenant_tx(project.tenant_id):
        assert slices.standing(project.tenant_id, "EUR") == (0, 100, 0)
        assert slices.standing(project.tenant_id, "USD").available_micros == 0


@pytest.mark.django_db
def test_what_redis_gives_back_is_booked_once_by_its_total() -> None:
    project = prepaid(100)
    found = UUID(ask(project, 100).slice_id)
    assert slices.take_back(found, 40) == 0  # it is open
    slices.begin_closing(found, longest_task_s=HOUR_S, reason="tests")

    assert [slices.take_back(found, total) for total in (40, 40, 30, 55, 1000)] == [40, 0, 0, 15, 45]
    assert money_of(project.tenant_id) == (100, 0)
    assert slices.close(found, reason="tests") == 0
    assert slices.close(found, reason="tests") == 0
    assert state_of(found.hex) == (SliceState.CLOSED, 0)


@pytest.mark.django_db
def test_a_lost_slice_stays_held_in_full_until_receipts_cannot_come_any_more() -> None:
    project = prepaid(100)
    old = ask(project, 100).slice_id

    new = ask(project, 100, epoch="2", known=old)

    assert new.slice_id != old
    assert new.new_micros == 0
    assert money_of(project.tenant_id) == (0, 100)
    lost = slices.slice_now(UUID(old))
    assert lost.state == SliceState.LOST
    assert lost.lost_until is not None
    assert (
        timedelta(hours=25) - timedelta(minutes=1) < lost.lost_until - timezone.now() <= timedelta(hours=25)
    )
    assert slices.close(lost.id, reason="its time is over") == 100
    assert money_of(project.tenant_id) == (100, 0)


@pytest.mark.django_db
def test_database_keeps_a_slice_from_holding_less_than_nothing() -> None:
    found = UUID(ask(prepaid(100), 100).slice_id)
    with (
        pytest.raises(IntegrityError, match="billing_budgetslice_amounts"),
        colony_tx("tests"),
        transaction.atomic(),
    ):
        BudgetSlice.objects.filter(id=found).update(settled_micros=101)


def test_grants_that_race_never_exceed_the_balance(committed_db: None) -> None:
    project = prepaid(10 * GRANT_MICROS)

    def race(number: int) -> int:
        try:
            known = ""
            total = 0
            for _ in range(10):
                granted = ask(project, GRANT_MICROS, known=known)
                known, total = granted.slice_id, total + granted.new_micros
            return total
        finally:
            connections["default"].close()

    with ThreadPoolExecutor(8) as threads:
        granted = sum(threads.map(race, range(8)))

    assert granted == 10 * GRANT_MICROS
    assert money_of(project.tenant_id) == (0, granted)
    with tenant_tx(project.tenant_id):
        assert BudgetSlice.objects.count() == 1


@sync_to_async
def make_slice(balance: int) -> tuple[Project, str]:
    project = prepaid(balance)
    return project, ask(project, balance).slice_id


@sync_to_async
def make_tasks(
    project: Project, costs: Iterable[int], *, slice_id: str = "", hold: int = 0, outcome: str = "completed"
) -> list[Settlement]:
    price = make_price(prices={"prompt_tokens": TOKEN_MICROS, "completion_tokens": 0})
    return [
        make_settlement(
            project,
            price,
            usage={"prompt_tokens": cost},
            outcome=outcome,
            slice_id=slice_id,
            hold_micros=hold,
        )
        for cost in costs
    ]


@sync_to_async
def books(project: Project) -> dict[str, tuple[int, int]]:
    """Of each task: what it cost, and what it paid; what the operator bears is the rest."""
    with colony_tx("tests"):
        costs = dict(
            UsageEvent.objects.filter(tenant=project.tenant_id).values_list("task_id", "amount_micros")
        )
        transfers = list(LedgerTransfer.objects.filter(tenant=project.tenant_id))
    paid = {each.id: each.amount_micros for each in transfers if each.kind == TransferKind.TASK}
    late = [each for each in transfers if each.kind == TransferKind.LATE_USAGE]
    assert paid.keys() == costs.keys()
    assert {each.debit_account for each in late} <= {LATE_USAGE}
    for task, cost in costs.items():
        assert cost - paid[task] == sum(each.amount_micros for each in late if each.transaction_id == task)
    return {task.hex: (costs[task], paid[task]) for task in costs}


async def money(project: Project) -> tuple[int, int]:
    return tuple(await sync_to_async(money_of)(project.tenant_id))  # type: ignore[return-value]


async def test_a_task_is_paid_out_of_its_slice_up_to_its_hold(pool: Pool) -> None:
    project, slice_id = await make_slice(100)
    tasks = await make_tasks(project, [7, 10, 13], slice_id=slice_id, hold=10)

    paid = await book(pool, tasks)
    again = await book(pool, [*tasks, *tasks])

    assert list(paid.values()) == [7, 10, 10]
    assert again == paid
    assert sorted((await books(project)).values()) == [(7, 7), (10, 10), (13, 10)]
    assert await money(project) == (0, 73)
    assert (await sync_to_async(slices.slice_now)(UUID(slice_id))).settled_micros == 27


async def test_a_slice_pays_no_more_than_it_has_whoever_settles_at_once(pool: Pool) -> None:
    project, slice_id = await make_slice(100)
    tasks = await make_tasks(project, [9] * 30, slice_id=slice_id, hold=9)

    await asyncio.gather(*(book(pool, tasks[start::3] + tasks[:5]) for start in range(3)))

    told = await books(project)
    assert len(told) == 30
    assert sum(paid for _, paid in told.values()) == 100
    assert sum(cost for cost, _ in told.values()) == 270
    assert await money(project) == (0, 0)


async def test_failed_tasks_pay_nothing(pool: Pool) -> None:
    project, slice_id = await make_slice(100)
    tasks = await make_tasks(project, [9], slice_id=slice_id, hold=9, outcome="worker_failed")
    assert list((await book(pool, tasks)).values()) == [0]
    assert await money(project) == (0, 100)


async def test_a_receipt_that_is_later_than_its_slice_is_the_operators_loss(pool: Pool) -> None:
    project, slice_id = await make_slice(100)
    in_time, late = await make_tasks(project, [9, 9], slice_id=slice_id, hold=9)

    await sync_to_async(slices.lose)(UUID(slice_id), longest_task_s=HOUR_S)
    await book(pool, [in_time])
    await sync_to_async(slices.close)(UUID(slice_id), reason="its time is over")
    await book(pool, [late])

    told = await books(project)
    assert (told[in_time.task_id], told[late.task_id]) == ((9, 9), (9, 0))
    assert await money(project) == (91, 0)
    assert await sync_to_async(found_by_reconciliation)(project) == set()


def found_by_reconciliation(project: Project) -> set[str]:
    """But for receipts, which no hive signed here."""
    today = Booked.on(timezone.now().date())
    with colony_tx("tests"):
        found = list(compare_tasks(today, outside(), {}, project.tenant_id))
        found += [
            each for each in compare_reserved(today, outside(), {}) if each.tenant_id == project.tenant_id
        ]
    assert found, "what nobody signed is found"
    return {each.kind for each in found} - {DifferenceKind.RECEIPT_SIGNATURE}


async def test_a_slice_of_somebody_else_or_of_nobody_pays_nothing(pool: Pool) -> None:
    project, _ = await make_slice(100)
    _, foreign = await make_slice(100)
    tasks = await make_tasks(project, [9], slice_id=foreign, hold=9)
    tasks += await make_tasks(project, [9], slice_id=uuid7().hex, hold=9)

    assert list((await book(pool, tasks)).values()) == [0, 0]
    assert (await sync_to_async(slices.slice_now)(UUID(foreign))).settled_micros == 0


async def test_tasks_without_a_slice_take_what_a_prepaid_balance_has_and_are_booked_all_the_same(
    pool: Pool,
) -> None:
    """Admitted before their tenant came to pay in advance."""
    project = await sync_to_async(prepaid)(10)
    tasks = await make_tasks(project, [4, 4, 4])

    await book(pool, tasks)

    assert sorted((await books(project)).values()) == [(4, 2), (4, 4), (4, 4)]
    assert await money(project) == (0, 0)


async def test_who_pays_afterwards_without_a_limit_owes_all(pool: Pool) -> None:
    project = await sync_to_async(make_project)()
    await book(pool, await make_tasks(project, [4, 5]))
    assert await money(project) == (-9, 0)
