from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.price_terms import check_terms
from billing.domain.pricing import PriceVersion
from billing.domain.rating import (
    Included,
    Terms,
    Tier,
    TieredPrice,
    UsedQuantity,
    months_between,
    rate,
    tiered_picos,
    total_picos,
)
from billing.domain.units import PriceRefused

NOTHING = Terms(currency="EUR")
QUANTITIES = st.integers(0, 10**10)
PRICES = st.integers(0, 10**9)
UNITS = st.sampled_from(["prompt_tokens", "images", "engine_ms"])


@st.composite
def tiered(draw: st.DrawFn, *, is_volume: bool = False, falling: bool = False) -> TieredPrice:
    ends = sorted(draw(st.sets(st.integers(1, 10**9), max_size=5)))
    prices = draw(st.lists(PRICES, min_size=len(ends) + 1, max_size=len(ends) + 1))
    if falling:
        prices.sort(reverse=True)
    steps = [Tier(up_to=end, price_micros=price) for end, price in zip([*ends, None], prices, strict=True)]
    return TieredPrice(model="m", unit=draw(UNITS), is_volume=is_volume, tiers=tuple(steps))


@st.composite
def usage(draw: st.DrawFn) -> list[UsedQuantity]:
    rows = draw(
        st.lists(
            st.tuples(st.sampled_from("ab"), st.sampled_from("mn"), UNITS, PRICES, QUANTITIES), max_size=6
        )
    )
    return [
        UsedQuantity(project, model, unit, version(model, unit, price), quantity)
        for project, model, unit, price, quantity in rows
    ]


@st.composite
def any_terms(draw: st.DrawFn) -> Terms:
    return Terms(
        currency="EUR",
        tiered=tuple({one.unit: one for one in draw(st.lists(tiered(), max_size=2))}.values()),
        included=tuple(
            {
                one.unit: one
                for one in draw(
                    st.lists(
                        st.builds(Included, model=st.just("*"), unit=UNITS, quantity=st.integers(1, 10**9)),
                        max_size=2,
                    )
                )
            }.values()
        ),
        subscription_micros=draw(PRICES),
        minimum_micros=draw(PRICES),
        discount_bp=draw(st.integers(0, 10_000)),
    )


def version(model: str, unit: str, price: int) -> PriceVersion:
    return PriceVersion(id=f"{model}{unit}{price}", model=model, currency="EUR", prices={unit: price})


def used(quantity: int, price: int = 10**6, unit: str = "prompt_tokens", model: str = "m") -> UsedQuantity:
    return UsedQuantity("p", model, unit, version(model, unit, price), quantity)


@given(tiered(), QUANTITIES, QUANTITIES)
def test_more_usage_never_costs_less_by_graduated_tiers(one: TieredPrice, less: int, more: int) -> None:
    less, more = sorted((less, more))

    assert tiered_picos(one, less) <= tiered_picos(one, more)


@given(tiered(falling=True), QUANTITIES)
def test_volume_never_costs_more_than_graduated_where_prices_fall(one: TieredPrice, quantity: int) -> None:
    volume = msgspec.structs.replace(one, is_volume=True)

    assert tiered_picos(volume, quantity) <= tiered_picos(one, quantity)


@given(tiered(), QUANTITIES)
def test_tiers_of_one_price_are_that_price(one: TieredPrice, quantity: int) -> None:
    price = one.tiers[0].price_micros
    flat = msgspec.structs.replace(
        one, tiers=tuple(Tier(up_to=tier.up_to, price_micros=price) for tier in one.tiers)
    )
    terms = Terms(currency="EUR", tiered=(flat,))

    assert rate(terms, [used(quantity, price, one.unit)]) == rate(NOTHING, [used(quantity, price, one.unit)])


@given(usage(), st.integers(0, 6))
def test_without_terms_a_period_is_the_sum_of_its_parts(rows: list[UsedQuantity], cut: int) -> None:
    parts = rate(NOTHING, rows[:cut]) + rate(NOTHING, rows[cut:])

    assert rate(NOTHING, rows) == parts
    exact = sum(
        (Fraction(each.quantity * each.price.prices[each.unit] * 10**6, 3_600_000 if each.unit == "engine_ms" else 10**6)
         for each in rows), Fraction(0),
    )  # fmt: skip
    assert abs(total_picos(parts) - exact) * 2 <= len(rows)


@given(any_terms(), usage(), st.fractions(0, 3))
def test_lines_are_of_a_known_sign_and_a_minimum_is_reached(
    terms: Terms, rows: list[UsedQuantity], months: Fraction
) -> None:
    lines = rate(terms, rows, months)
    check_terms(terms)

    assert all(line.amount_picos >= 0 for line in lines if line.kind in ("usage", "subscription", "minimum"))
    assert all(line.amount_picos <= 0 for line in lines if line.kind in ("included", "discount"))
    assert total_picos(lines) >= round(terms.minimum_micros * 10**6 * months) - 1
    without = total_picos(rate(msgspec.structs.replace(terms, minimum_micros=0), rows, months))
    assert total_picos(lines) in (without, round(terms.minimum_micros * 10**6 * months), without + 1)
    assert without >= 0


@given(usage(), st.integers(1, 10**9))
def test_what_is_included_never_costs_more(rows: list[UsedQuantity], quantity: int) -> None:
    terms = Terms(currency="EUR", included=(Included(model="*", unit="prompt_tokens", quantity=quantity),))

    lines = rate(terms, rows)
    free = sum(line.quantity for line in lines if line.kind == "included")
    assert free <= quantity
    assert 0 <= total_picos(lines) <= total_picos(rate(NOTHING, rows))


@given(usage(), any_terms())
def test_order_of_what_was_used_changes_nothing(rows: list[UsedQuantity], terms: Terms) -> None:
    distinct = list({(each.project_id, each.price.id): each for each in rows}.values())

    assert total_picos(rate(terms, distinct)) == total_picos(rate(terms, distinct[::-1]))


@given(st.dates(date(2024, 1, 1), date(2030, 1, 1)), st.integers(0, 400), st.integers(0, 400))
def test_parts_of_a_period_add_up_to_its_months(first: date, days: int, more: int) -> None:
    middle, last = first + timedelta(days=days), first + timedelta(days=days + more)

    assert months_between(first, middle) + months_between(middle, last) == months_between(first, last)


@pytest.mark.parametrize(
    ("first", "following", "months"),
    [
        (date(2027, 2, 1), date(2027, 3, 1), Fraction(1)),
        (date(2027, 1, 22), date(2027, 2, 1), Fraction(10, 31)),
        (date(2027, 1, 22), date(2027, 2, 15), Fraction(10, 31) + Fraction(1, 2)),
        (date(2026, 1, 1), date(2027, 1, 1), Fraction(12)),
        (date(2027, 1, 1), date(2027, 1, 1), Fraction(0)),
    ],
)
def test_a_day_is_its_part_of_its_own_month(first: date, following: date, months: Fraction) -> None:
    assert months_between(first, following) == months


def test_lines_say_what_they_are_of() -> None:
    terms = Terms(
        currency="EUR",
        included=(Included(model="m", unit="prompt_tokens", quantity=1_000_000),),
        tiered=(
            TieredPrice(model="m", unit="prompt_tokens", is_volume=True, tiers=(Tier(up_to=None, price_micros=500_000),)),
        ),
        discount_bp=1000,
    )  # fmt: skip

    lines = rate(terms, [used(3_000_000)])

    assert [(line.kind, line.model, line.quantity, line.price_micros, line.per, line.amount_picos) for line in lines] == [
        ("usage", "m", 3_000_000, 10**6, 10**6, 3 * 10**12),
        ("included", "m", 1_000_000, 10**6, 10**6, -(10**12)),
        ("tier", "m", 2_000_000, 500_000, 10**6, -(10**12)),
        ("discount", "", 1, 0, 1, -(10**11)),
    ]  # fmt: skip


def test_a_price_of_nothing_has_a_line_and_a_unit_that_nobody_priced_has_none() -> None:
    free = used(5, price=0)
    unpriced = msgspec.structs.replace(free, unit="engine_ms")

    assert [(line.unit, line.amount_picos) for line in rate(NOTHING, [free, unpriced])] == [
        ("prompt_tokens", 0)
    ]


def test_usage_in_another_currency_is_refused() -> None:
    with pytest.raises(ValueError, match="no terms in USD"):
        rate(Terms(currency="USD"), [used(1)])


def tier_of(*steps: tuple[int | None, int]) -> tuple[Tier, ...]:
    return tuple(Tier(up_to=up_to, price_micros=price) for up_to, price in steps)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"discount_bp": 10_001}, "discount"),
        ({"minimum_micros": -1}, "minimum"),
        ({"subscription_micros": 10**15 + 1}, "subscription"),
        ({"included": (Included(model="*", unit="images", quantity=0),)}, "quantity"),
        ({"included": (Included(model="*", unit="imagery", quantity=1),)}, "not a unit"),
        ({"included": (Included(model="*", unit="images", quantity=1),) * 2}, "twice"),
        ({"tiers": ()}, "no end"),
        ({"tiers": tier_of((5, 1))}, "no end"),
        ({"tiers": tier_of((None, 1), (None, 2))}, "without end"),
        ({"tiers": tier_of((5, 1), (5, 1), (None, 1))}, "rise"),
        ({"tiers": tier_of((0, 1), (None, 1))}, "rise"),
        ({"tiers": tier_of((None, -1))}, "prices"),
    ],
)
def test_terms_that_make_no_sense_are_refused(fields: dict[str, object], problem: str) -> None:
    if "tiers" in fields:
        fields = {"tiered": (TieredPrice(model="*", unit="images", is_volume=False, **fields),)}  # type: ignore[arg-type]
    with pytest.raises(PriceRefused, match=problem):
        check_terms(Terms(currency="EUR", **fields))  # type: ignore[arg-type]
