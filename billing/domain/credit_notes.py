"""What takes an invoice back, wholly or in part. Nothing on it changes: a credit note of its own says what.

credit      part of it, or all, is forgiven
void        it was wrong: what it covered is invoiced anew
refund      of a receipt: the money goes back, out of the balance
reversal    of a receipt: the money went back by Stripe. When it came again after that, another note says so
"""

from __future__ import annotations

from uuid import UUID

from django.db.models import Sum

from billing.domain import ledger
from billing.domain.accounts import lock_account
from billing.domain.invoice_funds import apply_funds
from billing.domain.invoices import charge, subscription_micros
from billing.domain.issuing import Draft, InvoiceRefused, NewLine, derived_id, issue, plain_line
from billing.domain.ledger import InsufficientBalance
from billing.domain.money import divided, micros_per_minor, minor_text, share, without_tax
from billing.domain.payments import clearing_of
from billing.domain.sellers import require_seller
from billing.domain.tax import Tax
from billing.enums import (
    InvoiceKind,
    InvoiceStatus,
    PaymentMethod,
    PaymentStatus,
    ReversalKind,
    ReversalState,
    TaxCategory,
    TransferKind,
)
from billing.models import BillingAccount, Invoice, InvoiceLine, Payment
from billing.stripe_models import Reversal
from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx


def credit_invoice(
    invoice: Invoice, *, reason: str, actor: Actor, gross_minor: int | None = None, line: int | None = None
) -> Invoice:
    """`gross_minor`: so much of it, its tax included; `line`: what stands at that place; neither: what is left of it.
    Gives back the credit note. Raises InvoiceRefused, SellerIncomplete."""
    with tenant_tx(invoice.tenant_id):
        account, invoice = lock_account(invoice.tenant_id), _locked(invoice)
        if invoice.kind not in (InvoiceKind.INVOICE, InvoiceKind.RECEIPT):
            raise InvoiceRefused(
                f"{invoice.number} is a {invoice.get_kind_display().lower()}: it asked for nothing."
            )
        if invoice.status == InvoiceStatus.VOID:
            raise InvoiceRefused(f"{invoice.number} is void.")
        net, tax, text = _part(invoice, gross_minor, line)
        if invoice.kind == InvoiceKind.RECEIPT:
            reversal = _refund(account, invoice, net, tax, reason)
            note = _note(account, invoice, [(text, net)], tax, reason, actor, note_id=_note_id(reversal))
        else:
            _book(account, invoice, net, tax)
            note = _note(account, invoice, [(text, net)], tax, reason, actor)
        apply_funds(account, invoice.currency, actor=actor)
        return note


def void_invoice(invoice: Invoice, *, reason: str, actor: Actor) -> Invoice:
    """The credit note over all of it. Raises InvoiceRefused, SellerIncomplete."""
    with tenant_tx(invoice.tenant_id):
        account, invoice = lock_account(invoice.tenant_id), _locked(invoice)
        if invoice.kind != InvoiceKind.INVOICE or invoice.status == InvoiceStatus.VOID:
            raise InvoiceRefused(f"{invoice.number} cannot be void: it is no invoice, or is void already.")
        if invoice.credited_minor:
            raise InvoiceRefused(f"{invoice.number} was credited in part: credit the rest of it.")
        own = ledger.tenant_account(invoice.tenant_id)
        tax_micros = invoice.tax_minor * micros_per_minor(invoice.currency)
        # The tasks stay booked: they are what is invoiced anew.
        subscription = subscription_micros(InvoiceLine.objects.filter(invoice=invoice))
        rating = invoice.rating_micros - subscription
        taken_back = [
            charge(TransferKind.SUBSCRIPTION, own, ledger.REVENUE_SUBSCRIPTION, -subscription),
            charge(TransferKind.RATING, own, ledger.REVENUE_RATING, -rating),
            charge(TransferKind.ROUNDING, own, ledger.ROUNDING, -invoice.rounding_micros),
            charge(TransferKind.TAX, own, ledger.tax_account(invoice.tax_country or "XX"), -tax_micros),
        ]
        ledger.post(invoice.tenant_id, invoice.currency, taken_back)
        text = f"All of {invoice.number}, which is invoiced anew"
        note = _note(account, invoice, [(text, invoice.net_minor)], invoice.tax_minor, reason, actor)
        invoice.status, invoice.paid_micros, invoice.paid_at = InvoiceStatus.VOID, 0, None
        invoice.save(update_fields=["status", "paid_micros", "paid_at"])
        _record("invoice.voided", invoice, actor, why=reason, note=note.number)
        apply_funds(account, invoice.currency, actor=actor)
        return note


def write_off(invoice: Invoice, *, reason: str, actor: Actor) -> Invoice:
    """Nobody expects its money. What is owed stays owed: a payment that comes all the same pays it. Raises
    InvoiceRefused."""
    with tenant_tx(invoice.tenant_id):
        lock_account(invoice.tenant_id)
        invoice = _locked(invoice)
        if invoice.status != InvoiceStatus.OPEN:
            raise InvoiceRefused(f"{invoice.number} is {invoice.status}, not open.")
        invoice.status = InvoiceStatus.UNCOLLECTIBLE
        invoice.save(update_fields=["status"])
        _record("invoice.written_off", invoice, actor, why=reason)
        return invoice


def note_reversals(account: BillingAccount, payment: Payment, *, actor: Actor) -> None:
    """Of an account that is locked: each refund that was made, and each dispute that was lost, has its note on the receipt.
    Idempotent. Without a receipt there is nothing to note on; it may come later."""
    receipt = Invoice.objects.filter(payment=payment, kind=InvoiceKind.RECEIPT).first()
    if receipt is None:
        return
    for reversal in Reversal.objects.filter(payment=payment).exclude(state=ReversalState.PENDING):
        is_back = reversal.state == ReversalState.FAILED
        if is_back and not _has_note(reversal):
            continue
        if not _has_note(reversal, is_back=is_back):
            _note_reversal(account, receipt, reversal, actor, is_back=is_back)


def _note_reversal(
    account: BillingAccount, receipt: Invoice, reversal: Reversal, actor: Actor, *, is_back: bool
) -> None:
    receipt, per_minor, sign = _locked(receipt), micros_per_minor(reversal.currency), -1 if is_back else 1
    tax = sign * divided(reversal.tax_micros, per_minor)
    net = sign * divided(reversal.amount_micros, per_minor) - tax
    what = "Refund" if reversal.kind == ReversalKind.REFUND else "Disputed payment"
    text = f"{what} of {receipt.number}{', which came back' if is_back else ''}"
    note_id = _note_id(reversal, is_back=is_back)
    receipt.credited_minor += net + tax
    receipt.save(update_fields=["credited_minor"])
    _note(account, receipt, [(text, net)], tax, reversal.reason, actor, note_id=note_id)


def _has_note(reversal: Reversal, *, is_back: bool = False) -> bool:
    return Invoice.objects.filter(id=_note_id(reversal, is_back=is_back)).exists()


def _note_id(reversal: Reversal, *, is_back: bool = False) -> UUID:
    at_ms = int(reversal.created_at.timestamp() * 1000)
    return derived_id(at_ms, "note", reversal.id, "back" if is_back else "")


def _part(invoice: Invoice, gross_minor: int | None, line: int | None) -> tuple[int, int, str]:
    """Net, tax, and how the note says it. What is left after several parts is credited to the last cent of tax."""
    credited = _credited(invoice)
    left_net, left_tax = invoice.net_minor - credited[0], invoice.tax_minor - credited[1]
    if line is not None:
        found = InvoiceLine.objects.filter(invoice=invoice, position=line).first()
        if found is None:
            raise InvoiceRefused(f"{invoice.number} has no line {line}.")
        net, text = found.amount_minor, f"Line {line} of {invoice.number}: {found.description}"
        tax = left_tax if net == left_net else share(net, invoice.tax_rate_bp)
    elif gross_minor is not None and gross_minor != left_net + left_tax:
        net, text = without_tax(gross_minor, invoice.tax_rate_bp), f"Part of {invoice.number}"
        tax = gross_minor - net
    else:
        net, tax, text = left_net, left_tax, f"{invoice.number}, all that is left of it"
    if net + tax <= 0 or net > left_net or tax > left_tax:
        left = minor_text(left_net + left_tax, invoice.currency)
        raise InvoiceRefused(f"Of {invoice.number} there is {left} {invoice.currency} left to credit.")
    return net, tax, text


def _credited(invoice: Invoice) -> tuple[int, int]:
    sums = Invoice.objects.filter(credits=invoice).aggregate(net=Sum("net_minor"), tax=Sum("tax_minor"))
    return -(sums["net"] or 0), -(sums["tax"] or 0)


def _book(account: BillingAccount, invoice: Invoice, net: int, tax: int) -> None:
    own, per_minor = ledger.tenant_account(invoice.tenant_id), micros_per_minor(invoice.currency)
    tax_account = ledger.tax_account(invoice.tax_country or "XX")
    ledger.post(
        invoice.tenant_id,
        invoice.currency,
        [
            charge(TransferKind.CORRECTION, own, ledger.REVENUE_RATING, -net * per_minor),
            charge(TransferKind.TAX, own, tax_account, -tax * per_minor),
        ],
    )
    invoice.credited_minor += net + tax
    invoice.save(update_fields=["credited_minor"])


def _refund(account: BillingAccount, invoice: Invoice, net: int, tax: int, reason: str) -> Reversal:
    assert invoice.payment_id is not None, "a receipt is of a payment"
    payment = Payment.objects.select_for_update().get(id=invoice.payment_id)
    if payment.method == PaymentMethod.STRIPE:
        raise InvoiceRefused(f"{invoice.number} was paid through Stripe: it is refunded there.")
    per_minor, source = micros_per_minor(invoice.currency), clearing_of(PaymentMethod(payment.method))
    own, tax_account = (
        ledger.tenant_account(invoice.tenant_id),
        ledger.tax_account(invoice.tax_country or "XX"),
    )
    back = [
        charge(TransferKind.REFUND, own, source, net * per_minor),
        charge(TransferKind.TAX, tax_account, source, tax * per_minor),
    ]
    try:
        ledger.post(invoice.tenant_id, invoice.currency, back)
    except InsufficientBalance:
        raise InvoiceRefused("The balance is less than that: what was used is not refunded.") from None
    reversal = Reversal.objects.create(
        tenant_id=payment.tenant_id, payment=payment, kind=ReversalKind.REFUND, state=ReversalState.SUCCEEDED,
        amount_micros=(net + tax) * per_minor, tax_micros=tax * per_minor, currency=payment.currency, reason=reason[:200],
    )  # fmt: skip
    payment.refunded_micros += reversal.amount_micros
    if payment.refunded_micros == payment.amount_micros:
        payment.status = PaymentStatus.REFUNDED
    payment.save(update_fields=["refunded_micros", "status"])
    invoice.credited_minor += net + tax
    invoice.save(update_fields=["credited_minor"])
    return reversal


def _note(
    account: BillingAccount, invoice: Invoice, parts: list[tuple[str, int]], tax_minor: int, reason: str, actor: Actor,
    *, note_id: UUID | None = None,
) -> Invoice:  # fmt: skip
    """`note_id`: of one whose money goes back by the way it came."""
    lines: list[NewLine] = [plain_line("credit", text, -net, invoice.currency) for text, net in parts]
    draft = Draft(
        id=note_id,
        payment=invoice.payment if note_id else None,
        kind=InvoiceKind.CREDIT_NOTE,
        currency=invoice.currency,
        tax=Tax(
            TaxCategory(invoice.tax_category), invoice.tax_rate_bp, invoice.tax_country, invoice.tax_note
        ),
        tax_minor=-tax_minor,
        lines=lines,
        credits=invoice,
        reason=reason,
        asked_micros=0,
    )
    return issue(account, require_seller(), draft, actor=actor)


def _locked(invoice: Invoice) -> Invoice:
    return Invoice.objects.select_for_update(of=("self",)).get(id=invoice.id)


def _record(event: str, invoice: Invoice, actor: Actor, *, why: str = "", **details: str) -> None:
    record(
        event,
        actor=actor,
        object_ref=f"invoice:{invoice.id.hex}",
        details={"number": invoice.number, **details},
        private={"reason": {"reason": why}},
    )
