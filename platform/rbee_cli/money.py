"""Amounts as people write them, and as the API takes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

MICROS = 1_000_000
AMOUNT = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")


def read_micros(text: str) -> int:
    """`121.00` is 121000000. Exactly, or not at all."""
    from rbee_cli.errors import UsageError

    if not AMOUNT.fullmatch(text) or not Decimal(text):
        raise UsageError(f"{text!r} is no amount: write it like 121.00")
    return int(Decimal(text) * MICROS)


def micros_text(micros: int, currency: str = "") -> str:
    whole, fraction = divmod(abs(micros), MICROS)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}{whole}.{digits} {currency}".strip()


def gross_text(invoice: Mapping[str, Any]) -> str:
    return f"{invoice['gross']} {invoice['currency']}"
