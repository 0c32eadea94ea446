"""Amounts in the smallest coin of a currency: shares of them, and how they are written. Halves round to even."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from billing.domain.currencies import minor_digits

BASIS_POINTS: Final = 10_000


def micros_per_minor(currency: str) -> int:
    return 1_000_000 // int(10 ** minor_digits(currency))


def divided(amount: int, by: int) -> int:
    return round(Fraction(amount, by))


def share(amount: int, rate_bp: int) -> int:
    """So many basis points of it."""
    return divided(amount * rate_bp, BASIS_POINTS)


def without_tax(gross: int, rate_bp: int) -> int:
    """What is left of an amount that includes its tax."""
    return divided(gross * BASIS_POINTS, BASIS_POINTS + rate_bp)


def minor_text(amount_minor: int, currency: str) -> str:
    """`-1234.50`."""
    digits = minor_digits(currency)
    whole, rest = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"
