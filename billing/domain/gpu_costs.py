"""Cards of what GPUs cost: versions, each from a time on, never changed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Max

from billing.cost_models import GpuCost
from billing.domain.gpu_rates import Card, Cards, Target, Tariff
from billing.domain.prices import DEFAULT_CURRENCY
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx

AMOUNT_MAX: Final = 10**15
WATTS_MAX: Final = 100_000
MONTHS_MAX: Final = 600
LOCK: Final = 0x7262_6565_0007


class CostRefused(ValueError):
    """It makes no sense; `field` is the one at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NewCost(msgspec.Struct, frozen=True, kw_only=True):
    """Of each GPU that the card is for. Amounts in micro-units."""

    currency: str = DEFAULT_CURRENCY
    kwh_micros: int = 0
    tariff: list[Tariff] = []
    busy_w: int = 0
    idle_w: int = 0
    price_micros: int = 0
    residual_micros: int = 0
    months: int = 0
    bought_on: date | None = None  # left out: when the card begins
    hosting_micros: int = 0
    valid_from: datetime | None = None  # left out: from now on
    note: str = ""


def set_cost(hive_id: UUID | None, gpu: int | None, new: NewCost, *, actor: Actor) -> GpuCost:
    """A further version of the card of that target. Raises CostRefused."""
    _check(hive_id, gpu, new)
    with colony_tx("cost of a GPU"):
        with connection.cursor() as cursor:  # one version at a time
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        target = {"hive_id": hive_id, "gpu": gpu}
        last = GpuCost.objects.filter(**target).aggregate(Max("version"))["version__max"] or 0
        valid_from = new.valid_from or datetime.now(UTC)
        fields = msgspec.structs.asdict(new) | {
            "tariff": msgspec.to_builtins(new.tariff),
            "valid_from": valid_from,
            "bought_on": new.bought_on or valid_from.date(),
        }
        card = GpuCost(**target, version=last + 1, **fields)
        card.save()
        record(
            "gpu_cost.set",
            actor=actor,
            object_ref=f"gpu_cost:{card.id.hex}",
            details={"hive": hive_id.hex if hive_id else None, "gpu": gpu, "version": card.version},
        )
    return card


def cards(labels: Mapping[UUID, Mapping[str, Any]], currency: str = DEFAULT_CURRENCY) -> Cards:
    """All that there ever were. `labels`: of hives, in that currency."""
    given: dict[Target, list[Card]] = defaultdict(list)
    for row in GpuCost.objects.order_by("valid_from", "version"):
        given[row.hive_id, row.gpu].append(card_of_row(row))
    return Cards(given, labels, currency)


def card_of_row(row: GpuCost) -> Card:
    return Card(
        currency=row.currency,
        valid_from=row.valid_from,
        kwh_micros=row.kwh_micros,
        tariff=msgspec.convert(row.tariff, list[Tariff]),
        busy_w=row.busy_w,
        idle_w=row.idle_w,
        price_micros=row.price_micros,
        residual_micros=row.residual_micros,
        months=row.months,
        bought_on=row.bought_on,
        hosting_micros=row.hosting_micros,
    )


def _check(hive_id: UUID | None, gpu: int | None, new: NewCost) -> None:
    if gpu is not None and hive_id is None:
        raise CostRefused("gpu", "a GPU is one of a hive: name the hive too")
    if not re.fullmatch(r"[A-Z]{3}", new.currency):
        raise CostRefused("currency", f"a currency is three capitals such as EUR, not {new.currency!r}")
    highest = {"months": MONTHS_MAX, "busy_w": WATTS_MAX, "idle_w": WATTS_MAX}
    for name in ("kwh_micros", "price_micros", "residual_micros", "hosting_micros", *highest):
        if not 0 <= getattr(new, name) <= highest.get(name, AMOUNT_MAX):
            raise CostRefused(name, f"{name} is from 0 to {highest.get(name, AMOUNT_MAX)}")
    if new.residual_micros > new.price_micros:
        raise CostRefused("residual_micros", "it is not worth more afterwards than it cost")
    if new.price_micros and not new.months:
        raise CostRefused("months", "over how many months is its price written off?")
    taken: set[int] = set()
    for each in new.tariff:
        hours = {hour for hour in range(24) if each.holds_at(hour)}
        if not (0 <= each.from_hour <= 23 and 0 <= each.to_hour <= 24) or each.from_hour == each.to_hour:
            raise CostRefused("tariff", "hours of a tariff are from 0 to 24, and the two differ")
        if hours & taken:
            raise CostRefused("tariff", "two prices hold in the same hour")
        if not 0 <= each.kwh_micros <= AMOUNT_MAX:
            raise CostRefused("tariff", f"the price of a kWh is from 0 to {AMOUNT_MAX}")
        taken |= hours
