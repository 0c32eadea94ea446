"""Prices and terms as people write and read them: the same words in requests, files and answers.

subscription: 49.00                         a month
minimum: 100.00                             a month, the subscription included
discount: 12.5%
included: [{model: "*", unit: completion_tokens, quantity: 1000000}]
tiered:
  - model: llama-3-405b
    unit: prompt_tokens
    mode: graduated                         each part at the price of its tier; volume: all at that of the last one
    tiers: [{up_to: 10000000, price: 0.50 per 1M tokens}, {price: 0.40 per 1M tokens}]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, Final

from billing.domain.rating import Included, Terms, Tier, TieredPrice
from billing.domain.units import PriceRefused, amount_text, parse_amount, parse_price, price_text

GRADUATED, VOLUME = "graduated", "volume"
MODEL: Final = re.compile(r"\*|[a-zA-Z0-9][a-zA-Z0-9._-]{0,127}")

Path = tuple[str | int, ...]
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)\s*%?", re.ASCII)
_FIELDS: Final = ("subscription", "minimum", "discount", "included", "tiered")


class Misread(PriceRefused):
    """`path`: where in what was read."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{'.'.join(str(step) for step in path)}: {problem}" if path else problem)
        self.path = path
        self.problem = problem


def read_prices(said: Mapping[str, Any], currency: str) -> dict[str, int]:
    """Integers are what is kept: `billing.domain.units.per`. Raises Misread."""
    return {unit: _price(unit, price, currency, (unit,)) for unit, price in said.items()}


def prices_shown(prices: Mapping[str, int], currency: str) -> dict[str, str]:
    return {unit: price_text(unit, price, currency) for unit, price in prices.items()}


def read_terms(said: Mapping[str, Any], currency: str) -> Terms:
    """Raises Misread; `billing.domain.price_terms.check_terms` looks at the whole."""
    _known(said, _FIELDS, ())
    return Terms(
        currency=currency,
        subscription_micros=_amount(said, "subscription", currency),
        minimum_micros=_amount(said, "minimum", currency),
        discount_bp=read_percent(said.get("discount") or "0", ("discount",)),
        included=tuple(_included(one, path) for one, path in _each(said, "included")),
        tiered=tuple(_tiered(one, currency, path) for one, path in _each(said, "tiered")),
    )


def terms_shown(terms: Terms) -> dict[str, Any]:
    """What is not said there is not in them."""
    amounts = {
        "subscription": amount_text(terms.subscription_micros) if terms.subscription_micros else "",
        "minimum": amount_text(terms.minimum_micros) if terms.minimum_micros else "",
        "discount": percent_text(terms.discount_bp) if terms.discount_bp else "",
        "included": [
            {"model": one.model, "unit": one.unit, "quantity": one.quantity} for one in terms.included
        ],
        "tiered": [_tiered_shown(one, terms.currency) for one in terms.tiered],
    }
    return {name: value for name, value in amounts.items() if value}


def read_percent(text: Any, path: Path = ()) -> int:
    """Hundredths of a percent."""
    found = _PERCENT.fullmatch(str(text).strip())
    if found is None or Decimal(found[1]) > 100:
        raise Misread(path, f"{text!r} is no percentage: write it like 12.5%")
    return int(Decimal(found[1]) * 100)


def percent_text(bp: int) -> str:
    whole, hundredths = divmod(bp, 100)
    return f"{whole}.{hundredths:02d}".rstrip("0").rstrip(".") + "%"


def read_model(value: Any, path: Path = ()) -> str:
    if not isinstance(value, str) or not MODEL.fullmatch(value):
        raise Misread(path, f"{value!r} is no name of a model; * is every other one")
    return value


def read_quantity(value: Any, path: Path = ()) -> int:
    text = str(value)
    if isinstance(value, bool) or not re.fullmatch("[0-9]{1,16}", text):
        raise Misread(path, f"{value!r} is no whole number")
    return int(text)


@contextmanager
def at(path: Path) -> Iterator[None]:
    try:
        yield
    except Misread:
        raise
    except PriceRefused as refused:
        raise Misread(path, str(refused)) from None


def _price(unit: str, price: Any, currency: str, path: Path) -> int:
    if isinstance(price, int) and not isinstance(price, bool):
        return price
    if not isinstance(price, str):
        raise Misread(path, f"{price!r} is no price: write it as a text like '0.15', or in micro-units")
    with at(path):
        return parse_price(unit, price, currency)


def _amount(said: Mapping[str, Any], name: str, currency: str) -> int:
    value = said.get(name)
    if value is None:
        return 0
    if not isinstance(value, str):
        raise Misread((name,), f"{value!r} is no amount: write it as a text like '49.00'")
    with at((name,)):
        return parse_amount(value, currency)


def _included(one: Mapping[str, Any], path: Path) -> Included:
    _known(one, ("model", "unit", "quantity"), path)
    return Included(
        model=read_model(one.get("model"), (*path, "model")),
        unit=str(one.get("unit")),
        quantity=read_quantity(one.get("quantity"), (*path, "quantity")),
    )


def _tiered(one: Mapping[str, Any], currency: str, path: Path) -> TieredPrice:
    _known(one, ("model", "unit", "mode", "tiers"), path)
    mode, unit = one.get("mode", GRADUATED), str(one.get("unit"))
    if mode not in (GRADUATED, VOLUME):
        raise Misread((*path, "mode"), f"{mode!r} is neither {GRADUATED} nor {VOLUME}")
    tiers = []
    for tier, place in _each(one, "tiers", path):
        _known(tier, ("up_to", "price"), place)
        up_to = tier.get("up_to")
        tiers.append(
            Tier(
                up_to=None if up_to is None else read_quantity(up_to, (*place, "up_to")),
                price_micros=_price(unit, tier.get("price"), currency, (*place, "price")),
            )
        )
    model = read_model(one.get("model"), (*path, "model"))
    return TieredPrice(model=model, unit=unit, is_volume=mode == VOLUME, tiers=tuple(tiers))


def _tiered_shown(one: TieredPrice, currency: str) -> dict[str, Any]:
    tiers = [
        ({} if tier.up_to is None else {"up_to": tier.up_to})
        | {"price": price_text(one.unit, tier.price_micros, currency)}
        for tier in one.tiers
    ]
    mode = VOLUME if one.is_volume else GRADUATED
    return {"model": one.model, "unit": one.unit, "mode": mode, "tiers": tiers}


def _each(said: Mapping[str, Any], name: str, path: Path = ()) -> Iterator[tuple[Mapping[str, Any], Path]]:
    value = said.get(name)
    if value is None:
        return
    if not isinstance(value, list):
        raise Misread((*path, name), "it is a list")
    for place, one in enumerate(value):
        if not isinstance(one, Mapping):
            raise Misread((*path, name, place), "it has names and values")
        yield one, (*path, name, place)


def _known(said: Mapping[str, Any], names: Sequence[str], path: Path) -> None:
    for name in said:
        if name not in names:
            raise Misread((*path, name), f"there is no such field; there are {', '.join(names)}")
