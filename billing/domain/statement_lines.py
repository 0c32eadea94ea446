"""What a month comes to for a tenant in one currency, added up from its usage events, and what of that no invoice states
yet. A month is always rated as a whole, and what earlier invoices say of it is taken off: so what arrives late, and what
an interim invoice covered, is stated exactly once, whatever order things commit in."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from fractions import Fraction
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Sum

from billing.domain.money import PICOS_PER_MICRO
from billing.domain.pricing import PriceVersion
from billing.domain.units import CACHED, MILLION, PROMPT, per
from billing.enums import InvoiceKind, InvoiceStatus, TransferKind
from billing.models import Invoice, InvoiceLine, Price
from hive_agent.protocol import CHARGED_OUTCOMES

USAGE: Final = "usage"
WAIVED: Final = "waived"  # used beyond what was held for a task: the operator's loss, not the tenant's
FORGIVEN: Final = "forgiven"  # by a statement, of what its balance could not bear
FINAL_KINDS: Final = frozenset({"minimum", "subscription"})  # of a whole month: not on an interim invoice
STATING: Final = (InvoiceKind.INVOICE, InvoiceKind.STATEMENT)

_OUTCOMES = [str(outcome) for outcome in CHARGED_OUTCOMES]

# One statement, so that what was used and what was booked for it are of the same moment.
USED = f"""
    WITH charged AS MATERIALIZED (
        SELECT e.project_id, e.model, e.price_id, e.usage, e.amount_micros, p.prices
        FROM billing_usageevent e LEFT JOIN billing_price p ON p.id = e.price_id
        WHERE e.tenant_id = %(tenant)s AND e.month = %(month)s AND e.currency = %(currency)s
              AND e.outcome = ANY(%(outcomes)s)
    )
    SELECT NULL::uuid, '', NULL::uuid, '', count(*), coalesce(sum(amount_micros), 0)::bigint, (
        SELECT coalesce(sum(amount_micros), 0)::bigint FROM billing_ledgertransfer
        WHERE tenant_id = %(tenant)s AND month = %(month)s AND currency = %(currency)s
              AND kind = '{TransferKind.LATE_USAGE}'
    ) FROM charged
    UNION ALL
    SELECT project_id, model, price_id, u.key, sum(
        CASE WHEN u.key = '{PROMPT}' AND prices ? '{CACHED}'
             THEN greatest(0, u.value::bigint - coalesce((usage->>'{CACHED}')::bigint, 0))
             ELSE u.value::bigint END
    )::bigint, 0, 0
    FROM charged, jsonb_each_text(usage) u
    WHERE prices ? u.key
    GROUP BY project_id, model, price_id, u.key
"""  # noqa: S608 -- constants
MONTHS = """
    SELECT month, currency, count(*) FROM billing_usageevent
    WHERE tenant_id = %s AND month <= %s AND outcome = ANY(%s) GROUP BY month, currency
"""


class UsedQuantity(msgspec.Struct, frozen=True):
    project_id: str
    model: str
    unit: str
    price: PriceVersion
    quantity: int


class RatedLine(msgspec.Struct, frozen=True):
    kind: str
    project_id: str
    model: str
    unit: str
    quantity: int
    price_per_million_micros: int
    amount_picos: int  # exact


class Key(NamedTuple):
    """What makes two lines the same one."""

    kind: str
    project_id: str
    model: str
    unit: str
    price_per_million_micros: int


class Cover(msgspec.Struct, frozen=True):
    """Of one month, what an invoice is the first to state."""

    month: str
    tasks: int
    booked_micros: int  # in the ledger, task by task
    waived_micros: int


class Statement(msgspec.Struct, frozen=True):
    cover: Cover
    lines: list[RatedLine]


def months_with_usage(tenant_id: UUID, until: date) -> dict[tuple[date, str], int]:
    """How many charged tasks, by month and currency; `until` is the first day of the last month."""
    with connection.cursor() as cursor:
        cursor.execute(MONTHS, [tenant_id, until, _OUTCOMES])
        return {(month, currency): count for month, currency, count in cursor.fetchall()}


def tasks_stated(tenant_id: UUID) -> dict[tuple[date, str], int]:
    found: dict[tuple[date, str], int] = defaultdict(int)
    for invoice in _stating(tenant_id):
        for cover in _covers(invoice):
            found[date.fromisoformat(cover.month), invoice.currency] += cover.tasks
    return found


def unstated(tenant_id: UUID, currency: str, month: date, *, is_whole: bool) -> Statement:
    """In a scope of the tenant. `is_whole`: the month is over, so what is asked of a whole one is on it."""
    tasks, booked, waived, used = _used(tenant_id, currency, month)
    rated = [line for line in _rate(tenant_id, used) if is_whole or line.kind not in FINAL_KINDS]
    if waived:
        rated.append(RatedLine(WAIVED, "", "", "", 0, 0, -waived * PICOS_PER_MICRO))
    before = [
        cover
        for invoice in _stating(tenant_id, currency)
        for cover in _covers(invoice)
        if cover.month == month.isoformat()
    ]
    cover = Cover(
        month.isoformat(),
        tasks - sum(each.tasks for each in before),
        booked - sum(each.booked_micros for each in before),
        waived - sum(each.waived_micros for each in before),
    )
    return Statement(cover, _difference(rated, _stated(tenant_id, currency, month)))


def _used(tenant_id: UUID, currency: str, month: date) -> tuple[int, int, int, list[UsedQuantity]]:
    parameters: dict[str, Any] = {
        "tenant": tenant_id,
        "month": month,
        "currency": currency,
        "outcomes": _OUTCOMES,
    }
    with connection.cursor() as cursor:
        cursor.execute(USED, parameters)
        (*_, tasks, booked, waived), *rows = sorted(cursor.fetchall(), key=lambda row: row[2] is not None)
    prices = Price.objects.in_bulk({row[2] for row in rows})
    versions = {
        price.id: PriceVersion(
            id=price.id.hex, model=price.model, currency=price.currency, prices=price.prices
        )
        for price in prices.values()
    }
    used = [
        UsedQuantity(project_id.hex, model, unit, versions[price_id], quantity)
        for project_id, model, price_id, unit, quantity, *_ in rows
    ]
    return tasks, booked, waived, used


def _rate(tenant_id: UUID, used: Sequence[UsedQuantity]) -> list[RatedLine]:
    """Each quantity at the price that was frozen when its task was admitted."""
    return [
        RatedLine(
            USAGE, each.project_id, each.model, each.unit, each.quantity, price,
            round(Fraction(each.quantity * price * MILLION, per(each.unit))),
        )
        for each in used
        if (price := each.price.prices[each.unit])
    ]  # fmt: skip


def _difference(rated: Iterable[RatedLine], stated: dict[Key, tuple[int, int]]) -> list[RatedLine]:
    now: dict[Key, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for line in rated:
        key = Key(line.kind, line.project_id, line.model, line.unit, line.price_per_million_micros)
        quantity, picos = now[key]
        now[key] = (quantity + line.quantity, picos + line.amount_picos)
    lines = []
    for key in sorted({*now, *stated}):
        quantity, picos = now[key]
        quantity_before, picos_before = stated.get(key, (0, 0))
        if (quantity, picos) != (quantity_before, picos_before):
            lines.append(RatedLine(**key._asdict(), quantity=quantity - quantity_before,
                                   amount_picos=picos - picos_before))  # fmt: skip
    return lines


def _stated(tenant_id: UUID, currency: str, month: date) -> dict[Key, tuple[int, int]]:
    rows = (
        InvoiceLine.objects.filter(tenant_id=tenant_id, month=month, invoice__currency=currency)
        .filter(invoice__kind__in=STATING)
        .exclude(invoice__status=InvoiceStatus.VOID)
        .exclude(kind=FORGIVEN)
        .order_by()
        .values_list("kind", "project_id", "model", "unit", "price_per_million_micros")
        .annotate(Sum("quantity"), Sum("amount_picos"))
    )
    return {
        Key(kind, project_id.hex if project_id else "", model, unit, price): (int(quantity), int(picos))
        for kind, project_id, model, unit, price, quantity, picos in rows
    }


def _stating(tenant_id: UUID, currency: str = "") -> Iterable[Invoice]:
    found = Invoice.objects.filter(tenant_id=tenant_id, kind__in=STATING).exclude(status=InvoiceStatus.VOID)
    return found.filter(currency=currency) if currency else found


def _covers(invoice: Invoice) -> list[Cover]:
    covers: Any = invoice.covers
    return msgspec.convert(covers, list[Cover])
