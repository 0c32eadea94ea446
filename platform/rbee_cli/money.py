"""Amounts as people write them, and as the API takes them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

MICROS = 1_000_000


def read_micros(text: str) -> int:
    """`121.00` is 121000000. Exactly, or not at all."""
    from rbee_cli.errors import UsageError

    try:
        amount = Decimal(text) * MICROS
        if amount.is_finite() and 0 < amount < 10**15 and amount == amount.to_integral_value():
            return int(amount)
    except InvalidOperation:
        pass
    raise UsageError(f"{text!r} is no amount: write it like 121.00")


def micros_text(micros: int, currency: str = "") -> str:
    whole, fraction = divmod(abs(micros), MICROS)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}{whole}.{digits} {currency}".strip()


def gross_text(invoice: Mapping[str, Any]) -> str:
    return f"{invoice['gross']} {invoice['currency']}"
