"""What a period comes to, worked out a second time: decimals of 60 digits and natural prices, by the words of the docs and
without anything of `billing`."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any

DIGITS = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
# What a price in words is for.
OF = {
    "1M tokens": 1_000_000, "1K tokens": 1_000, "image": 1, "request": 1, "megapixel step": 1_000_000, "second": 1_000,
    "minute": 60_000, "hour": 3_600_000, "GPU hour": 3_600_000,
}  # fmt: skip


def to_pay(case: dict[str, Any]) -> str:
    """In the currency's own digits."""
    with localcontext(Context(prec=60)):
        total = exact(case)
        digits = DIGITS[case["currency"]]
        return f"{total.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_EVEN):f}"


def exact(case: dict[str, Any]) -> Decimal:
    terms, used = case.get("terms", {}), [dict(each) for each in case["used"]]
    part = Decimal(case["months"][0]) / Decimal(case["months"][1])
    _leave_out_included(terms.get("included", []), used, case["months"])
    usage = Decimal(0)
    for model, unit in sorted({(each["model"], each["unit"]) for each in used}):
        same = [each for each in used if (each["model"], each["unit"]) == (model, unit)]
        tiered = [one for one in terms.get("tiered", []) if one["unit"] == unit]
        own = [one for one in tiered if one["model"] == model] or [
            one for one in tiered if one["model"] == "*"
        ]
        if own:
            usage += _tiered(own[0], sum(each["quantity"] for each in same))
        else:
            usage += sum((each["quantity"] * _for_one(each["price"]) for each in same), Decimal(0))
    usage *= 1 - Decimal(terms.get("discount", "0%").rstrip("%")) / 100
    total = usage + Decimal(terms.get("subscription", "0")) * part
    return max(total, Decimal(terms.get("minimum", "0")) * part)


def _leave_out_included(included: list[Any], used: list[Any], months: list[int]) -> None:
    for one in [one for one in included if one["model"] != "*"] + [
        one for one in included if one["model"] == "*"
    ]:
        left = one["quantity"] * months[0] // months[1]
        fitting = [
            each for each in used if each["unit"] == one["unit"] and one["model"] in ("*", each["model"])
        ]
        for each in sorted(fitting, key=lambda each: -_for_one(each["price"])):
            free = min(left, each["quantity"])
            each["quantity"] -= free
            left -= free


def _tiered(one: dict[str, Any], quantity: int) -> Decimal:
    if one["mode"] == "volume":
        reached = next(tier for tier in one["tiers"] if quantity <= tier.get("up_to", quantity))
        return quantity * _for_one(reached["price"])
    total, below = Decimal(0), 0
    for tier in one["tiers"]:
        upper = min(quantity, tier.get("up_to", quantity))
        total += (upper - below) * _for_one(tier["price"])
        below = upper
    return total


def _for_one(price: str) -> Decimal:
    amount, _, of = price.partition(" per ")
    return Decimal(amount) / OF[of]
