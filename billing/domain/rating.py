"""What a tenant owes for a period, from what its tasks used and the terms it has: exact, and without the database.

Tasks are charged one by one at flat prices. What only shows over a period comes on top of that, in this order:

    included        a subscription's quantities are taken off, where they were dearest first
    tier            what is left costs the price of its tiers in place of the flat one; the line holds the difference.
                    Graduated: each part the price of its own tier. Volume: everything the price of the last one reached
    discount        on all of the above
    subscription    its fee
    minimum         what is missing until a period comes to it, the fee included

Each line is rounded to a millionth of a micro-unit, halves to even; the total is the sum of the lines.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Final

import msgspec

from billing.domain.currencies import PICOS_PER_MICRO
from billing.domain.pricing import ANY_MODEL, PriceVersion
from billing.domain.units import per

WHOLE_BP: Final = 10_000  # basis points in all of it

USAGE, INCLUDED, TIER, DISCOUNT, SUBSCRIPTION, MINIMUM = (
    "usage", "included", "tier", "discount", "subscription", "minimum",
)  # fmt: skip


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """`up_to`: the last of the period's quantity that it is for; None: without end."""

    up_to: int | None
    price_micros: int  # as prices are: `billing.domain.units.per`


class TieredPrice(msgspec.Struct, frozen=True, kw_only=True):
    """Of one model, or with `*` of each one that has none of its own; every model's quantity counts by itself."""

    model: str
    unit: str
    is_volume: bool
    tiers: tuple[Tier, ...]


class Included(msgspec.Struct, frozen=True, kw_only=True):
    """Without charge in a whole month: of one model, or with `*` of all of them together."""

    model: str
    unit: str
    quantity: int


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Of whole months. A period that is a part of one has that part of the fee, the minimum and the included
    quantities."""

    currency: str
    tiered: tuple[TieredPrice, ...] = ()
    included: tuple[Included, ...] = ()
    subscription_micros: int = 0
    minimum_micros: int = 0
    discount_bp: int = 0


class UsedQuantity(msgspec.Struct, frozen=True):
    """What a project used of one unit of a model at one version of its price."""

    project_id: str
    model: str
    unit: str
    price: PriceVersion
    quantity: int


class RatedLine(msgspec.Struct, frozen=True):
    """`price_micros` is for `per` of the unit, 0 where the line has no single price. `project_id`, `model` and `unit` are
    empty where the line is of all of them."""

    kind: str
    project_id: str
    model: str
    unit: str
    quantity: int
    price_micros: int
    amount_picos: int  # 1e-12 of the currency; below zero: taken off
    per: int = 1


def rate(terms: Terms, used: Sequence[UsedQuantity], months: Fraction | int = 1) -> list[RatedLine]:
    """`months`: how many of them the period is, `months_between` tells. Raises ValueError for usage in a currency other
    than that of the terms."""
    for each in used:
        if each.price.currency != terms.currency:
            raise ValueError(f"usage in {each.price.currency} has no terms in {terms.currency}")
    lines = [
        _line(USAGE, each, each.quantity, _flat(each, each.quantity)) for each in used if _is_shown(each)
    ]
    rest = [each.quantity for each in used]
    lines += _take_included(terms.included, used, rest, months)
    lines += _tiers(terms.tiered, used, rest)
    lines += _for_all(DISCOUNT, Fraction(-total_picos(lines) * terms.discount_bp, WHOLE_BP))
    lines += _for_all(SUBSCRIPTION, _picos(terms.subscription_micros) * months)
    missing = _picos(terms.minimum_micros) * months - total_picos(lines)
    return lines + (_for_all(MINIMUM, missing) if missing > 0 else [])


def total_picos(lines: Iterable[RatedLine]) -> int:
    return sum(line.amount_picos for line in lines)


def months_between(first_day: date, next_day: date) -> Fraction:
    """Each day is its part of its own month."""
    months, day = Fraction(0), first_day
    while day < next_day:
        days = calendar.monthrange(day.year, day.month)[1]
        end = min(next_day, day.replace(day=1) + timedelta(days=days))
        months += Fraction((end - day).days, days)
        day = end
    return months


def tiered_picos(tiered: TieredPrice, quantity: int) -> Fraction:
    """What a period's quantity costs."""
    if tiered.is_volume:
        return _cost(tiered.unit, quantity, _reached(tiered, quantity).price_micros)
    total, below = Fraction(0), 0
    for tier in tiered.tiers:
        upper = quantity if tier.up_to is None else min(quantity, tier.up_to)
        total += _cost(tiered.unit, upper - below, tier.price_micros)
        below = upper
    return total


def _take_included(
    included: Sequence[Included], used: Sequence[UsedQuantity], rest: list[int], months: Fraction | int
) -> list[RatedLine]:
    """Off `rest`. Those of a model before those of any."""
    lines = []
    for one in sorted(included, key=lambda one: one.model == ANY_MODEL):
        left = int(one.quantity * months)
        found = [
            at
            for at, each in enumerate(used)
            if each.unit == one.unit and one.model in (ANY_MODEL, each.model)
        ]
        for at in sorted(found, key=lambda at: _dearest_first(used[at])):
            taken = min(left, rest[at])
            if taken:
                rest[at] -= taken
                left -= taken
                lines.append(_line(INCLUDED, used[at], taken, -_flat(used[at], taken)))
    return lines


def _tiers(
    tiered: Sequence[TieredPrice], used: Sequence[UsedQuantity], rest: Sequence[int]
) -> list[RatedLine]:
    by_place = {(one.model, one.unit): one for one in tiered}
    quantities: dict[tuple[str, str], int] = {}
    flat: dict[tuple[str, str], Fraction] = {}
    for each, left in zip(used, rest, strict=True):
        place = (each.model, each.unit)
        quantities[place] = quantities.get(place, 0) + left
        flat[place] = flat.get(place, Fraction(0)) + _flat(each, left)
    lines = []
    for (model, unit), quantity in quantities.items():
        if one := by_place.get((model, unit)) or by_place.get((ANY_MODEL, unit)):
            price = _reached(one, quantity).price_micros if one.is_volume else 0
            amount = round(tiered_picos(one, quantity) - flat[model, unit])
            if amount:
                lines.append(RatedLine(TIER, "", model, unit, quantity, price, amount, per(unit)))
    return lines


def _reached(tiered: TieredPrice, quantity: int) -> Tier:
    return next(tier for tier in tiered.tiers if tier.up_to is None or quantity <= tier.up_to)


def _is_shown(each: UsedQuantity) -> bool:
    """Also what costs 0: somebody said so. Not what nobody priced."""
    return each.unit in each.price.prices and each.quantity > 0


def _dearest_first(each: UsedQuantity) -> tuple[int, str, str, str]:
    return -_price(each), each.model, each.project_id, each.price.id


def _price(each: UsedQuantity) -> int:
    return each.price.prices.get(each.unit, 0)


def _flat(each: UsedQuantity, quantity: int) -> Fraction:
    return _cost(each.unit, quantity, _price(each))


def _cost(unit: str, quantity: int, price_micros: int) -> Fraction:
    return Fraction(quantity * _picos(price_micros), per(unit))


def _picos(micros: int) -> int:
    return micros * PICOS_PER_MICRO


def _line(kind: str, each: UsedQuantity, quantity: int, amount: Fraction) -> RatedLine:
    return RatedLine(
        kind, each.project_id, each.model, each.unit, quantity, _price(each), round(amount), per(each.unit)
    )


def _for_all(kind: str, amount: Fraction | int) -> list[RatedLine]:
    picos = round(amount)
    return [RatedLine(kind, "", "", "", 1, 0, picos)] if picos else []
