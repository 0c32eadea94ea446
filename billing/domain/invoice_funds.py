"""Which invoices are paid: what a tenant paid and was given goes to what was asked of it, the oldest first. Worked out anew
each time, so money that is taken back opens again what it had paid."""

from __future__ import annotations

from django.db.models import Case, F, Q, Sum, When
from django.utils import timezone

from billing.domain.ledger import tenant_account
from billing.domain.money import micros_per_minor
from billing.enums import InvoiceKind, InvoiceStatus, TransferKind
from billing.models import BillingAccount, Invoice, LedgerTransfer
from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor, record
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.outbox import publish

DUNNING = "billing.run_dunning"  # the chore: what is paid restricts nobody any more
FUNDS = (TransferKind.PAYMENT, TransferKind.CREDIT, TransferKind.REFUND, TransferKind.DISPUTE)
ASKING = (InvoiceKind.INVOICE, InvoiceKind.STATEMENT)


def apply_funds(account: BillingAccount, currency: str, *, actor: Actor) -> list[Invoice]:
    """Of an account that is locked. Gives back the invoices of which something changed. Idempotent."""
    left = funds_micros(account, currency)
    asking = Invoice.objects.select_for_update().filter(
        tenant_id=account.tenant_id, currency=currency, kind__in=ASKING
    )
    invoices = list(asking.exclude(status=InvoiceStatus.VOID).order_by("issued_at", "id"))
    left += sum(-due for invoice in invoices if (due := due_micros(invoice)) < 0)
    changed = []
    for invoice in invoices:
        paid = min(max(0, left), max(0, due_micros(invoice)))
        left -= paid
        if _set_paid(invoice, paid, actor):
            changed.append(invoice)
    return changed


def funds_micros(account: BillingAccount, currency: str) -> int:
    """All that came in, less what went back."""
    own = tenant_account(account.tenant_id)
    booked = LedgerTransfer.objects.filter(
        Q(credit_account=own) | Q(debit_account=own),
        tenant_id=account.tenant_id, currency=currency, kind__in=FUNDS,
    )  # fmt: skip
    signed = Case(When(credit_account=own, then=F("amount_micros")), default=-F("amount_micros"))
    return int(booked.aggregate(sum=Sum(signed))["sum"] or 0)


def due_micros(invoice: Invoice) -> int:
    """What it asks for, whatever of that is paid. Negative: what it gives back."""
    return invoice.asked_micros - invoice.credited_minor * micros_per_minor(invoice.currency)


def _set_paid(invoice: Invoice, paid_micros: int, actor: Actor) -> bool:
    before = invoice.status, invoice.paid_micros
    is_paid = paid_micros >= due_micros(invoice)
    if invoice.kind == InvoiceKind.STATEMENT:
        is_paid = True  # it asks for nothing
    if is_paid:
        invoice.status = InvoiceStatus.PAID
    elif invoice.status == InvoiceStatus.PAID:
        invoice.status = InvoiceStatus.OPEN
    invoice.paid_micros = paid_micros
    if (invoice.status, paid_micros) == before:
        return False
    if invoice.status != before[0]:
        invoice.paid_at = timezone.now() if is_paid else None
        _tell(invoice, is_paid, actor)
        hint_after_commit(DUNNING)
    invoice.save(update_fields=["status", "paid_micros", "paid_at"])
    announce_after_commit("billing")
    return True


def _tell(invoice: Invoice, is_paid: bool, actor: Actor) -> None:
    record(
        "invoice.paid" if is_paid else "invoice.reopened",
        actor=actor,
        tenant_id=invoice.tenant_id,
        object_ref=f"invoice:{invoice.id.hex}",
        details={"number": invoice.number},
    )
    if is_paid and invoice.kind == InvoiceKind.INVOICE:
        publish(
            "invoice.paid",
            invoice.tenant_id,
            {"invoice": str(invoice.id), "number": invoice.number, "currency": invoice.currency,
             "gross_minor": invoice.gross_minor},
        )  # fmt: skip
