"""What a file of prices says, whatever it is written in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final

import msgspec

from billing.domain.price_terms import check_terms
from billing.domain.price_text import Misread, Path, read_model, read_prices, read_terms
from billing.domain.rating import Terms
from billing.domain.units import PriceRefused

PROBLEMS_SHOWN: Final = 5


class FileRefused(PriceRefused):
    """The message names the lines."""


class PriceEntry(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    model: str
    prices: dict[str, int]
    is_free: bool = False
    valid_from: datetime | None = None


class TermsEntry(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    terms: Terms
    valid_from: date | None = None


class CardFile(msgspec.Struct, frozen=True, kw_only=True):
    currency: str
    prices: list[PriceEntry]
    terms: list[TermsEntry]


def read_day(value: Any, path: Path = ("from",)) -> date:
    if not isinstance(value, str) or not re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        raise Misread(path, f"{value!r} is no day: write it like 2027-01-01")
    try:
        return date.fromisoformat(value)
    except ValueError:
        raise Misread(path, f"{value!r} is no day of the calendar") from None


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def price_entry(said: Mapping[str, Any], currency: str, line: int) -> PriceEntry:
    units = {name: value for name, value in said.items() if name not in ("model", "from", "free")}
    if said.get("free", False) not in (True, False):
        raise Misread(("free",), "it is true or false")
    is_free = said.get("free", False)
    if bool(units) == is_free:
        raise Misread((), "a model is free or has prices: one of them")
    return PriceEntry(
        line=line,
        model=read_model(said.get("model"), ("model",)),
        prices=read_prices(units, currency),
        is_free=is_free,
        valid_from=midnight(read_day(said["from"])) if "from" in said else None,
    )


def terms_entry(said: Mapping[str, Any], currency: str, line: int) -> TermsEntry:
    terms = read_terms({name: value for name, value in said.items() if name != "from"}, currency)
    try:
        check_terms(terms)
    except PriceRefused as refused:
        raise Misread((), str(refused)) from None
    return TermsEntry(line=line, terms=terms, valid_from=read_day(said["from"]) if "from" in said else None)


def dated(begins: date | None) -> dict[str, str]:
    return {"from": f"{begins:%Y-%m-%d}"} if begins else {}
