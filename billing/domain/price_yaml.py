"""Price cards in YAML. Money is read as it is written, and every problem names its line.

currency: EUR
prices:
  - model: llama-3-405b
    prompt_tokens: 0.50 per 1M tokens
    completion_tokens: 1.50 per 1M tokens
  - {model: rbee-mini, free: true}
  - {model: llama-3-405b, from: 2027-01-01, prompt_tokens: 0.45, completion_tokens: 1.40}
terms:
  from: 2027-01-01
  subscription: 49.00        and so on: `billing.domain.price_text`
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from billing.domain.price_file import (
    PROBLEMS_SHOWN,
    CardFile,
    FileRefused,
    PriceEntry,
    dated,
    price_entry,
    terms_entry,
)
from billing.domain.price_text import Misread, Path, prices_shown, terms_shown
from rbee_policy.documents import Document, DocumentInvalid, read_document


def write_yaml(card: CardFile) -> str:
    prices = [_price_shown(entry, card.currency) for entry in card.prices]
    terms = [dated(entry.valid_from) | terms_shown(entry.terms) for entry in card.terms]
    shown = {"currency": card.currency, "prices": prices} | ({"terms": terms} if terms else {})
    return yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=120)


def read_yaml(text: str, currency: str) -> CardFile:
    try:
        document = read_document(text, numbers_as_text=True)
        found = _card_in(document, currency)
        document.done()
    except DocumentInvalid as invalid:
        shown = [f"line {one.line}: {one.message}" for one in invalid.problems]
        raise FileRefused("; ".join(shown[:PROBLEMS_SHOWN])) from None
    return found


def _card_in(document: Document, currency: str) -> CardFile:
    value = document.value
    if not isinstance(value, dict):
        document.blame((), "it has the names currency, prices and terms")
        document.done()
    for name in value:
        if name not in ("currency", "prices", "terms"):
            document.blame((name,), "there is no such field; there are currency, prices, terms")
    if value.get("currency", currency) != currency:
        document.blame(("currency",), f"the card is in {currency}, not {value['currency']!r}")
    prices, terms = value.get("prices") or [], value.get("terms") or []
    card = CardFile(currency=currency, prices=[], terms=[])
    for path, one in _entries(document, "prices", prices):
        try:
            card.prices.append(price_entry(one, currency, document.line_of(path)))
        except Misread as misread:
            document.blame((*path, *misread.path), misread.problem)
    for path, one in [(("terms",), terms)] if isinstance(terms, dict) else _entries(document, "terms", terms):
        try:
            card.terms.append(terms_entry(one, currency, document.line_of(path)))
        except Misread as misread:
            document.blame((*path, *misread.path), misread.problem)
    return card


def _entries(document: Document, name: str, value: Any) -> Iterator[tuple[Path, dict[str, Any]]]:
    if not isinstance(value, list):
        document.blame((name,), "it is a list")
        return
    for at, one in enumerate(value):
        if isinstance(one, dict):
            yield (name, at), one
        else:
            document.blame((name, at), "it has names and values")


def _price_shown(entry: PriceEntry, currency: str) -> dict[str, Any]:
    said = {"free": True} if entry.is_free else prices_shown(entry.prices, currency)
    return {"model": entry.model, **dated(entry.valid_from), **said}
