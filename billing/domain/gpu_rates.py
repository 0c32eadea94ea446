"""What a GPU costs for a millisecond, as exact fractions of a micro-unit: while it is busy, while it waits, while it is off.

busy    hosting + writing off + the price of the power that it takes at work
idle    hosting + writing off + the price of the power that it takes at rest
off     hosting + writing off
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import msgspec

MICROS: Final = 1_000_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
W_MS_PER_KWH: Final = 1000 * HOUR_MS

Target = tuple[UUID | None, int | None]


class Tariff(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The price of a kWh in some hours of the day, of UTC; from 22 to 6 goes over midnight."""

    from_hour: int
    to_hour: int  # excluded
    kwh_micros: int

    def holds_at(self, hour: int) -> bool:
        if self.from_hour < self.to_hour:
            return self.from_hour <= hour < self.to_hour
        return hour >= self.from_hour or hour < self.to_hour


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """`source` is `card`, or `labels` for one that was made of what a hive's labels say."""

    currency: str
    valid_from: datetime | None = None  # None: always
    kwh_micros: int | Fraction = 0
    tariff: Sequence[Tariff] = ()
    busy_w: int | Fraction = 0
    idle_w: int | Fraction = 0
    price_micros: int = 0
    residual_micros: int = 0
    months: int = 0
    bought_on: date | None = None
    hosting_micros: int = 0  # a month
    hour_micros: int | Fraction = 0  # in place of hosting and price, where only this is known
    source: str = "card"

    def busy_per_ms(self, hour: datetime) -> Fraction:
        return self.off_per_ms(hour) + self._power(self.busy_w, hour)

    def idle_per_ms(self, hour: datetime) -> Fraction:
        return self.off_per_ms(hour) + self._power(self.idle_w, hour)

    def off_per_ms(self, hour: datetime) -> Fraction:
        month_ms = calendar.monthrange(hour.year, hour.month)[1] * DAY_MS
        monthly = Fraction(self.hosting_micros)
        if self.bought_on and self.bought_on <= hour.date() < months_after(self.bought_on, self.months):
            monthly += Fraction(self.price_micros - self.residual_micros, self.months)
        return monthly / month_ms + Fraction(self.hour_micros) / HOUR_MS

    def _power(self, watts: int | Fraction, hour: datetime) -> Fraction:
        kwh = next((each.kwh_micros for each in self.tariff if each.holds_at(hour.hour)), self.kwh_micros)
        return Fraction(watts) * Fraction(kwh) / W_MS_PER_KWH


class Cards:
    """`given`: by target, of each the oldest first. `labels`: of hives, by id."""

    def __init__(
        self, given: Mapping[Target, Sequence[Card]], labels: Mapping[UUID, Mapping[str, Any]], currency: str
    ) -> None:
        self._given = given
        self._of_labels = {hive: card for hive, said in labels.items() if (card := card_of(said, currency))}

    @property
    def named(self) -> Iterable[tuple[UUID, int]]:
        """The GPUs that have a card of their own."""
        return [(hive, gpu) for hive, gpu in self._given if hive is not None and gpu is not None]

    def card_at(self, hive_id: UUID, gpu: int, hour: datetime) -> Card | None:
        """The GPU's own before the hive's, before the one of all; then what the hive's labels say."""
        for target in ((hive_id, gpu), (hive_id, None), (None, None)):
            for card in reversed(self._given.get(target, ())):
                if card.valid_from is None or card.valid_from <= hour:
                    return card
        return self._of_labels.get(hive_id)


def card_of(labels: Mapping[str, Any], currency: str) -> Card | None:
    """The facts that scripts route by: `cost_per_hour`, `electricity_price` of a kWh, `power_w`. None: there are none."""
    per_hour, kwh, watts = (
        _number(labels.get(name)) for name in ("cost_per_hour", "electricity_price", "power_w")
    )
    if not per_hour and not (kwh and watts):
        return None
    return Card(
        currency=currency,
        hour_micros=per_hour * MICROS,
        kwh_micros=kwh * MICROS,
        busy_w=watts,
        source="labels",
    )


def months_after(day: date, months: int) -> date:
    """The same day of a later month, or its last one."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def spread(total: Fraction, weights: Sequence[int | Fraction]) -> list[int]:
    """Integers in these proportions that add up to the rounded total exactly."""
    whole, so_far, given, parts = sum(weights), Fraction(0), 0, []
    for weight in weights:
        so_far += Fraction(weight)
        until = round(total * so_far / whole) if whole else 0
        parts.append(until - given)
        given = until
    return parts


def _number(value: object) -> Fraction:
    """Of a label; floats as they are written."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Fraction(0)
    return max(Fraction(0), Fraction(str(value)))
