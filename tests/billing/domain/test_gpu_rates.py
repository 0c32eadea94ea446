"""What a GPU costs, against sums done by hand and laws that hold for any card."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.gpu_costs import CostRefused, NewCost, cards, set_cost
from billing.domain.gpu_rates import HOUR_MS, Card, Tariff, card_of, months_after, spread
from tests.factories.tenants import TESTER

NOON = datetime(2026, 4, 10, 12, tzinfo=UTC)  # a month of 30 days
EUR = 1_000_000


def test_busy_idle_and_off_are_what_is_worked_out_by_hand() -> None:
    card = Card(
        currency="EUR", kwh_micros=300_000, busy_w=400, idle_w=50, price_micros=2000 * EUR, residual_micros=200 * EUR,
        months=36, bought_on=date(2026, 1, 1), hosting_micros=22 * EUR,
    )  # fmt: skip

    # 1800 over 36 months and 22 for hosting are 72 a month of 720 hours: 0.10 an hour; 0.4 kWh are 0.12, 0.05 are 0.015.
    assert card.off_per_ms(NOON) * HOUR_MS == 100_000
    assert card.busy_per_ms(NOON) * HOUR_MS == 220_000
    assert card.idle_per_ms(NOON) * HOUR_MS == 115_000
    assert card.off_per_ms(datetime(2029, 1, 1, tzinfo=UTC)) * HOUR_MS * 744 == 22 * EUR  # written off


def test_tariff_holds_over_midnight() -> None:
    card = Card(currency="EUR", kwh_micros=300_000, busy_w=1000, tariff=[Tariff(22, 6, 100_000)])

    by_hour = [card.busy_per_ms(NOON.replace(hour=hour)) * HOUR_MS for hour in range(24)]

    assert [hour for hour, micros in enumerate(by_hour) if micros == 100_000] == [0, 1, 2, 3, 4, 5, 22, 23]
    assert set(by_hour) == {100_000, 300_000}


def test_labels_that_scripts_see_make_a_card() -> None:
    card = card_of({"cost_per_hour": 0.5, "electricity_price": 0.3, "power_w": 300, "tier": "x"}, "EUR")

    assert card is not None
    assert (card.off_per_ms(NOON) * HOUR_MS, card.busy_per_ms(NOON) * HOUR_MS) == (500_000, 590_000)
    assert card_of({"tier": "x", "power_w": 300}, "EUR") is None


@pytest.mark.django_db
def test_more_special_card_and_later_version_hold() -> None:
    hive, other = uuid4(), uuid4()
    march = datetime(2026, 3, 1, tzinfo=UTC)
    for target, watts, since in (((None, None), 1, march), ((hive, None), 2, march), ((hive, 1), 3, NOON)):
        set_cost(*target, NewCost(kwh_micros=1, busy_w=watts, valid_from=since), actor=TESTER)
    set_cost(hive, 1, NewCost(kwh_micros=1, busy_w=4, valid_from=NOON.replace(hour=14)), actor=TESTER)
    book = cards({other: {"cost_per_hour": 1}})

    def watts(hive_id: object, gpu: int, hour: int) -> object:
        card = book.card_at(hive_id, gpu, NOON.replace(hour=hour))  # type: ignore[arg-type]
        return card and card.busy_w

    assert [watts(hive, 1, hour) for hour in (11, 12, 13, 14)] == [2, 3, 3, 4]
    assert (watts(hive, 0, 12), watts(other, 0, 12)) == (2, 1)
    assert book.card_at(other, 0, datetime(2026, 2, 1, tzinfo=UTC)).source == "labels"  # type: ignore[union-attr]
    assert list(book.named) == [(hive, 1)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "new"),
    [
        ("currency", {"currency": "euro"}),
        ("months", {"price_micros": 5}),
        ("residual_micros", {"price_micros": 5, "months": 1, "residual_micros": 6}),
        ("busy_w", {"busy_w": -1}),
        ("tariff", {"tariff": [Tariff(0, 8, 1), Tariff(7, 9, 1)]}),
        ("tariff", {"tariff": [Tariff(3, 3, 1)]}),
    ],
)
def test_card_that_makes_no_sense_is_refused(field: str, new: dict) -> None:  # type: ignore[type-arg]
    with pytest.raises(CostRefused) as refused:
        set_cost(None, None, NewCost(**new), actor=TESTER)

    assert refused.value.field == field


@given(
    total=st.fractions(min_value=0, max_value=10**12),
    weights=st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
)
def test_shares_add_up_to_the_whole_and_are_in_proportion(total: Fraction, weights: list[int]) -> None:
    parts = spread(total, weights)

    whole = sum(weights)
    assert sum(parts) == (round(total) if whole else 0)
    for part, weight in zip(parts, weights, strict=True):
        assert part >= 0
        assert not whole or abs(part - total * weight / whole) <= 1


@given(day=st.dates(date(2000, 1, 1), date(2090, 1, 1)), months=st.integers(0, 600))
def test_months_later_is_in_that_month(day: date, months: int) -> None:
    later = months_after(day, months)

    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day <= day.day
