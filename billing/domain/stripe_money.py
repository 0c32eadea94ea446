"""Stripe counts in minor units, cents for most currencies; we count in millionths."""

from __future__ import annotations

from typing import Final

_WITHOUT_CENTS: Final = frozenset(
    [
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "JPY",
        "KMF",
        "KRW",
        "MGA",
        "PYG",
        "RWF",
        "UGX",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    ]
)
_THOUSANDTHS: Final = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])


def micros_in_minor(currency: str) -> int:
    if currency.upper() in _WITHOUT_CENTS:
        return 1_000_000
    return 1_000 if currency.upper() in _THOUSANDTHS else 10_000


def to_minor(micros: int, currency: str) -> int:
    """Raises ValueError for a part of a cent: nothing is rounded on its way to Stripe."""
    minor, rest = divmod(micros, micros_in_minor(currency))
    if rest:
        raise ValueError(f"Stripe takes no parts of the smallest unit of {currency.upper()}.")
    return minor


def to_micros(minor: int, currency: str) -> int:
    return minor * micros_in_minor(currency)
