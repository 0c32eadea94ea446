from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection

from gdpr.ids import month_of, uuid7
from gdpr.pool import Pool, make_pool
from gdpr.scope import colony_tx
from inference.domain import decision_log
from inference.domain.decision_log import DecisionLog
from inference.domain.decision_sweep import sweep_decisions
from inference.domain.refusals import NoWorkers
from inference.domain.trace import Trace
from inference.models import ColonySnapshot, Decision
from tests.acceptance.policy.power import caller
from tests.inference.domain.scripts import customer, task


class NoColony:
    workers = ()


def trace() -> Trace:
    found = Trace(uuid7().hex, "req_1", caller())
    found.record, found.customer = task(), customer()
    return found


def log_to(pool: Pool, **bounds: int) -> DecisionLog:
    return DecisionLog(pool, NoColony(), **bounds)  # type: ignore[arg-type]


def count(traces: list[Trace]) -> int:
    with colony_tx("tests"):
        return Decision.objects.filter(task_id__in=[each.task_id for each in traces]).count()


async def test_oldest_are_dropped_and_counted_when_more_come_than_are_written(pool: Pool) -> None:
    log = log_to(pool, queue_max=3)
    traces = [trace() for _ in range(5)]
    for each in traces:
        log.end(each, NoWorkers("m"))

    assert await log.write()

    assert log.dropped == 2
    assert await sync_to_async(count)(traces[:2]) == 0
    assert await sync_to_async(count)(traces[2:]) == 3


async def test_what_cannot_be_written_waits_and_is_written_once(pool: Pool) -> None:
    away = make_pool("postgresql://nobody@127.0.0.1:1/none")
    log = log_to(away)
    traces = [trace() for _ in range(3)]
    for each in traces:
        log.end(each, NoWorkers("m"))
    assert not await log.write()  # the pool is not even open
    log._pool = pool

    assert await log.write()
    assert await log.write()

    assert await sync_to_async(count)(traces) == 3
    assert log.dropped == 0


async def test_stop_writes_what_waits(pool: Pool) -> None:
    log = log_to(pool)
    traces = [trace() for _ in range(decision_log.BATCH_MAX + 1)]
    for each in traces:
        log.end(each, NoWorkers("m"))

    await log.stop()

    assert await sync_to_async(count)(traces) == len(traces)


async def test_one_that_cannot_be_kept_holds_back_no_other(pool: Pool) -> None:
    log = log_to(pool)
    good, bad = [trace() for _ in range(4)], trace()
    bad.request_id = "\x00"
    for each in (*good[:2], bad, *good[2:]):
        log.end(each, NoWorkers("m"))

    assert await log.write()

    assert (await sync_to_async(count)([*good, bad]), log.dropped) == (4, 1)


async def test_who_left_before_it_had_a_worker_is_no_decision(pool: Pool) -> None:
    log = log_to(pool)
    log.end(found := trace(), ConnectionError())

    await log.stop()

    assert await sync_to_async(count)([found]) == 0


@pytest.fixture
def thirty_days() -> Iterator[None]:
    before = settings.RBEE
    settings.RBEE = dataclasses.replace(before, decision_days=30)
    yield
    settings.RBEE = before


def keep(at: datetime) -> tuple[Decision, ColonySnapshot]:
    ns = int(at.timestamp() * 1e9)
    with colony_tx("tests"), connection.cursor() as cursor:
        task_id = uuid7(ns)
        cursor.execute("SELECT rbee_make_partitions(%s, %s)", [month_of(task_id), month_of(task_id)])
        snapshot = ColonySnapshot.objects.create(id=uuid7(ns), at=at, workers=[])
        return Decision.objects.create(
            month=month_of(task_id), task_id=task_id, tenant_id=uuid7(), request_id="", at=at, outcome="routed", code="",
            task={}, customer={}, operator_sha256="", tenant_sha256="", snapshot_id=snapshot.id, attempts=[], worker="",
            micros=0,
        ), snapshot  # fmt: skip


def months() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid"
            " WHERE inhparent = 'inference_decision'::regclass"
        )
        return {row[0] for row in cursor.fetchall()}


@pytest.mark.usefixtures("committed_db", "thirty_days")
def test_old_decisions_go_by_months_and_by_rows() -> None:
    now = datetime.now(UTC)
    kept, _ = keep(now - timedelta(days=29, hours=23))
    over, snapshot = keep(now - timedelta(days=30, hours=2))
    ancient, _ = keep(now - timedelta(days=200))
    assert f"inference_decision_{ancient.month:%Y_%m}" in months()

    sweep_decisions()

    with colony_tx("tests"):
        left = set(
            Decision.objects.filter(task_id__in=[kept.task_id, over.task_id]).values_list(
                "task_id", flat=True
            )
        )
        assert left == {kept.task_id}
        assert not ColonySnapshot.objects.filter(id=snapshot.id).exists()
        assert ColonySnapshot.objects.filter(id=kept.snapshot_id).exists()
    assert f"inference_decision_{ancient.month:%Y_%m}" not in months()
    assert f"inference_decision_{now:%Y_%m}" in months()


@pytest.mark.usefixtures("committed_db")
def test_months_that_are_still_made_are_not_dropped() -> None:
    with (
        pytest.raises(Exception, match="row by row") as refused,
        colony_tx("tests"),
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT rbee_drop_decisions(%s)", [datetime.now(UTC).date().replace(day=1)])
    assert isinstance(refused.value.__cause__, psycopg.errors.DatetimeFieldOverflow)
