"""What a task costs: integers only, in micro-units of a currency, rounded once."""

from __future__ import annotations

from collections.abc import Mapping
from math import lcm
from typing import Final

import msgspec

from billing.domain.units import CACHED, HOUR_MS, IMAGES, MILLION, PROMPT, REQUESTS, SIZED_IMAGES, per
from hive_agent.protocol import CHARGED_OUTCOMES

QUANTITY_MAX = 2**53 - 1  # of any unit: what JSON keeps exactly
AMOUNT_MAX = 2**63 - 1
ANY_MODEL: Final = "*"  # of prices: models without one of their own
WHOLE: Final = lcm(MILLION, HOUR_MS)  # so that prices for both are added before the sum is rounded


class BadUsage(ValueError):
    """Quantities that no engine can have counted."""


class PriceVersion(msgspec.Struct, frozen=True, kw_only=True):
    """`prices`: unit of usage to micro-units of `currency` for `billing.domain.units.per` of it. `id` is a UUID in
    hex."""

    id: str
    model: str
    currency: str
    prices: dict[str, int]


def amount_micros(price: PriceVersion, usage: Mapping[str, int], outcome: str) -> int:
    """0 unless the outcome is one that is charged. A unit without a price costs nothing: publishing a model sees to it
    that those which it meters have one. Halves round to even. Raises BadUsage."""
    check_usage(usage)
    if outcome not in CHARGED_OUTCOMES:
        return 0
    used = billable(price.prices, usage)
    total = sum(cost * used.get(unit, 0) * (WHOLE // per(unit)) for unit, cost in price.prices.items())
    amount, rest = divmod(total, WHOLE)
    if rest * 2 > WHOLE or (rest * 2 == WHOLE and amount % 2):
        amount += 1
    if amount > AMOUNT_MAX:
        raise BadUsage(f"{amount} micro-units are more than any task costs")
    return amount


def most_micros(price: PriceVersion, most: Mapping[str, int]) -> int:
    """What a task that uses at most these quantities may cost, whatever of its prompt is cached. Rounded up."""
    costs = price.prices
    used = {**most, REQUESTS: 1}
    total = sum(
        cost * used.get(unit, 0) * (WHOLE // per(unit)) for unit, cost in costs.items() if unit != CACHED
    )
    more = costs.get(CACHED, 0) - costs.get(PROMPT, 0)  # a cached token that costs more than another
    if CACHED in costs and more > 0:
        total += more * used.get(PROMPT, 0) * (WHOLE // per(PROMPT))
    return -(-total // WHOLE)


def billable(prices: Mapping[str, int], usage: Mapping[str, int]) -> Mapping[str, int]:
    """Engines count cached tokens among those of the prompt, and images of each size among the images: with a price of
    their own they are taken out of them. A task is one request. `billing.domain.period_usage` says the same in SQL."""
    used = {**usage, REQUESTS: 1}
    if CACHED in prices:
        used[PROMPT] = max(0, usage.get(PROMPT, 0) - usage.get(CACHED, 0))
    if IMAGES in used:
        sized = sum(usage.get(unit, 0) for unit in prices if SIZED_IMAGES.fullmatch(unit))
        used[IMAGES] = max(0, usage[IMAGES] - sized)
    return used


def check_usage(usage: Mapping[str, int]) -> None:
    for unit, quantity in usage.items():
        if not isinstance(quantity, int) or not 0 <= quantity <= QUANTITY_MAX:
            raise BadUsage(f"{unit} is {quantity!r}")
