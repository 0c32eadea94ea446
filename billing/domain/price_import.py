"""Price cards out to a file and in again: everything that a file says, or nothing of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

import msgspec
from django.utils import timezone

from billing.domain.price_csv import read_csv, write_csv
from billing.domain.price_file import CardFile, FileRefused, PriceEntry, TermsEntry, midnight
from billing.domain.price_terms import read_terms, set_terms, terms_versions
from billing.domain.price_text import prices_shown, terms_shown
from billing.domain.price_yaml import read_yaml, write_yaml
from billing.domain.prices import current_prices, set_price, standing_versions
from billing.domain.units import PriceRefused
from billing.models import Price, PriceCard, PriceTerms
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx

KINDS: Final = {"yaml": (read_yaml, write_yaml), "csv": (read_csv, write_csv)}
MAX_BYTES: Final = 1 << 18


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one entry of a file changes. `before` and `after` in words; no `before`: there was none."""

    line: int
    what: str  # the model, or terms
    change: str  # new, changed or same
    before: str
    after: str
    valid_from: datetime


class _TryOnly(Exception):
    """Takes everything back."""


def read_card(text: str, kind: str, currency: str) -> CardFile:
    """`kind`: one of KINDS. `currency`: that of the card; the file may repeat it. Raises FileRefused."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise FileRefused(f"a file of prices has at most {MAX_BYTES >> 10} KiB")
    found = KINDS[kind][0](text, currency)
    if not found.prices and not found.terms:
        raise FileRefused("line 1: there are neither prices nor terms")
    seen: dict[tuple[str, datetime | None], int] = {}
    for entry in found.prices:
        place = (entry.model, entry.valid_from)
        if place in seen:
            raise FileRefused(f"line {entry.line}: {entry.model} is priced on line {seen[place]} already")
        seen[place] = entry.line
    return found


def import_card(card: PriceCard, file: CardFile, *, is_try: bool, actor: Actor) -> list[Change]:
    """Prices of models that the file does not name stay. `is_try`: what would change. Raises FileRefused."""
    changes: list[Change] = []
    try:
        with colony_tx("import of prices"):
            for entry in file.prices:
                with _blaming(entry.line):
                    changes.append(_set_price(card, entry, actor))
            for terms in file.terms:
                with _blaming(terms.line):
                    changes.append(_set_terms(card, terms, actor))
            if is_try:
                raise _TryOnly
    except _TryOnly:
        pass
    return changes


def export_card(card: PriceCard, kind: str) -> str:
    """What holds, undated, and what is to come."""
    now, today = timezone.now(), timezone.now().astimezone(UTC).date()
    coming = (
        standing_versions().filter(card=card, valid_from__gt=now).order_by("model", "valid_from", "version")
    )
    later = terms_versions().filter(card=card, valid_from__gt=today).order_by("valid_from", "version")
    held = terms_versions(today).filter(card=card).first()
    file = CardFile(
        currency=card.currency,
        prices=[_price_entry(price) for price in current_prices(card)]
        + [_price_entry(price, price.valid_from) for price in {_begins(one): one for one in coming}.values()],
        terms=([TermsEntry(line=0, terms=read_terms(held))] if held else [])
        + [
            TermsEntry(line=0, terms=read_terms(one), valid_from=one.valid_from)
            for one in {one.valid_from: one for one in later}.values()
        ],
    )
    return KINDS[kind][1](file)


def _begins(price: Price) -> tuple[str, datetime]:
    return price.model, price.valid_from


def _price_entry(price: Price, valid_from: datetime | None = None) -> PriceEntry:
    return PriceEntry(
        line=0, model=price.model, prices=price.prices, is_free=price.is_free, valid_from=valid_from
    )


def _set_price(card: PriceCard, entry: PriceEntry, actor: Actor) -> Change:
    at = entry.valid_from or timezone.now()
    before = next((one for one in current_prices(card, at) if one.model == entry.model), None)
    after = set_price(
        entry.model,
        entry.prices,
        is_free=entry.is_free,
        card=card,
        valid_from=entry.valid_from,
        actor=actor,
    )
    is_same = before is not None and before.id == after.id
    return Change(
        line=entry.line,
        what=entry.model,
        change="same" if is_same else "changed" if before else "new",
        before=_price_words(before) if before else "",
        after=_price_words(after),
        valid_from=after.valid_from,
    )


def _set_terms(card: PriceCard, entry: TermsEntry, actor: Actor) -> Change:
    held = terms_versions(entry.valid_from or timezone.now().astimezone(UTC).date()).filter(card=card).first()
    is_same = held is not None and read_terms(held) == entry.terms
    after = (
        held if held and is_same else set_terms(card, entry.terms, valid_from=entry.valid_from, actor=actor)
    )
    return Change(
        line=entry.line,
        what="terms",
        change="same" if is_same else "changed" if held else "new",
        before=_terms_words(held) if held else "",
        after=_terms_words(after),
        valid_from=midnight(after.valid_from),
    )


def _price_words(price: Price) -> str:
    return (
        "free"
        if price.is_free
        else ", ".join(
            f"{unit} {text}" for unit, text in sorted(prices_shown(price.prices, price.currency).items())
        )
    )


def _terms_words(row: PriceTerms) -> str:
    return ", ".join(f"{name} {value}" for name, value in terms_shown(read_terms(row)).items()) or "none"


@contextmanager
def _blaming(line: int) -> Iterator[None]:
    try:
        yield
    except PriceRefused as refused:
        raise FileRefused(f"line {line}: {refused}") from None
