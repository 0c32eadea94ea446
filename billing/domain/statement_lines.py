"""What a month comes to for a tenant in one currency, rated from its usage events, and what of that no invoice states
yet. A month is always rated as a whole, and what earlier invoices say of it is taken off: so what arrives late, and what
an interim invoice covered, is stated exactly once, whatever order things commit in.

The first invoice of a month that is over keeps the terms that it was rated by. What comes later is rated by the same,
whatever became of the tenant's plan and discount.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, timedelta
from fractions import Fraction
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec
from django.db import connection
from django.db.models import Sum

from billing.domain.currencies import PICOS_PER_MICRO
from billing.domain.fees_paid import without_fees_paid
from billing.domain.period_usage import QUERY, query_parameters, read_rows
from billing.domain.price_terms import terms_of
from billing.domain.rating import (
    DISCOUNT,
    INCLUDED,
    MINIMUM,
    SUBSCRIPTION,
    TIER,
    USAGE,
    RatedLine,
    Terms,
    UsedQuantity,
    months_between,
    rate,
    total_picos,
)
from billing.enums import InvoiceKind, InvoiceStatus, TransferKind
from billing.models import Invoice, InvoiceLine
from hive_agent.protocol import CHARGED_OUTCOMES
from tenants.enums import TenantStatus
from tenants.models import Tenant

WAIVED: Final = "waived"  # used beyond what was held for a task: the operator's loss, not the tenant's
FORGIVEN: Final = "forgiven"  # by a statement, of what its balance could not bear
ORDER: Final = (USAGE, INCLUDED, TIER, DISCOUNT, SUBSCRIPTION, MINIMUM, WAIVED)
LEAVING: Final = (TenantStatus.DELETING, TenantStatus.CLOSED)
STATING: Final = (InvoiceKind.INVOICE, InvoiceKind.STATEMENT)

_OUTCOMES = [str(outcome) for outcome in CHARGED_OUTCOMES]

# One statement, so that what was used and what was booked for it are of the same moment. What was waived is booked when
# its task is settled, which may be months after it.
USED = f"""
    WITH used AS ({QUERY}), booked AS (
        SELECT count(*) AS tasks, coalesce(sum(amount_micros), 0)::bigint AS micros FROM billing_usageevent
        WHERE tenant_id = %(tenant)s::uuid AND month = %(first_month)s AND currency = %(currency)s
              AND outcome = ANY(%(outcomes)s)
    ), waived AS (
        SELECT coalesce(sum(amount_micros), 0)::bigint AS micros FROM billing_ledgertransfer
        WHERE tenant_id = %(tenant)s::uuid AND month >= %(first_month)s AND currency = %(currency)s
              AND kind = '{TransferKind.LATE_USAGE}' AND transaction_id >= %(first)s AND transaction_id < %(next)s
    )
    SELECT booked.tasks, booked.micros, waived.micros, used.* FROM booked CROSS JOIN waived LEFT JOIN used ON true
"""  # noqa: S608 -- constants
MONTHS = """
    SELECT month, currency, count(*) FROM billing_usageevent
    WHERE tenant_id = %s AND month <= %s AND outcome = ANY(%s) GROUP BY month, currency
"""


class Key(NamedTuple):
    """What makes two lines the same one."""

    kind: str
    project_id: str
    model: str
    unit: str
    price_micros: int
    per: int


class Cover(msgspec.Struct, frozen=True):
    """Of one month, what an invoice is the first to state."""

    month: str
    tasks: int
    booked_micros: int  # in the ledger, task by task
    waived_micros: int
    terms: Terms | None = None  # of a month that was over
    months: str = ""  # how much of it they are for: a fraction


class Statement(msgspec.Struct, frozen=True):
    cover: Cover
    terms: Terms
    lines: list[RatedLine]


class Used(msgspec.Struct, frozen=True):
    tasks: int
    booked_micros: int
    waived_micros: int
    quantities: list[UsedQuantity]


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
    """In a scope of the tenant. `is_whole`: the month is over, so its fee and its minimum are on it."""
    used = _used(tenant_id, currency, month)
    before = [
        cover
        for invoice in _stating(tenant_id, currency)
        for cover in _covers(invoice)
        if cover.month == month.isoformat()
    ]
    terms, months = _kept_terms(before) or _terms(tenant_id, currency, month, is_whole=is_whole)
    cover = Cover(
        month.isoformat(),
        used.tasks - sum(each.tasks for each in before),
        used.booked_micros - sum(each.booked_micros for each in before),
        used.waived_micros - sum(each.waived_micros for each in before),
        terms if is_whole else None,
        str(months) if is_whole else "",
    )
    rated = rate(terms, used.quantities, months)
    rated += _waived(used.waived_micros, rated)
    return Statement(cover, terms, _difference(rated, _stated(tenant_id, currency, month)))


def _used(tenant_id: UUID, currency: str, month: date) -> Used:
    parameters = query_parameters(month, _month_after(month), tenant_id=tenant_id) | {"currency": currency}
    with connection.cursor() as cursor:
        cursor.execute(USED, parameters)
        rows = cursor.fetchall()
    quantities = [each.quantity for each in read_rows([row[3:] for row in rows if row[3] is not None])]
    tasks, booked, waived = rows[0][:3]
    return Used(tasks, booked, waived, [each for each in quantities if each.price.currency == currency])


def _kept_terms(covers: Iterable[Cover]) -> tuple[Terms, Fraction] | None:
    return next(((cover.terms, Fraction(cover.months)) for cover in covers if cover.terms), None)


def _terms(tenant_id: UUID, currency: str, month: date, *, is_whole: bool) -> tuple[Terms, Fraction]:
    """And for how much of the month they are: from the day when the tenant came. One that leaves owes its tasks only."""
    terms, tenant = terms_of(tenant_id, currency=currency, on=month), Tenant.objects.get(id=tenant_id)
    terms = without_fees_paid(terms, tenant_id, month)
    if not is_whole or tenant.status in LEAVING:
        terms = msgspec.structs.replace(terms, subscription_micros=0, minimum_micros=0)
    came = tenant.created_at.astimezone(UTC).date()
    return terms, months_between(max(month, came), _month_after(month))


def _waived(waived_micros: int, rated: Iterable[RatedLine]) -> list[RatedLine]:
    """Not more than what the tasks are charged for by these terms: what is included is not given back twice."""
    charged = total_picos(line for line in rated if line.kind not in (SUBSCRIPTION, MINIMUM))
    picos = min(waived_micros * PICOS_PER_MICRO, charged)
    return [RatedLine(WAIVED, "", "", "", 0, 0, -picos)] if picos else []


def _difference(rated: Iterable[RatedLine], stated: dict[Key, tuple[int, int]]) -> list[RatedLine]:
    now: dict[Key, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for line in rated:
        key = Key(line.kind, line.project_id, line.model, line.unit, line.price_micros, line.per)
        quantity, picos = now[key]
        now[key] = (quantity + line.quantity, picos + line.amount_picos)
    lines = []
    for key in sorted({*now, *stated}, key=lambda key: (ORDER.index(key.kind), key)):
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
        .values_list("kind", "project_id", "model", "unit", "price_micros", "per")
        .annotate(Sum("quantity"), Sum("amount_picos"))
    )
    return {
        Key(kind, project_id.hex if project_id else "", *rest): (int(quantity), int(picos))
        for kind, project_id, *rest, quantity, picos in rows
    }


def _stating(tenant_id: UUID, currency: str = "") -> Iterable[Invoice]:
    found = Invoice.objects.filter(tenant_id=tenant_id, kind__in=STATING).exclude(status=InvoiceStatus.VOID)
    return found.filter(currency=currency) if currency else found


def _covers(invoice: Invoice) -> list[Cover]:
    covers: Any = invoice.covers
    return msgspec.convert(covers, list[Cover])


def _month_after(first_day: date) -> date:
    return (first_day + timedelta(days=31)).replace(day=1)
