"""Currencies of ISO 4217, and the smallest amount of each that can be paid."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from iso4217 import Currency

from billing.domain.units import PriceRefused

PICOS: Final = 10**12  # in one unit of a currency
PICOS_PER_MICRO: Final = 10**6


def minor_digits(currency: str) -> int:
    """2 for EUR, 0 for JPY, 3 for KWD. Raises PriceRefused for what is no currency, or one that nobody pays in."""
    try:
        digits = Currency(currency).exponent
    except ValueError:
        digits = None
    if digits is None:
        raise PriceRefused(f"a currency is three capitals of ISO 4217 such as EUR, not {currency!r}")
    return int(digits)


def to_minor(picos: int, currency: str) -> int:
    """Whole cents, or what the currency has in their place. Halves go to even."""
    return round(Fraction(picos * 10 ** minor_digits(currency), PICOS))


def to_micros(picos: int) -> int:
    """Halves go to even."""
    return round(Fraction(picos, PICOS_PER_MICRO))
