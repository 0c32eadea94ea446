from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.domain.currencies import minor_digits, to_minor
from billing.domain.price_text import percent_text, read_percent
from billing.domain.prices import METERED_UNITS
from billing.domain.units import (
    UNITS,
    PriceRefused,
    amount_text,
    known_unit,
    parse_amount,
    parse_price,
    price_text,
)
from inference.enums import Capability

ALL_UNITS = st.sampled_from([*UNITS, "images_1024x1024"])


@pytest.mark.parametrize(
    ("unit", "text", "micros"),
    [
        ("prompt_tokens", "0.15", 150_000),
        ("prompt_tokens", "0.15 EUR", 150_000),
        ("prompt_tokens", " 0.15 EUR per 1M tokens ", 150_000),
        ("prompt_tokens", "0.00015 per 1K tokens", 150_000),
        ("prompt_tokens", "0.00015 / 1000 tokens", 150_000),
        ("prompt_tokens", "0.00000015 per token", 150_000),
        ("prompt_tokens", "0.15 per 1M", 150_000),
        ("prompt_tokens", "0.00015 EUR / 1K", 150_000),
        ("prompt_tokens", "0", 0),
        ("images", "0.04", 40_000_000_000),
        ("images_512x768", "0.04 per image", 40_000_000_000),
        ("pixel_steps", "0.0004 per megapixel step", 400),
        ("requests", "0.000000000001", 1),
        ("engine_ms", "1.20 per GPU hour", 1_200_000),
        ("engine_ms", "1.20", 1_200_000),
        ("engine_ms", "0.02 per minute", 1_200_000),
        ("engine_ms", "0.0001 per second", 360_000),
        ("audio_ms", "0.006 per minute", 360_000),
        ("video_ms", "0.75 per 10 seconds", 270_000_000),
    ],
)
def test_price_is_read_exactly(unit: str, text: str, micros: int) -> None:
    assert parse_price(unit, text, "EUR") == micros


@pytest.mark.parametrize(
    ("unit", "text"),
    [
        ("prompt_tokens", ""),
        ("prompt_tokens", "-1"),
        ("prompt_tokens", "1e3"),
        ("prompt_tokens", "NaN"),
        ("prompt_tokens", ".5"),
        ("prompt_tokens", "0,15"),
        ("prompt_tokens", "0.15 USD"),
        ("prompt_tokens", "0.15 per image"),
        ("prompt_tokens", "0.15 per 0 tokens"),
        ("prompt_tokens", "0.15 per"),
        ("prompt_tokens", "0.15 /"),
        ("prompt_tokens", "0.15 per 0"),
        ("prompt_tokens", "0.15 per M"),
        ("audio_ms", "0.15 per 60"),
        ("pixel_steps", "0.15 per 1M"),
        ("prompt_tokens", "0.0000001"),
        ("prompt_tokens", "1000000001"),
        ("prompt_tokens", "١"),
        ("engine_ms", "0.0000001 per hour"),
        ("images", "0.0000000000001"),
        ("images_0x5", "1"),
        ("image", "1"),
    ],
)
def test_price_that_cannot_be_kept_exactly_is_refused(unit: str, text: str) -> None:
    with pytest.raises(PriceRefused):
        parse_price(unit, text, "EUR")


@given(ALL_UNITS, st.integers(0, 10**15))
def test_price_that_is_shown_is_read_as_the_same(unit: str, micros: int) -> None:
    assert parse_price(unit, price_text(unit, micros, "EUR"), "EUR") == micros


@given(st.integers(0, 10**15 - 1))
def test_amount_that_is_shown_is_read_as_the_same(micros: int) -> None:
    assert parse_amount(amount_text(micros, "EUR"), "EUR") == micros


@given(st.integers(0, 10_000))
def test_percentage_that_is_shown_is_read_as_the_same(bp: int) -> None:
    assert read_percent(percent_text(bp)) == bp


@pytest.mark.parametrize("text", ["100.01", "-1", "12.345", "ten", ""])
def test_percentage_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(PriceRefused):
        read_percent(text)


def test_currencies_have_their_own_smallest_amounts() -> None:
    assert [minor_digits(currency) for currency in ("EUR", "USD", "JPY", "KWD")] == [2, 2, 0, 3]
    for nothing in ("eur", "ABC", "XAU", "", "EURO"):  # nobody pays in ounces of gold
        with pytest.raises(PriceRefused):
            minor_digits(nothing)


@pytest.mark.parametrize(
    ("picos", "currency", "minor"),
    [(5 * 10**9, "EUR", 0), (15 * 10**9, "EUR", 2), (5 * 10**9 + 1, "EUR", 1), (5 * 10**11, "JPY", 0), (15 * 10**11, "JPY", 2),
     (5 * 10**9, "KWD", 5), (-(15 * 10**9), "EUR", -2)],
)  # fmt: skip
def test_halves_of_a_cent_go_to_even(picos: int, currency: str, minor: int) -> None:
    assert to_minor(picos, currency) == minor


def test_every_capability_meters_units_that_have_prices() -> None:
    assert set(METERED_UNITS) == set(Capability.values)
    for ways in METERED_UNITS.values():
        assert all(units and all(known_unit(unit) for unit in units) for units in ways)
