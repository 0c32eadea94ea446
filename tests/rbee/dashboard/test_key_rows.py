from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee.dashboard.key_forms import ListField, MoneyField
from rbee.dashboard.key_rows import Budget, lasting, money
from tenants.api.key_fields import MICROS_MAX

AMOUNTS = st.integers(0, MICROS_MAX)


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "0.00 EUR"),
        (100_000, "0.10 EUR"),
        (125, "0.000125 EUR"),
        (1_500_000, "1.50 EUR"),
        (25_000_000, "25.00 EUR"),
    ],
)
def test_money_is_shown_to_the_cent_and_never_rounded(micros: int, shown: str) -> None:
    assert money(micros, "EUR") == shown


@given(AMOUNTS)
def test_money_that_is_shown_is_the_money_there_is(micros: int) -> None:
    assert Decimal(money(micros, "EUR").removesuffix(" EUR")) * 1_000_000 == micros


@given(AMOUNTS)
def test_money_that_is_sent_back_as_it_was_shown_is_the_same(micros: int) -> None:
    field = MoneyField()

    assert field.clean(field.prepare_value(micros)) == micros


@given(st.lists(st.text("abc0.*:/-", min_size=1)))
def test_list_that_is_sent_back_as_it_was_shown_is_the_same(found: list[str]) -> None:
    field = ListField()

    assert field.clean(field.prepare_value(found)) == found


@given(AMOUNTS, AMOUNTS)
def test_budget_is_full_when_nothing_of_it_is_left(spent: int, limit: int) -> None:
    percent = Budget("day", spent, limit, "EUR").percent

    assert 0 <= percent <= 100
    assert (percent == 100) == (spent >= limit)


@pytest.mark.parametrize(
    ("hours", "said"), [(1, "1 hour"), (2, "2 hours"), (24, "1 day"), (168, "7 days"), (720, "30 days")]
)
def test_overlap_is_said_in_words(hours: int, said: str) -> None:
    assert lasting(timedelta(hours=hours)) == said
