"""What a task costs: integers only, in micro-units of a currency, rounded once."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hive_agent.protocol import CHARGED_OUTCOMES

PER = 1_000_000  # a price is for a million units
QUANTITY_MAX = 2**53 - 1  # of any unit: what JSON keeps exactly
AMOUNT_MAX = 2**63 - 1

PROMPT, CACHED, COMPLETION = "prompt_tokens", "cached_tokens", "completion_tokens"


class BadUsage(ValueError):
    """Quantities that no engine can have counted."""


class PriceVersion(msgspec.Struct, frozen=True, kw_only=True):
    """`prices`: unit of usage to micro-units of `currency` for a million of it. `id` is a UUID in hex."""

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
    total = sum(price.prices.get(unit, 0) * quantity for unit, quantity in billable(price, usage).items())
    amount, rest = divmod(total, PER)
    if rest * 2 > PER or (rest * 2 == PER and amount % 2):
        amount += 1
    if amount > AMOUNT_MAX:
        raise BadUsage(f"{amount} micro-units are more than any task costs")
    return amount


def most_micros(price: PriceVersion, prompt_tokens: int, completion_tokens: int) -> int:
    """What a task of at most these tokens may cost, whatever of its prompt is cached."""
    prompt = max(price.prices.get(PROMPT, 0), price.prices.get(CACHED, 0))
    total = prompt * prompt_tokens + price.prices.get(COMPLETION, 0) * completion_tokens
    return -(-total // PER)


def billable(price: PriceVersion, usage: Mapping[str, int]) -> Mapping[str, int]:
    """Engines count cached tokens among those of the prompt; with a price of their own they are taken out of them."""
    cached = usage.get(CACHED, 0)
    if not cached or CACHED not in price.prices:
        return usage
    return {**usage, PROMPT: max(0, usage.get(PROMPT, 0) - cached)}


def check_usage(usage: Mapping[str, int]) -> None:
    for unit, quantity in usage.items():
        if not isinstance(quantity, int) or not 0 <= quantity <= QUANTITY_MAX:
            raise BadUsage(f"{unit} is {quantity!r}")
