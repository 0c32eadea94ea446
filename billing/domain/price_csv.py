"""Price cards in CSV: a row for each price and for each of the terms."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from billing.domain.price_file import PROBLEMS_SHOWN, CardFile, FileRefused, dated, price_entry, terms_entry
from billing.domain.price_text import GRADUATED, VOLUME, percent_text, read_model, read_prices
from billing.domain.rating import Terms
from billing.domain.units import PriceRefused, amount_text, price_text

COLUMNS: Final = ("kind", "model", "unit", "from", "amount", "currency", "per", "up_to", "quantity")
# What a row of each kind says, beside kind, from and currency.
KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "price": ("model", "unit", "amount", "per"),
    "free": ("model",),
    "subscription": ("amount",),
    "minimum": ("amount",),
    "discount": ("amount",),
    "included": ("model", "unit", "quantity"),
    GRADUATED: ("model", "unit", "amount", "per", "up_to"),
    VOLUME: ("model", "unit", "amount", "per", "up_to"),
}
_OPTIONAL: Final = ("per", "up_to")


def write_csv(card: CardFile) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    for row in _csv_rows(card):
        writer.writerow({**row, "currency": card.currency})
    return out.getvalue()


def read_csv(text: str, currency: str) -> CardFile:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    prices: dict[tuple[str, str], dict[str, Any]] = {}
    terms: dict[str, dict[str, Any]] = {}
    lines: dict[tuple[str, ...], int] = {}
    problems: list[str] = []
    try:
        _check_columns(reader.fieldnames)
        for row in reader:
            try:
                _take_row(row, currency, prices, terms, lines, reader.line_num)
            except PriceRefused as refused:
                problems.append(f"line {reader.line_num}: {refused}")
    except csv.Error as error:
        raise FileRefused(f"line {reader.line_num}: {error}") from None
    card = CardFile(currency=currency, prices=[], terms=[])
    for place, said in prices.items():
        try:
            card.prices.append(price_entry(said, currency, lines[place]))
        except PriceRefused as refused:
            problems.append(f"line {lines[place]}: {refused}")
    for begins, said in terms.items():
        try:
            card.terms.append(terms_entry(said, currency, lines[begins,]))
        except PriceRefused as refused:
            problems.append(f"line {lines[begins,]}: {refused}")
    if problems:
        raise FileRefused("; ".join(problems[:PROBLEMS_SHOWN]))
    return card


def _check_columns(names: Sequence[str] | None) -> None:
    if not names or "kind" not in names:
        raise FileRefused(f"line 1: the columns are {', '.join(COLUMNS)}; kind is missing")
    for name in names:
        if name not in COLUMNS:
            raise FileRefused(f"line 1: there is no column {name!r}; there are {', '.join(COLUMNS)}")


def _take_row(
    row: Mapping[str, Any],
    currency: str,
    prices: dict[tuple[str, str], dict[str, Any]],
    terms: dict[str, dict[str, Any]],
    lines: dict[tuple[str, ...], int],
    line: int,
) -> None:
    if None in row or None in row.values():
        raise FileRefused("it has another number of columns than the first line")
    said = {name: value.strip() for name, value in row.items() if value.strip()}
    kind = said.pop("kind", "")
    if kind not in KINDS:
        raise FileRefused(f"{kind!r} is no kind of row; there are {', '.join(KINDS)}")
    if said.pop("currency", currency) != currency:
        raise FileRefused(f"the card is in {currency}")
    begins = said.pop("from", "")
    takes = KINDS[kind]
    if wrong := [name for name in said if name not in takes]:
        raise FileRefused(f"a row of the kind {kind} has no {wrong[0]}")
    if missing := [name for name in takes if name not in said and name not in _OPTIONAL]:
        raise FileRefused(f"a row of the kind {kind} needs {missing[0]}")
    start = {"from": begins} if begins else {}
    if kind in ("price", "free"):
        place = (read_model(said["model"]), begins)
        lines.setdefault(place, line)
        entry = prices.setdefault(place, {"model": said["model"], **start})
        name, value = ("free", True) if kind == "free" else (said["unit"], _said_price(said))
        if name in entry:
            raise FileRefused(f"{name} of {said['model']} is there twice")
        if name != "free":
            read_prices({name: value}, currency)
        entry[name] = value
        return
    lines.setdefault((begins,), line)
    _take_terms(terms.setdefault(begins, dict(start)), kind, said)


def _take_terms(entry: dict[str, Any], kind: str, said: dict[str, str]) -> None:
    if kind == "included":
        entry.setdefault("included", []).append(said)
    elif kind in (GRADUATED, VOLUME):
        tiered = entry.setdefault("tiered", [])
        place = {"model": said["model"], "unit": said["unit"], "mode": kind}
        found = next((one for one in tiered if {**one, "tiers": 0} == {**place, "tiers": 0}), None)
        if found is None:
            found = {**place, "tiers": []}
            tiered.append(found)
        end = {"up_to": said["up_to"]} if "up_to" in said else {}
        found["tiers"].append({**end, "price": _said_price(said)})
    elif kind in entry:
        raise FileRefused(f"{kind} is there twice")
    else:
        entry[kind] = said["amount"]


def _said_price(said: Mapping[str, str]) -> str:
    return f"{said['amount']} per {said['per']}" if "per" in said else said["amount"]


def _csv_rows(card: CardFile) -> Iterator[dict[str, Any]]:
    for entry in card.prices:
        place = {"model": entry.model, **dated(entry.valid_from)}
        if entry.is_free:
            yield {"kind": "free", **place}
            continue
        for unit, micros in entry.prices.items():
            yield {"kind": "price", **place, "unit": unit, **_amount_per(unit, micros, card.currency)}
    for one in card.terms:
        yield from ({**row, **dated(one.valid_from)} for row in _terms_rows(one.terms))


def _terms_rows(terms: Terms) -> Iterator[dict[str, Any]]:
    if terms.subscription_micros:
        yield {"kind": "subscription", "amount": amount_text(terms.subscription_micros)}
    if terms.minimum_micros:
        yield {"kind": "minimum", "amount": amount_text(terms.minimum_micros)}
    if terms.discount_bp:
        yield {"kind": "discount", "amount": percent_text(terms.discount_bp)}
    for one in terms.included:
        yield {"kind": "included", "model": one.model, "unit": one.unit, "quantity": one.quantity}
    for tiered in terms.tiered:
        place = {
            "kind": VOLUME if tiered.is_volume else GRADUATED,
            "model": tiered.model,
            "unit": tiered.unit,
        }
        for tier in tiered.tiers:
            end = {} if tier.up_to is None else {"up_to": tier.up_to}
            yield {**place, **_amount_per(tiered.unit, tier.price_micros, terms.currency), **end}


def _amount_per(unit: str, micros: int, currency: str) -> dict[str, str]:
    amount, _, per = price_text(unit, micros, currency).partition(f" {currency} per ")
    return {"amount": amount, "per": per}
