"""Costs of tasks: busy time counted once, shared by engine time, and every micro-unit given to somebody."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.cost_report import Books, BusyTime, read_books, rows_of, unallocated, utilisation
from billing.domain.gpu_books import HOUR, Period
from billing.domain.gpu_costs import NewCost, cards, set_cost
from billing.domain.gpu_hours import SeenGpu, note_gpus
from billing.domain.list_prices import (
    ListPriceRefused,
    NewListPrice,
    compare_with_lists,
    enter_list_price,
)
from billing.models import LedgerTransfer
from gdpr.ids import month_of, uuid7
from gdpr.scope import colony_tx
from tests.factories.billing import make_price
from tests.factories.books import Bookkeeper, SigningHive
from tests.factories.tenants import TESTER, make_project

NOON = datetime.now(UTC).replace(day=10, hour=12, minute=0, second=0, microsecond=0) - timedelta(days=61)
DAY = Period(NOON.replace(hour=0), NOON.replace(hour=0) + timedelta(days=1))
HOUR_S = 3600


def note(
    hive: SigningHive, gpu: int, since: datetime, minutes: int, workers: list[str] | None = None
) -> None:
    for minute in range(minutes):
        seen = SeenGpu(hive.id, gpu, [hive.worker] if workers is None else workers)
        note_gpus([seen], since + timedelta(minutes=minute))


def card(hive: SigningHive, gpu: int | None = None, **fields: object) -> None:
    """36 W are a watt hour in 100 s: with a kWh for 1000, a busy hour costs 36."""
    given = {"kwh_micros": 1_000_000_000, "busy_w": 36, "idle_w": 9, "valid_from": DAY.since, **fields}
    set_cost(hive.id, gpu, NewCost(**given), actor=TESTER)  # type: ignore[arg-type]


def read(by: str, hive: SigningHive, period: Period = DAY) -> Books:
    with colony_tx("tests"):
        return read_books(period, cards({}), by, hive_id=hive.id)  # type: ignore[arg-type]


@pytest.mark.django_db
def test_tasks_side_by_side_share_what_they_share() -> None:
    books = Bookkeeper(NOON)
    other = Bookkeeper(NOON, make_project(), make_price(books.price.model + "-b"))
    hive = other.hive = books.hive
    card(hive)
    note(hive, 0, NOON - HOUR, 120)
    books.book(began_at=NOON, ms=600_000, usage={"engine_ms": 300_000})
    other.book(began_at=NOON + timedelta(minutes=5), ms=600_000, usage={"engine_ms": 100_000})

    found = read("tenant", hive)

    total = found.gpus[hive.id, 0]
    assert (total.busy_ms, total.present_ms, total.total_ms) == (900_000, 7_200_000, 86_400_000)
    # A quarter of an hour at 36 W, and an hour and three quarters at 9 W.
    assert (total.busy_cost, total.waiting_cost) == (9_000_000, 15_750_000)
    rows = {row["group"]: row for row in rows_of(found)}
    mine, theirs = rows[books.project.tenant_id], rows[other.project.tenant_id]
    assert (mine["busy_cost_micros"], theirs["busy_cost_micros"]) == (6_750_000, 2_250_000)
    assert (mine["cost_micros"], theirs["cost_micros"]) == (18_562_500, 6_187_500)
    assert mine["margin_micros"] == mine["revenue_micros"] - mine["cost_micros"]
    assert unallocated(found) == []
    assert [(row["percent"], row["start"].hour) for row in utilisation(found, hours=1)] == [
        ("0.00", 11),
        ("25.00", 12),
    ]
    assert [row["percent"] for row in utilisation(found, hours=24)] == ["12.50"]


@pytest.mark.django_db
def test_gpu_that_ran_nothing_costs_nobody_and_is_shown() -> None:
    hive = SigningHive()
    card(hive, price_micros=3600, months=1, bought_on=NOON.date(), hosting_micros=0)
    note(hive, 0, NOON, 30)

    found = read("model", hive)

    assert rows_of(found) == []
    ((gpu, currency, micros),) = unallocated(found)
    assert (gpu, currency) == ((hive.id, 0), "EUR")
    off_micros = 3600 / (31 if NOON.month in (1, 3, 5, 7, 8, 10, 12) else 28 if NOON.month == 2 else 30)
    assert micros == pytest.approx(4_500_000 + off_micros, abs=1)


@pytest.mark.django_db
def test_worker_over_several_gpus_costs_all_of_them_and_one_of_no_card_is_named() -> None:
    books = Bookkeeper(NOON)
    card(books.hive, 0)
    note(books.hive, 0, NOON, 60)
    note(books.hive, 1, NOON, 60)
    books.book(began_at=NOON, ms=HOUR_S * 1000)

    found = read("gpu", books.hive)

    (row,) = rows_of(found)
    assert row["group"] == (books.hive.id, (0, 1))
    assert row["cost_micros"] == 36_000_000
    second = found.gpus[books.hive.id, 1]
    assert (second.source, second.no_card_ms, second.cost) == ("none", second.total_ms, 0)


@pytest.mark.django_db
def test_what_was_used_beyond_its_hold_is_no_revenue() -> None:
    books = Bookkeeper(NOON)
    task_id = books.book(transfer={"amount_micros": 200})
    late_id = uuid7(round(NOON.timestamp()) * 10**9)
    with colony_tx("tests"):
        LedgerTransfer(
            month=month_of(late_id), id=late_id, transaction_id=task_id, tenant=books.project.tenant, kind="late_usage",
            debit_account="late_usage", credit_account="revenue:usage", amount_micros=72, currency="EUR", booked_at=NOON,
        ).save()  # fmt: skip

    (row,) = rows_of(read("model", books.hive))

    assert (row["revenue_micros"], row["late_micros"], row["margin_percent"]) == (200, 72, "100.00")


@pytest.mark.django_db
def test_minute_counts_once_and_workers_are_remembered() -> None:
    hive = SigningHive()
    for _ in range(3):
        note(hive, 0, NOON, 2)
    note(hive, 0, NOON, 1, workers=["ab"])

    with connection.cursor() as cursor:
        cursor.execute("SELECT minutes, workers FROM billing_gpuhour WHERE hive_id = %s", [hive.id])
        ((minutes, workers),) = cursor.fetchall()
    assert minutes == 0b11
    assert hive.worker in workers
    assert "ab" in workers


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 9000)), max_size=30))
def test_busy_time_is_the_union_of_all_runs(spans: list[tuple[int, int]]) -> None:
    busy, seconds = BusyTime(), set()
    for began, lasted in sorted(spans):
        busy.add(NOON + timedelta(seconds=began), NOON + timedelta(seconds=began + lasted))
        seconds |= set(range(began, began + lasted))

    assert sum(busy.by_hour.values()) == len(seconds) * 1000
    assert all(0 < ms <= HOUR_S * 1000 for ms in busy.by_hour.values())


@pytest.mark.django_db
def test_list_prices_are_compared_with_own_costs_and_nothing_is_assumed() -> None:
    books = Bookkeeper(NOON)
    unpriced = Bookkeeper(NOON, price=make_price())
    unpriced.hive = books.hive
    model = books.price.model
    card(books.hive)
    note(books.hive, 0, NOON, 60)
    usage = {"prompt_tokens": 20_000_000, "completion_tokens": 10_000_000, "engine_ms": HOUR_S * 1000}
    books.book(began_at=NOON, ms=HOUR_S * 1000, usage=usage)
    books.book(began_at=NOON, ms=1, outcome="worker_failed", usage={"prompt_tokens": 10**9})
    unpriced.book(began_at=NOON, ms=1, usage={"prompt_tokens": 5})
    for unit, micros in (
        ("prompt_tokens", 9_999_999),
        ("prompt_tokens", 2_000_000),
        ("completion_tokens", 8_000_000),
    ):
        enter_list_price(
            NewListPrice(provider="Cloud", offer="big", model=model, unit=unit, micros_per_million=micros,
                         currency="EUR", source="https://example.com/pricing", seen_on=NOON.date()),
            actor=TESTER,
        )  # fmt: skip

    with colony_tx("tests"):
        found = compare_with_lists(read_books(DAY, cards({}), "model", hive_id=books.hive.id))

    (row,) = [each for each in found if each["provider"] == "Cloud"]
    assert [(line["unit"], line["quantity"], line["amount_micros"]) for line in row["lines"]] == [
        ("completion_tokens", 10_000_000, 80_000_000),
        ("prompt_tokens", 20_000_000, 40_000_000),
    ]
    assert (row["list_micros"], row["cheaper_percent"]) == (120_000_000, "70.00")
    assert row["own_costs"][0]["model"] == model
    assert row["own_micros"] == pytest.approx(36_000_000, abs=100)
    assert {"model": unpriced.price.model, "why": "no list price"} in row["left_out"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"),
    [("provider", " "), ("unit", "Tokens"), ("micros_per_million", -1), ("currency", "euro"), ("source", "")],
)
def test_list_price_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    given = {
        "provider": "x",
        "model": "x",
        "unit": "images",
        "micros_per_million": 1,
        "currency": "EUR",
        "source": "x",
    }

    with pytest.raises(ListPriceRefused) as refused:
        enter_list_price(NewListPrice(**given | {field: value}), actor=TESTER)  # type: ignore[arg-type]

    assert refused.value.field == field
