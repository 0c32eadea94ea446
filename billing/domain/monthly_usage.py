"""A customer's month at a glance: what it used of each kind, what that cost, and what went beyond what its plan gives.

A task is of one kind, by what it used: video before audio before images, else text. So costs of the kinds add up to the
total, which is the sum of the ledger's transfers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, NamedTuple
from uuid import UUID

from billing.domain.book_reading import stream
from hive_agent.protocol import CHARGED_OUTCOMES
from tenants.domain.limit_shape import LevelLimits

KINDS: Final = ("text", "images", "audio", "video")
# What a kind's quantity is called, by the unit in which limits count it, and how many of what is counted are one of it.
SHOWN: Final[Mapping[str, tuple[str, int]]] = {
    "text_tokens": ("tokens", 1),
    "images_generated": ("images", 1),
    "audio_minutes": ("audio_seconds", 60_000),
    "video_minutes": ("video_seconds", 60_000),
}
MS_A_SECOND: Final = 1000
MICROS: Final = Decimal(1_000_000)

_DAY = "date_trunc('day', to_timestamp(('x' || translate(left(task_id::text, 13), '-', ''))::bit(48)::bigint / 1000.0), 'UTC')"
USED: Final = f"""
    SELECT tenant_id, {_DAY}::date AS day, currency,
           CASE WHEN usage ? 'video_ms' THEN 'video' WHEN usage ? 'audio_ms' THEN 'audio'
                WHEN usage ? 'images' THEN 'images' ELSE 'text' END AS kind,
           sum(coalesce((usage->>'prompt_tokens')::bigint, 0) + coalesce((usage->>'completion_tokens')::bigint, 0)),
           sum(coalesce((usage->>'images')::bigint, 0)), sum(coalesce((usage->>'audio_ms')::bigint, 0)),
           sum(coalesce((usage->>'video_ms')::bigint, 0)), sum(amount_micros)
    FROM billing_usageevent
    WHERE month = %(month)s AND outcome = ANY(%(charged)s) {{of_tenant}}
    GROUP BY tenant_id, day, currency, kind ORDER BY tenant_id, day
"""  # noqa: S608 -- constants


class MonthOf(NamedTuple):
    """`by_day`: quantities by the names of SHOWN, in what is counted. `costs`: micro-units, by currency and kind."""

    tenant_id: UUID
    by_day: dict[date, dict[str, int]]
    costs: dict[str, dict[str, int]]

    @property
    def total(self) -> dict[str, int]:
        sums = dict.fromkeys(SHOWN, 0)
        for day in self.by_day.values():
            for name, quantity in day.items():
                sums[name] += quantity
        return sums


def months_of(month: date, tenant_id: UUID | None = None) -> Iterator[MonthOf]:
    """Of each tenant that used anything. Within a scope."""
    query = USED.format(of_tenant="AND tenant_id = %(tenant)s" if tenant_id else "")
    charged = [str(each) for each in CHARGED_OUTCOMES]
    current: MonthOf | None = None
    for tenant, day, currency, kind, *quantities, amount in stream(
        query, {"month": month, "charged": charged, "tenant": tenant_id}
    ):
        if current is None or current.tenant_id != tenant:
            if current:
                yield current
            current = empty_month(tenant)
        for name, quantity in zip(SHOWN, quantities, strict=True):
            current.by_day[day][name] += int(quantity)
        current.costs.setdefault(currency, dict.fromkeys(KINDS, 0))[kind] += int(amount)
    if current:
        yield current


def empty_month(tenant_id: UUID) -> MonthOf:
    return MonthOf(tenant_id, defaultdict(lambda: dict.fromkeys(SHOWN, 0)), {})


def shown_quantities(quantities: Mapping[str, int]) -> dict[str, int | float]:
    """Minutes with three digits."""
    return {
        name: quantity if SHOWN[name][1] == 1 else round(quantity / SHOWN[name][1], 3)
        for name, quantity in quantities.items()
    }


def shown_costs(costs: Mapping[str, int]) -> dict[str, str]:
    """In the currency, as exact decimals; by kind, and the total."""
    given = {kind: costs.get(kind, 0) for kind in KINDS}
    return {name: money(micros) for name, micros in (given | {"total": sum(given.values())}).items()}


def money(micros: int) -> str:
    return f"{Decimal(micros) / MICROS:.6f}"


def overage(month: MonthOf, limits: LevelLimits) -> dict[str, int]:
    """What was used beyond the limits of a day, or of the month where that is more: only limits that are soft let it."""
    found = {}
    for name, (unit, counted) in SHOWN.items():
        of_unit = limits.quantities.get(unit)  # type: ignore[call-overload]
        scale = 1 if counted == 1 else MS_A_SECOND
        beyond = 0
        if of_unit and of_unit.day is not None:
            beyond = sum(max(0, day[name] - of_unit.day * scale) for day in month.by_day.values())
        if of_unit and of_unit.month is not None:
            beyond = max(beyond, month.total[name] - of_unit.month * scale)
        found[name] = beyond
    return found


def next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)
