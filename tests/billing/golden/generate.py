"""`python -m tests.billing.golden.generate` writes cases.json. Amounts come from `calculator`; those of HAND were worked
out on paper, and the calculator has to agree with them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.billing.golden.calculator import to_pay

CASES = Path(__file__).with_name("cases.json")

TOKENS, GPU = "1M tokens", "GPU hour"


def use(unit: str, price: str, quantity: int, model: str = "m") -> dict[str, Any]:
    return {"model": model, "unit": unit, "price": price, "quantity": quantity}


def case(
    name: str, *used: dict[str, Any], currency: str = "EUR", months: tuple[int, int] = (1, 1), **terms: Any
) -> dict[str, Any]:
    return {"name": name, "currency": currency, "months": list(months), "used": list(used), "terms": terms}


def tiers(unit: str, mode: str, *steps: Any, model: str = "m") -> dict[str, Any]:
    """`steps`: price, up to, price, up to, …, price."""
    made = [{"up_to": up_to, "price": price} for price, up_to in zip(steps[::2], steps[1::2], strict=False)]
    return {"model": model, "unit": unit, "mode": mode, "tiers": [*made, {"price": steps[-1]}]}


def included(unit: str, quantity: int, model: str = "*") -> dict[str, Any]:
    return {"model": model, "unit": unit, "quantity": quantity}


FOUR = ("0.50 per 1M tokens", 1_000_000, "0.40 per 1M tokens", 10_000_000, "0.30 per 1M tokens")

HAND = [
    (case("two million tokens at 0.15", use("prompt_tokens", "0.15 per 1M tokens", 2_000_000)), "0.30"),
    (case("one token", use("prompt_tokens", "0.15 per 1M tokens", 1)), "0.00"),
    (case("half a cent goes to even, down", use("prompt_tokens", "0.01 per 1M tokens", 500_000)), "0.00"),
    (case("a cent and a half goes to even, up", use("prompt_tokens", "0.01 per 1M tokens", 1_500_000)), "0.02"),
    (case("two cents and a half go to even, down", use("prompt_tokens", "0.01 per 1M tokens", 2_500_000)), "0.02"),
    (case("a token over half a cent", use("prompt_tokens", "0.01 per 1M tokens", 500_001)), "0.01"),
    (case("an hour of a GPU", use("engine_ms", "1.20 per GPU hour", 3_600_000)), "1.20"),
    (case("20 minutes of a GPU", use("engine_ms", "1.20 per GPU hour", 1_200_000)), "0.40"),
    (case("three hours and a millisecond", use("engine_ms", "1.00 per GPU hour", 10_800_001)), "3.00"),
    (case("90 seconds by the minute", use("audio_ms", "0.006 per minute", 90_000)), "0.01"),
    (case("an hour of speech by the minute", use("audio_ms", "0.006 per minute", 3_600_000)), "0.36"),
    (case("8 seconds of video", use("video_ms", "0.15 per second", 8_000)), "1.20"),
    (case("25 images", use("images", "0.04 per image", 25)), "1.00"),
    (case("30 steps of a square megapixel", use("pixel_steps", "0.001 per megapixel step", 31_457_280)), "0.03"),
    (case("100 yen", use("prompt_tokens", "40 per 1M tokens", 2_500_000), currency="JPY"), "100"),
    (case("half a yen to even", use("prompt_tokens", "1 per 1M tokens", 500_000), currency="JPY"), "0"),
    (case("fils", use("prompt_tokens", "0.045 per 1M tokens", 1_000_000), currency="KWD"), "0.045"),
    (case("first tier", use("prompt_tokens", "0.50 per 1M tokens", 1_000_000),
          tiered=[tiers("prompt_tokens", "graduated", *FOUR)]), "0.50"),
    (case("into the second tier", use("prompt_tokens", "0.50 per 1M tokens", 2_000_000),
          tiered=[tiers("prompt_tokens", "graduated", *FOUR)]), "0.90"),
    (case("through all tiers", use("prompt_tokens", "0.50 per 1M tokens", 12_000_000),
          tiered=[tiers("prompt_tokens", "graduated", *FOUR)]), "4.70"),
    (case("volume at the edge", use("prompt_tokens", "0.50 per 1M tokens", 10_000_000),
          tiered=[tiers("prompt_tokens", "volume", *FOUR)]), "4.00"),
    (case("volume past the edge costs less", use("prompt_tokens", "0.50 per 1M tokens", 12_000_000),
          tiered=[tiers("prompt_tokens", "volume", *FOUR)]), "3.60"),
    (case("a million included", use("prompt_tokens", "0.50 per 1M tokens", 3_000_000),
          included=[included("prompt_tokens", 1_000_000)]), "1.00"),
    (case("the dearest is included first", use("images", "0.10 per image", 5, "dear"), use("images", "0.02 per image", 10, "cheap"),
          included=[included("images", 7)]), "0.16"),
    (case("a tenth off", use("images", "0.04 per image", 100), discount="10%"), "3.60"),
    (case("an eighth off", use("images", "0.04 per image", 100), discount="12.5%"), "3.50"),
    (case("all off", use("images", "0.04 per image", 100), discount="100%"), "0.00"),
    (case("a fee and nothing used", subscription="49.00"), "49.00"),
    (case("a fee for 10 of 31 days", subscription="49.00", months=(10, 31)), "15.81"),
    (case("a minimum that is not reached", use("images", "0.04 per image", 100), minimum="25.00"), "25.00"),
    (case("a minimum that is passed", use("images", "0.04 per image", 1000), minimum="25.00"), "40.00"),
    (case("the fee counts for the minimum", use("images", "0.04 per image", 100), subscription="20.00", minimum="25.00"), "25.00"),
    (case("the fee is not discounted", use("images", "0.04 per image", 100), subscription="20.00", discount="50%"), "22.00"),
    (case("half a month includes half", use("prompt_tokens", "1.00 per 1M tokens", 2_000_000), months=(1, 2),
          included=[included("prompt_tokens", 1_000_000)], subscription="10.00"), "6.50"),
    (case("all at once", use("prompt_tokens", "0.50 per 1M tokens", 13_000_000), subscription="5.00", discount="10%",
          included=[included("prompt_tokens", 1_000_000)], tiered=[tiers("prompt_tokens", "graduated", *FOUR)]), "9.23"),
]  # fmt: skip


def made() -> Iterator[dict[str, Any]]:
    yield from _flat()
    yield from _tiered()
    yield from _months()


def _flat() -> Iterator[dict[str, Any]]:
    for unit, price in (
        ("prompt_tokens", "0.15 per 1M tokens"), ("cached_tokens", "0.0375 per 1M tokens"),
        ("completion_tokens", "0.60 per 1M tokens"), ("completion_tokens", "0.0123 per 1K tokens"),
        ("images", "0.039 per image"), ("images_1024x1024", "0.0417 per image"), ("pixel_steps", "0.00075 per megapixel step"),
        ("audio_ms", "0.0001 per second"), ("audio_ms", "0.006 per minute"), ("video_ms", "0.085 per second"),
        ("engine_ms", "2.49 per GPU hour"), ("engine_ms", "0.000333 per second"), ("requests", "0.0005 per request"),
    ):  # fmt: skip
        for quantity in (1, 7, 999, 123_457, 3_600_001, 987_654_321):
            yield case(f"{quantity} {unit} at {price}", use(unit, price, quantity))
    for currency in ("USD", "JPY", "KWD"):
        for quantity in (1, 499_999, 1_500_000, 77_777_777):
            for price in ("0.35 per 1M tokens", "150 per 1M tokens"):
                yield case(
                    f"{quantity} tokens at {price} {currency}",
                    use("prompt_tokens", price, quantity),
                    currency=currency,
                )


def _tiered() -> Iterator[dict[str, Any]]:
    steps = ("1.9999 per GPU hour", 36_000_000, "1.5 per GPU hour", 360_000_000, "0.999 per GPU hour")
    images = ("0.04 per image", 1000, "0.031 per image", 10_000, "0.0222 per image")
    for mode in ("graduated", "volume"):
        for quantity in (1, 35_999_999, 36_000_000, 36_000_001, 360_000_000, 360_000_001, 999_999_999):
            yield case(f"{mode}, {quantity} ms", use("engine_ms", "2.49 per GPU hour", quantity),
                       tiered=[tiers("engine_ms", mode, *steps)])  # fmt: skip
        for quantity in (999, 1000, 1001, 10_000, 10_001, 54_321):
            yield case(f"{mode}, {quantity} images of any model, 3% off", use("images", "0.05 per image", quantity, "a"),
                       use("images", "0.06 per image", 500, "b"), discount="3%",
                       tiered=[tiers("images", mode, *images, model="*")])  # fmt: skip
            yield case(f"{mode}, {quantity} images by two projects, some included",
                       use("images", "0.05 per image", quantity), use("images", "0.06 per image", 777),
                       included=[included("images", 600, "m"), included("images", 100)],
                       tiered=[tiers("images", mode, *images)])  # fmt: skip


def _months() -> Iterator[dict[str, Any]]:
    for months in ((1, 31), (15, 30), (28, 28), (1, 28), (17, 31), (29, 30), (3, 1)):
        for fee in ("49.00", "9.99", "1234.567891"):
            yield case(f"{fee} for {months[0]}/{months[1]} of a month", use("prompt_tokens", "0.15 per 1M tokens", 4_444_444),
                       months=months, subscription=fee, included=[included("prompt_tokens", 1_000_003)])  # fmt: skip
        for least in ("0.01", "25.00", "99.99"):
            yield case(f"at least {least} for {months[0]}/{months[1]}, 12.34% off", use("completion_tokens", "0.60 per 1M tokens", 20_000_001),
                       months=months, minimum=least, discount="12.34%", subscription="3.33")  # fmt: skip


def all_cases() -> list[dict[str, Any]]:
    for given, amount in HAND:
        assert to_pay(given) == amount, (given["name"], to_pay(given), amount)
    return [{**given, "amount": to_pay(given)} for given in [*(given for given, _ in HAND), *made()]]


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(one, ensure_ascii=False) for one in all_cases())
    CASES.write_text(f"[\n{lines}\n]\n")
