"""Numbers without a gap, whoever is killed; and each task on exactly one invoice, whatever arrives when. Each checker is
first shown to find a bug that is planted."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db import connection, connections

from billing.domain import invoices, statement_lines
from billing.domain.accounts import change_account
from billing.domain.settlement import Settlement, settle
from billing.enums import BillingMode
from billing.models import Balance, Invoice, InvoiceLine, NumberSeries, Price, Seller, UsageEvent
from gdpr.ids import uuid7
from gdpr.pool import make_pool
from gdpr.scope import colony_tx, tenant_tx
from rbee_cli.up.postgres import Postgres
from tenants.models import Project
from tests.acceptance.figures import SEED, note, scaled
from tests.factories.billing import last_month, make_price, make_seller, make_settlement
from tests.factories.tenants import TESTER, make_project, make_tenant
from tests.system import ROOT

KILLS = scaled(1_000, least=60)
TASKS = scaled(100_000, least=1_000)
BATCH = 25
# Between two invoices; an invoice looks at all of its month.
PAUSE_S = (0.05, 0.5) if TASKS < 10_000 else (0.5, 5.0)
MONTHS = [(last_month() - timedelta(days=1)).replace(day=1), last_month(), invoices.this_month()]
OUTCOMES = ["completed"] * 7 + ["client_cancelled", "worker_failed", "rejected"]


@pytest.fixture
def prefix(committed_db: None) -> Iterator[str]:
    """Of series of this test alone."""
    prefix = f"T{random.randrange(10**8)}"
    make_seller(series_prefix=prefix)
    yield prefix
    Seller.objects.all().delete()


def gaps(prefix: str) -> list[str]:
    """In any series of this prefix: numbers that are missing, or there twice."""
    found = []
    with colony_tx("numbers"):
        for series in NumberSeries.objects.filter(name__startswith=prefix):
            numbers = sorted(Invoice.objects.filter(series=series.name).values_list("sequence", flat=True))
            if numbers != list(range(1, series.last_number + 1)):
                found.append(f"{series.name} counts to {series.last_number} and has {len(numbers)}")
    return found


def issue_and_kill(postgres: Postgres, kills: int, **environ: str) -> None:
    tenants = [make_tenant().id for _ in range(4)]
    for tenant_id in tenants:
        change_account(tenant_id, {"mode": BillingMode.PREPAID, "country": "NL"}, actor=TESTER)
    command = [sys.executable, "-m", "tests.acceptance.billing.issuers", str(kills), *map(str, tenants)]
    settings = {
        "DJANGO_SETTINGS_MODULE": "rbee.settings", "PYTHONPATH": f"{ROOT}:{ROOT / 'platform'}",
        "RBEE_DATABASE_URL": postgres.app_url, "RBEE_SECRET_KEY": "5e" * 32, **environ,
    }  # fmt: skip
    subprocess.run(command, cwd=ROOT, env=os.environ | settings, check=True, timeout=900)
    with connection.cursor() as cursor:  # what the killed ones left open is taken back by then
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid()"
                " AND usename = current_user"
            )
            if cursor.fetchone() == (0,):
                break
            time.sleep(0.2)


@pytest.mark.timeout(1200)
def test_numbers_have_no_gap_whoever_is_killed(prefix: str, postgres: Postgres) -> None:
    issue_and_kill(postgres, KILLS)

    with colony_tx("figures"):
        issued = Invoice.objects.filter(series__startswith=prefix).count()
    note("invoices: issued by 8 at once", issued)
    note("invoices: issuers killed", KILLS)
    note("invoices: gaps in their numbers", len(gaps(prefix)))
    assert gaps(prefix) == []
    assert issued >= KILLS // 2
    assert {series.rpartition("-")[0] for series in _series(prefix)} == {f"{prefix}-RC", f"{prefix}-CN"}


@pytest.mark.timeout(600)
def test_gap_is_found(prefix: str, postgres: Postgres) -> None:
    issue_and_kill(postgres, 60, RBEE_BENCH_PLANTED="1")

    assert gaps(prefix) != []


@pytest.mark.timeout(1200)
def test_each_task_is_on_exactly_one_invoice(prefix: str, postgres: Postgres) -> None:
    project = make_project()

    run(postgres, project, TASKS)

    wrong = findings(project.tenant_id)
    with tenant_tx(project.tenant_id):
        note("invoices: tasks that arrived in any order", UsageEvent.objects.count())
        note("invoices: of them", Invoice.objects.count())
    note("invoices: tasks on none or on two", len(wrong))
    assert wrong == []


@pytest.mark.parametrize("bug", ["twice", "not at all"])
def test_task_that_is_stated_wrongly_is_found(
    prefix: str, postgres: Postgres, bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(bug, monkeypatch)
    project = make_project()

    run(postgres, project, 400)

    assert findings(project.tenant_id) != []


def plant(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bug == "twice":  # interim invoices are forgotten
        stating: Callable[..., Any] = statement_lines._stating
        monkeypatch.setattr(statement_lines, "_stating", lambda *args: stating(*args).filter(is_final=True))
    else:  # who closes a month believes that nothing comes after it
        unstated = invoices.months_with_usage
        monkeypatch.setattr(
            invoices,
            "months_with_usage",
            lambda tenant_id, until: {
                key: count for key, count in unstated(tenant_id, until).items() if key[0] == until
            },
        )


def run(postgres: Postgres, project: Project, tasks: int) -> None:
    """Receipts of three months arrive in any order while three others invoice what is there."""
    prices = [
        make_price(prices={"prompt_tokens": 1_500_000 + each, "completion_tokens": 6_000_001})
        for each in range(3)
    ]
    is_over = threading.Event()
    with ThreadPoolExecutor(4) as workers:
        closing = [workers.submit(close_for_ever, project.tenant_id, seed, is_over) for seed in range(3)]
        try:
            for part in (tasks // 2, tasks - tasks // 2):
                workers.submit(asyncio.run, arrive(postgres, project, prices, part)).result()
                close(project.tenant_id)
        finally:
            is_over.set()
        for each in closing:
            each.result()
    close(project.tenant_id)


def close(tenant_id: UUID) -> None:
    for month in MONTHS[:2]:
        invoices.close_period(tenant_id, month)
    invoices.invoice_so_far(tenant_id)


async def arrive(postgres: Postgres, project: Project, prices: list[Price], tasks: int) -> None:
    choice = random.Random(SEED + tasks)
    pool = make_pool(postgres.app_url)
    await pool.open()
    try:
        facts = await asyncio.to_thread(_templates, project, prices)
        for _ in range(0, tasks, BATCH):
            batch = [_task(choice, choice.choice(facts)) for _ in range(BATCH)]
            assert len(await settle(pool, batch)) == BATCH
            if choice.random() < 0.2:
                await settle(pool, batch)  # sent again
    finally:
        await pool.close()


def _templates(project: Project, prices: list[Price]) -> list[Settlement]:
    try:
        return [make_settlement(project, price) for price in prices]
    finally:
        connections.close_all()


def _task(choice: random.Random, facts: Settlement) -> Settlement:
    at = datetime.combine(choice.choice(MONTHS), datetime.min.time(), UTC) + timedelta(
        seconds=choice.randrange(86_400)
    )
    usage = {"prompt_tokens": choice.randrange(1, 10**6), "completion_tokens": choice.randrange(1, 10**5)}
    return msgspec.structs.replace(
        facts, task_id=uuid7(int(at.timestamp() * 10**9)).hex, usage=usage, outcome=choice.choice(OUTCOMES)
    )


def close_for_ever(tenant_id: UUID, seed: int, is_over: threading.Event) -> None:
    choice = random.Random(seed)
    try:
        while not is_over.wait(choice.uniform(*PAUSE_S)):
            if choice.random() < 0.3:
                invoices.close_period(tenant_id, choice.choice(MONTHS[:2]))
            else:
                invoices.invoice_so_far(tenant_id)
    finally:
        connections.close_all()


def findings(tenant_id: UUID) -> list[str]:
    """From the rows alone: counts, quantities and money of the tasks against those of the invoices, month by month."""
    found = []
    with tenant_tx(tenant_id):
        events = [
            event for event in UsageEvent.objects.all() if event.outcome in ("completed", "client_cancelled")
        ]
        stated = list(Invoice.objects.filter(kind="invoice").exclude(status="void"))
        lines = list(InvoiceLine.objects.filter(invoice__in=stated))
        balance = Balance.objects.get(currency="EUR").balance_micros
    for month in MONTHS:
        here = [event for event in events if event.month == month]
        covers = [cover for invoice in stated for cover in invoice.covers if _is_of(cover, month)]
        compared = {
            "tasks": (len(here), sum(cover["tasks"] for cover in covers)),
            "micros": (
                sum(event.amount_micros for event in here),
                sum(cover["booked_micros"] for cover in covers),
            ),
        }
        for unit in ("prompt_tokens", "completion_tokens"):
            used = sum(event.usage[unit] for event in here)
            compared[unit] = (
                used,
                sum(line.quantity for line in lines if (line.month, line.unit) == (month, unit)),
            )
        found += [
            f"{month} {what}: {used} used, {said} stated"
            for what, (used, said) in compared.items()
            if used != said
        ]
    asked = sum(invoice.gross_minor for invoice in stated) * 10_000
    if balance != -asked:
        found.append(f"the balance is {balance}, the invoices ask for {asked}")
    return found


def _is_of(cover: dict[str, Any], month: date) -> bool:
    return cover["month"] == month.isoformat()


def _series(prefix: str) -> list[str]:
    with colony_tx("series"):
        return list(NumberSeries.objects.filter(name__startswith=prefix).values_list("name", flat=True))
