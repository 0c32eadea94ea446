"""Micro-units of a currency, and its smallest coin. Halves round to even."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Final

PICOS_PER_MICRO: Final = 1_000_000
BASIS_POINTS: Final = 10_000

# ISO 4217: all others have two digits.
_DIGITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
         "XOF", "XPF"), 0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}  # fmt: skip


def digits_of(currency: str) -> int:
    return _DIGITS.get(currency, 2)


def micros_per_minor(currency: str) -> int:
    return 1_000_000 // int(10 ** digits_of(currency))


def minor_of_picos(amount_picos: int, currency: str) -> int:
    return divided(amount_picos, PICOS_PER_MICRO * micros_per_minor(currency))


def micros_of_picos(amount_picos: int) -> int:
    return divided(amount_picos, PICOS_PER_MICRO)


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
    digits = digits_of(currency)
    whole, rest = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole}.{rest:0{digits}d}" if digits else f"{sign}{whole}"
