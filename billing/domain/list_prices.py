"""What the same work would have cost elsewhere, at prices that the operator read there.

Nothing is assumed: what has no list price is left out of both sides and named, every input is shown, and the percentage is
what these inputs come to. Ours is what the operator's own GPUs cost (`cost_report`), not what customers pay.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any, Final

import msgspec
from django.db import connection

from billing.cost_models import ListPrice
from billing.domain.cost_report import Books, percent, rows_of
from billing.domain.gpu_books import Period, id_at
from billing.domain.pricing import billable
from billing.domain.units import MILLION, REQUESTS
from gdpr.domain.audit import Actor, record
from gdpr.ids import month_of
from gdpr.scope import colony_tx
from hive_agent.protocol import CHARGED_OUTCOMES

PRICE_MAX: Final = 10**15
USED: Final = """
    SELECT model, unit, sum(quantity::bigint)
    FROM billing_usageevent CROSS JOIN LATERAL jsonb_each_text(usage || '{"requests": 1}') AS u (unit, quantity)
    WHERE month BETWEEN %s AND %s AND task_id >= %s AND task_id < %s AND outcome = ANY(%s)
    GROUP BY model, unit ORDER BY model, unit
"""


class ListPriceRefused(ValueError):
    """It makes no sense; `field` is the one at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NewListPrice(msgspec.Struct, frozen=True, kw_only=True):
    provider: str
    model: str
    unit: str
    micros_per_million: int
    currency: str
    source: str
    offer: str = ""
    seen_on: date | None = None


def enter_list_price(new: NewListPrice, *, actor: Actor) -> ListPrice:
    """Raises ListPriceRefused."""
    for name, most in (("provider", 100), ("model", 128), ("source", 500)):
        if not 1 <= len(getattr(new, name).strip()) <= most:
            raise ListPriceRefused(name, f"{name} has 1 to {most} characters")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", new.unit):
        raise ListPriceRefused("unit", f"{new.unit!r} is not a unit of usage, such as prompt_tokens")
    if not 0 <= new.micros_per_million <= PRICE_MAX:
        raise ListPriceRefused("micros_per_million", f"a price is from 0 to {PRICE_MAX}")
    if not re.fullmatch(r"[A-Z]{3}", new.currency):
        raise ListPriceRefused("currency", f"a currency is three capitals such as EUR, not {new.currency!r}")
    fields = msgspec.structs.asdict(new) | {
        "seen_on": new.seen_on or datetime.now(UTC).date(),
        "offer": new.offer or new.model,
    }
    with colony_tx("list price"):
        price = ListPrice(**fields)
        price.save()
        record(
            "list_price.entered",
            actor=actor,
            object_ref=f"list_price:{price.id.hex}",
            details={"provider": new.provider, "model": new.model, "unit": new.unit},
        )
    return price


def prices_at(day: date) -> dict[tuple[str, str], dict[str, ListPrice]]:
    """Those that hold then, by provider and currency, model, unit; the newest of each."""
    found: dict[tuple[str, str], dict[Any, ListPrice]] = defaultdict(dict)
    for price in ListPrice.objects.filter(seen_on__lte=day).order_by("seen_on", "id"):
        found[price.provider, price.currency][price.model, price.unit] = price
    return found


def used_of(period: Period) -> dict[str, dict[str, int]]:
    """What was charged for, by model and unit. Within `colony_tx`."""
    first, last = id_at(period.since), id_at(period.until)
    used: dict[str, dict[str, int]] = defaultdict(dict)
    with connection.cursor() as cursor:
        cursor.execute(
            USED, [month_of(first), month_of(last), first, last, [str(each) for each in CHARGED_OUTCOMES]]
        )
        for model, unit, quantity in cursor.fetchall():
            used[model][unit] = int(quantity)
    return used


def compare_with_lists(books: Books) -> list[dict[str, Any]]:
    """For each provider and currency, at the prices of the period's last day. `books` is grouped by model. Within
    `colony_tx`."""
    used = used_of(books.period)
    own = {(row["group"], row["currency"]): row for row in rows_of(books)}
    last_day = books.period.until.date()
    return [
        _compared(provider, currency, prices, used, own)
        for (provider, currency), prices in sorted(prices_at(last_day).items())
    ]


def _compared(
    provider: str,
    currency: str,
    prices: Mapping[Any, ListPrice],
    used: Mapping[str, Mapping[str, int]],
    own: Mapping[tuple[Any, str], Mapping[str, Any]],
) -> dict[str, Any]:
    lines, total = [], Fraction(0)
    models = sorted({model for model, _ in prices if model in used})
    compared = [model for model in models if (model, currency) in own and own[model, currency]["cost_micros"]]
    for model in compared:
        asked = {unit: price.micros_per_million for (name, unit), price in prices.items() if name == model}
        counted = {**billable(asked, used[model]), REQUESTS: used[model][REQUESTS]}
        for unit, quantity in sorted(counted.items()):
            if price := prices.get((model, unit)):
                amount = Fraction(price.micros_per_million * quantity, MILLION)
                total += amount
                lines.append(_line(price, quantity, amount))
    costs = {model: own[model, currency]["cost_micros"] for model in compared}
    cost, theirs = sum(costs.values()), round(total)
    return {
        "provider": provider,
        "currency": currency,
        "lines": lines,
        "list_micros": theirs,
        "own_costs": [{"model": model, "cost_micros": micros} for model, micros in costs.items()],
        "own_micros": cost,
        "cheaper_percent": percent(theirs - cost, theirs),
        "revenue_micros": sum(own[model, currency]["revenue_micros"] for model in compared),
        "left_out": _left_out(models, compared, used),
    }


def _line(price: ListPrice, quantity: int, amount: Fraction) -> dict[str, Any]:
    return {
        "model": price.model,
        "offer": price.offer,
        "unit": price.unit,
        "quantity": quantity,
        "micros_per_million": price.micros_per_million,
        "amount_micros": round(amount),
        "source": price.source,
        "seen_on": price.seen_on,
    }


def _left_out(
    models: Sequence[str], compared: Sequence[str], used: Mapping[str, Mapping[str, int]]
) -> list[dict[str, str]]:
    no_price = [{"model": model, "why": "no list price"} for model in sorted(used) if model not in models]
    return no_price + [
        {"model": model, "why": "no cost of its GPUs in this currency"}
        for model in models
        if model not in compared
    ]
