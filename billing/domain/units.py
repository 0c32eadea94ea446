"""The units of usage that have prices, and how people write a price: exactly, or not at all.

A price is an integer: micro-units of a currency for a million of what is counted, and for an hour of what is counted in
milliseconds. So `0.15 per 1M tokens`, `0.006 per minute` and `1.20 per GPU hour` are all exact, which no price for a
million milliseconds would be.

    prompt_tokens, cached_tokens, completion_tokens
    images              each; without those of a size that has a price of its own
    images_1024x1024    each of that size
    pixel_steps         width x height x steps, of all images or frames together
    audio_ms, video_ms  of what was heard, said or shown
    engine_ms           of the GPU's time
    requests            one for each task
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final, NamedTuple

MILLION: Final = 1_000_000
HOUR_MS: Final = 3_600_000
MICROS: Final = 1_000_000
PRICE_MAX_MICROS: Final = 10**15

PROMPT, CACHED, COMPLETION = "prompt_tokens", "cached_tokens", "completion_tokens"
IMAGES, PIXEL_STEPS, REQUESTS = "images", "pixel_steps", "requests"
AUDIO, VIDEO, ENGINE = "audio_ms", "video_ms", "engine_ms"

SIZED_IMAGES: Final = re.compile("images_[1-9][0-9]{1,4}x[1-9][0-9]{1,4}")


class PriceRefused(ValueError):
    """The price makes no sense; the message says why."""


class Natural(NamedTuple):
    """How a price is said: for `quantity` of the unit, which `words` name. The first is the one that is shown."""

    shown: str
    quantity: int
    words: Mapping[str, int]  # word to how many of the unit it is

    @property
    def one(self) -> str:
        """What is counted where only a number is said. Empty: it could be several things."""
        return next((word for word in self.words if set(self.words.values()) == {1}), "")


_TOKENS = Natural("1M tokens", MILLION, {"tokens": 1, "token": 1})
_IMAGES = Natural("image", 1, {"images": 1, "image": 1})


def _times(what: str) -> Natural:
    words = {"second": 1000, "minute": 60_000, "hour": HOUR_MS}
    plural = {f"{word}s": count for word, count in words.items()}
    said = {**words, **plural}
    return Natural(f"{what} hour", HOUR_MS, {**said, **{f"{what} {word}": said[word] for word in said}})


UNITS: Final[Mapping[str, Natural]] = {
    PROMPT: _TOKENS,
    CACHED: _TOKENS,
    COMPLETION: _TOKENS,
    IMAGES: _IMAGES,
    PIXEL_STEPS: Natural(
        "megapixel step",
        MILLION,
        {"pixel step": 1, "pixel steps": 1, "megapixel step": MILLION, "megapixel steps": MILLION},
    ),
    AUDIO: _times("audio"),
    VIDEO: _times("video"),
    ENGINE: _times("GPU"),
    REQUESTS: Natural("request", 1, {"requests": 1, "request": 1}),
}

_PRICE = re.compile(
    r"(?P<amount>\d{1,15}(\.\d{1,18})?)"
    r"(\s+(?P<currency>[A-Z]{3}))?"
    r"(\s+(per\s+|/\s*)(?=\S)((?P<count>\d{1,9})(?P<times>[KM])?(\s+|$))?(?P<word>[A-Za-z][A-Za-z ]*)?)?",
    re.ASCII,
)
_TIMES: Final = {None: 1, "K": 1000, "M": MILLION}
_AMOUNT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(?:\s+([A-Z]{3}))?", re.ASCII)


def known_unit(unit: str) -> bool:
    return unit in UNITS or SIZED_IMAGES.fullmatch(unit) is not None


def natural(unit: str) -> Natural:
    """Raises PriceRefused for a unit that nobody counts."""
    if not known_unit(unit):
        raise PriceRefused(
            f"{unit!r} is not a unit of usage; there are {', '.join(UNITS)} and images of a size such as images_1024x1024"
        )
    return UNITS.get(unit, _IMAGES)


def per(unit: str) -> int:
    """How many of the unit its price is for."""
    return HOUR_MS if unit.endswith("_ms") else MILLION


def parse_price(unit: str, text: str, currency: str = "") -> int:
    """`0.15`, `0.15 EUR`, `0.15 EUR per 1M tokens`: the integer that is kept. What is not said is as it is shown. Raises
    PriceRefused, also for a price between two integers."""
    said = natural(unit)
    found = _PRICE.fullmatch(text.strip())
    if found is None:
        raise PriceRefused(f"{text!r} is no price of {unit}: write it like 0.15 per {said.shown}")
    if currency and found["currency"] not in (None, currency):
        raise PriceRefused(f"{text!r} is not in {currency}")
    count = said.quantity
    if found["word"] or found["count"]:
        word = " ".join((found["word"] or said.one).split())
        of_word = said.words.get(word) or said.words.get(word.lower())
        if of_word is None:
            raise PriceRefused(
                f"{unit} has no price per {word or found['count']}: write it like 0.15 per {said.shown}"
            )
        count = int(found["count"] or 1) * _TIMES[found["times"]] * of_word
    if count == 0:
        raise PriceRefused(f"{text!r} is a price of {unit} for nothing")
    micros = Fraction(Decimal(found["amount"])) * MICROS * per(unit) / count
    if micros.denominator != 1:
        raise PriceRefused(f"{text!r} has more digits than a price of {unit} is kept with")
    if micros > PRICE_MAX_MICROS:
        raise PriceRefused(f"{text!r} is more than a price of {unit} can be")
    return int(micros)


def price_text(unit: str, price_micros: int, currency: str) -> str:
    """`0.15 EUR per 1M tokens`, which `parse_price` reads as the same."""
    said = natural(unit)
    amount = Decimal(price_micros) * said.quantity / per(unit) / MICROS
    return f"{decimal_text(amount)} {currency} per {said.shown}"


def parse_amount(text: str, currency: str = "") -> int:
    """An amount of money: micro-units. Raises PriceRefused."""
    found = _AMOUNT.fullmatch(text.strip())
    if found is None:
        raise PriceRefused(
            f"{text!r} is no amount: write it like 49.00, with at most six digits after the point"
        )
    if currency and found[2] not in (None, currency):
        raise PriceRefused(f"{text!r} is not in {currency}")
    return int(Decimal(found[1]) * MICROS)


def amount_text(micros: int, currency: str = "") -> str:
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    return f"{sign}{decimal_text(Decimal(micros) / MICROS)} {currency}".strip()


def decimal_text(amount: Decimal) -> str:
    """All digits that mean anything, and at least two after the point."""
    whole, _, digits = f"{amount:f}".partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"
