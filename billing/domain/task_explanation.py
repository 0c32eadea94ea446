"""A task's way through the books: what its hive signed, what that costs and why, and where the money went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import islice
from typing import Any, Final
from uuid import UUID

import msgspec
from django.db.models import Q, Sum

from billing.domain.book_reading import Booked, Found
from billing.domain.comparisons import Prices, check_task, compare_tasks, version_of
from billing.domain.ledger import CLEARING_BANK, CLEARING_STRIPE
from billing.domain.pricing import PriceVersion, billable
from billing.domain.receipt_check import Outside
from billing.domain.statement_lines import STATING
from billing.domain.units import per
from billing.enums import DifferenceKind, InvoiceStatus, TransferKind
from billing.models import Invoice, LedgerTransfer, Payment, Price, UsageEvent
from billing.reconciliation_models import Difference
from gdpr.ids import is_uuid7, month_of
from hive_agent import protocol
from hive_agent.protocol import CHARGED_OUTCOMES

SHOWN: Final = 100  # of what there may be any number of
COMPARED_MAX: Final = 50_000  # tasks
MOMENT: Final = timedelta(seconds=1)
EVER: Final = Booked(datetime(2000, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
OF_PAYMENTS: Final = (DifferenceKind.PAYMENT, DifferenceKind.STRIPE_PAYMENT, DifferenceKind.STRIPE_REFUND)
OF_TASKS: Final = (TransferKind.TASK, TransferKind.LATE_USAGE)


def explain_task(task_id: UUID, outside: Outside) -> dict[str, Any] | None:
    """Within a scope that sees it. None: it is in no book."""
    event = _event(task_id)
    transfers = _transfers(task_id, event)
    if event is None and not transfers:
        return None
    found: dict[str, Any] = {"task": str(task_id), "transfers": [_transfer(each) for each in transfers]}
    if event is None:
        return found | {"tenant": str(transfers[0].tenant_id), "event": None}
    row = {field.attname: getattr(event, field.attname) for field in event._meta.concrete_fields}
    price = Price.objects.select_related("card").filter(id=event.price_id).first()
    return found | {
        "tenant": str(event.tenant_id),
        "event": _shown(event),
        "receipt": _receipt(event, outside),
        "receipt_erased": event.receipt_erased,
        "price": _price(price) if price else None,
        "arithmetic": arithmetic(version_of(price), event.usage, event.outcome) if price else [],
        "invoices": _invoices(event),
        "differences": [_found(each) for each in check_task(row, _sums(transfers), outside, Prices())],
    }


def explain_difference(difference: Difference, outside: Outside) -> dict[str, Any]:
    """Down to the tasks, or to the payments, that it comes from. Within `colony_tx`."""
    shown: dict[str, Any] = {
        "id": str(difference.id),
        "day": str(difference.reconciliation.day),
        "kind": difference.kind,
        "tenant": str(difference.tenant_id) if difference.tenant_id else None,
        "object_ref": difference.object_ref,
        "expected": difference.expected,
        "found": difference.found,
    }
    if difference.task_id:
        return shown | {"explanation": explain_task(difference.task_id, outside)}
    tenant_id = difference.tenant_id
    if tenant_id is None:
        return shown
    if difference.kind in OF_PAYMENTS:
        return shown | _money_in(tenant_id)
    return shown | {"by_kind": _by_kind(tenant_id)} | _wrong_tasks(tenant_id, outside)


def arithmetic(price: PriceVersion, usage: Mapping[str, int], outcome: str) -> list[str]:
    """Step by step, as `pricing.amount_micros` does it."""
    if outcome not in CHARGED_OUTCOMES:
        return [f"{outcome} is not charged: 0"]
    steps, total = [], Fraction(0)
    for unit, quantity in sorted(billable(price.prices, usage).items()):
        if unit in price.prices:
            amount = Fraction(price.prices[unit] * quantity, per(unit))
            total += amount
            steps.append(f"{unit}: {quantity} x {price.prices[unit]} / {per(unit)} = {_exact(amount)}")
        elif unit in usage:
            steps.append(f"{unit}: {quantity}, without a price = 0")
    steps.append(f"sum: {_exact(total)}")
    rounded = round(total)
    return [*steps, f"rounded, halves to even: {rounded} micro-units of {price.currency}"]


def _exact(amount: Fraction) -> str:
    """As a decimal number where that is all of it, else as a fraction."""
    whole, rest = divmod(amount.numerator * 10**6, amount.denominator)
    if rest:
        return f"{amount.numerator}/{amount.denominator}"
    return f"{whole // 10**6}.{whole % 10**6:06d}".rstrip("0").rstrip(".")


def _event(task_id: UUID) -> UsageEvent | None:
    if not is_uuid7(task_id):
        return None
    return UsageEvent.objects.filter(month=month_of(task_id), task_id=task_id).first()


def _transfers(task_id: UUID, event: UsageEvent | None) -> list[LedgerTransfer]:
    """All of its transaction: they were booked in one moment."""
    if not is_uuid7(task_id):
        return []
    own = LedgerTransfer.objects.filter(month=month_of(task_id), id=task_id).first()
    booked_at = own.booked_at if own else event.settled_at if event else None
    if booked_at is None:
        return []
    near = LedgerTransfer.objects.filter(
        booked_at__gte=booked_at - MOMENT, booked_at__lte=booked_at + MOMENT, transaction_id=task_id
    )
    return list(near.order_by("id"))


def _sums(transfers: list[LedgerTransfer]) -> dict[str, Any]:
    """As a comparison has them."""
    own = [each for each in transfers if each.kind in OF_TASKS]
    return {
        "tasks": sum(each.kind == TransferKind.TASK for each in own),
        "booked_micros": sum(each.amount_micros for each in own),
        "owners": sorted({f"{each.tenant_id.hex} {each.currency}" for each in own}),
        "ways": sorted({f"{each.kind} {each.debit_account} {each.credit_account}" for each in own}),
    }


def _shown(event: UsageEvent) -> dict[str, Any]:
    return {
        "request_id": event.request_id,
        "model": event.model,
        "endpoint": event.endpoint,
        "hive": event.hive_id.hex if event.hive_id else None,
        "worker": event.worker,
        "attempt": event.attempt,
        "outcome": event.outcome,
        "usage": event.usage,
        "amount_micros": event.amount_micros,
        "currency": event.currency,
        "admitted_at": event.admitted_at,
        "ended_at": event.ended_at,
        "settled_at": event.settled_at,
    }


def _receipt(event: UsageEvent, outside: Outside) -> dict[str, Any] | None:
    payload = bytes(event.receipt)
    if not payload:
        return None
    signed = event.hive_id is not None and outside.keys.is_signed(
        event.hive_id, payload, bytes(event.signature)
    )
    try:
        receipt = protocol.decode_receipt(payload)
    except msgspec.DecodeError:
        return {"signed": signed, "usage": None, "outcome": None}
    return {"signed": signed, "usage": receipt.usage, "outcome": receipt.outcome}


def _invoices(event: UsageEvent) -> list[dict[str, Any]]:
    """Those that state its month. An invoice has sums: of several, which one this task was in nobody can tell."""
    month = {"month": event.month.isoformat()}
    stating = Invoice.objects.filter(
        tenant_id=event.tenant_id, currency=event.currency, kind__in=STATING, covers__contains=[month]
    ).exclude(status=InvoiceStatus.VOID)
    return [
        {"number": each.number, "kind": each.kind, "status": each.status, "issued_at": each.issued_at}
        for each in stating.order_by("issued_at", "id")
    ]


def _price(price: Price) -> dict[str, Any]:
    return {
        "id": str(price.id),
        "card": price.card.slug,
        "model": price.model,
        "version": price.version,
        "currency": price.currency,
        "micros_per_million": price.prices,
        "valid_from": price.valid_from,
    }


def _transfer(transfer: LedgerTransfer) -> dict[str, Any]:
    return {
        "id": str(transfer.id),
        "kind": transfer.kind,
        "debit": transfer.debit_account,
        "credit": transfer.credit_account,
        "amount_micros": transfer.amount_micros,
        "currency": transfer.currency,
        "booked_at": transfer.booked_at,
    }


def _found(each: Found) -> dict[str, Any]:
    return {
        "kind": each.kind,
        "object_ref": each.object_ref,
        "expected": each.expected,
        "found": each.found,
    }


def _wrong_tasks(tenant_id: UUID, outside: Outside) -> dict[str, Any]:
    """Of a tenant with more tasks than one looks through while somebody waits: those that reports have found."""
    events = UsageEvent.objects.filter(tenant_id=tenant_id).order_by()
    if is_whole := events.values("task_id")[: COMPARED_MAX + 1].count() <= COMPARED_MAX:
        wrong = [_found(each) for each in islice(compare_tasks(EVER, outside, {}, tenant_id), SHOWN)]
    else:
        told = ("object_ref", "kind", "expected", "found")  # of several reports, each once
        reported = Difference.objects.filter(tenant_id=tenant_id, task_id__isnull=False).order_by(*told)
        wrong = list(reported.values(*told).distinct()[:SHOWN])
    return {"tasks": wrong, "tasks_are_all": is_whole}


def _by_kind(tenant_id: UUID) -> list[dict[str, Any]]:
    rows = LedgerTransfer.objects.filter(tenant_id=tenant_id).order_by()
    ways = rows.values("kind", "debit_account", "credit_account", "currency")
    summed = ways.annotate(amount_micros=Sum("amount_micros"))
    return [
        dict(row) for row in summed.order_by("kind", "debit_account", "credit_account", "currency")[:SHOWN]
    ]


def _money_in(tenant_id: UUID) -> dict[str, Any]:
    clearing = [CLEARING_STRIPE, CLEARING_BANK]
    cleared = LedgerTransfer.objects.filter(
        Q(debit_account__in=clearing) | Q(credit_account__in=clearing), tenant_id=tenant_id
    )
    paid = Payment.objects.filter(tenant_id=tenant_id).values(
        "id", "method", "status", "amount_micros", "refunded_micros", "currency", "reference", "paid_at"
    )
    return {
        "payments": [each | {"id": str(each["id"])} for each in paid[:SHOWN]],
        "transfers": [_transfer(each) for each in cleared[:SHOWN]],
    }
