"""What a printed invoice says, in words: everything that Directive 2006/112/EC, article 226, asks for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import msgspec

from billing.domain.invoice_funds import due_micros
from billing.domain.money import divided, micros_per_minor, minor_text
from billing.domain.rating import INCLUDED, USAGE
from billing.domain.units import amount_text, known_unit, per, price_text
from billing.enums import InvoiceKind, InvoiceStatus, TaxCategory
from billing.models import Invoice, InvoiceLine

TITLES = {
    InvoiceKind.INVOICE: "Invoice",
    InvoiceKind.CREDIT_NOTE: "Credit note",
    InvoiceKind.RECEIPT: "Invoice for a payment in advance",
    InvoiceKind.STATEMENT: "Statement of usage",
}


class Row(msgspec.Struct, frozen=True):
    position: str
    description: str
    quantity: str
    price: str
    amount: str


class Text(msgspec.Struct, frozen=True):
    title: str
    seller: list[str]
    buyer: list[str]
    facts: list[tuple[str, str]]
    rows: list[Row]
    totals: list[tuple[str, str]]
    notes: list[str]
    footer: str


def text_of(invoice: Invoice, lines: Sequence[InvoiceLine]) -> Text:
    is_void = invoice.status == InvoiceStatus.VOID
    return Text(
        title=TITLES[InvoiceKind(invoice.kind)] + (" (void)" if is_void else ""),
        seller=_party(invoice.seller),
        buyer=_party(invoice.buyer),
        facts=_facts(invoice),
        rows=[_row(line, invoice.currency) for line in lines],
        totals=_totals(invoice),
        notes=list(filter(None, [invoice.tax_note, *_payment_notes(invoice)])),
        footer=" · ".join(filter(None, [invoice.seller["legal_name"], invoice.number or "draft"])),
    )


def _party(facts: dict[str, str]) -> list[str]:
    labels = {"vat_id": "VAT id", "registration_number": "Registration"}
    named = [f"{label} {facts[name]}" for name, label in labels.items() if facts.get(name)]
    place = [line.strip() for line in facts["address"].splitlines()] + [facts["country"]]
    return [line for line in (facts["legal_name"], *place, *named, facts.get("email", "")) if line]


def _facts(invoice: Invoice) -> list[tuple[str, str]]:
    facts = [("Number", invoice.number or "draft"), ("Date of issue", _day(invoice.issued_at))]
    if invoice.first_day and invoice.next_day:
        facts.append(("Period of supply", f"{invoice.first_day} to {invoice.next_day - timedelta(days=1)}"))
    if invoice.payment:
        facts.append(("Paid on", _day(invoice.payment.paid_at or invoice.issued_at)))
        facts.append(("Payment", f"{invoice.payment.get_method_display()}, {invoice.payment.reference}"))
    if invoice.credits:
        facts.append(("Corrects", f"{invoice.credits.number} of {_day(invoice.credits.issued_at)}"))
    if invoice.reason:
        facts.append(("Reason", invoice.reason))
    if invoice.due_at:
        facts.append(("Due on", _day(invoice.due_at)))
    return [*facts, ("Currency", invoice.currency)]


def _row(line: InvoiceLine, currency: str) -> Row:
    return Row(
        position=str(line.position),
        description=line.description,
        quantity=f"{line.quantity:,}" if line.unit else "",
        price=price_of(line, currency),
        amount=minor_text(line.amount_minor, currency),
    )


def price_of(line: InvoiceLine, currency: str) -> str:
    """Empty where there is no single one. As it was when the line was written, whatever its unit is counted in since."""
    if not line.price_micros and line.kind not in (USAGE, INCLUDED):
        return ""
    if known_unit(line.unit) and per(line.unit) == line.per:
        return price_text(line.unit, line.price_micros, currency)
    return f"{amount_text(line.price_micros, currency)} per {line.per:,}"


def _totals(invoice: Invoice) -> list[tuple[str, str]]:
    currency = invoice.currency
    if invoice.tax_category == TaxCategory.NONE:
        return [("Total", _money(invoice.net_minor, currency))]
    country = f" {invoice.tax_country}" if invoice.tax_country else ""
    rate = f"VAT{country} {_percent(invoice.tax_rate_bp)} on {minor_text(invoice.net_minor, currency)}"
    totals = [
        ("Net amount", _money(invoice.net_minor, currency)),
        (rate, _money(invoice.tax_minor, currency)),
        ("Total", _money(invoice.gross_minor, currency)),
    ]
    if invoice.credited_minor and invoice.kind == InvoiceKind.INVOICE:
        totals.append(("Credited", _money(-invoice.credited_minor, currency)))
    if invoice.paid_micros:
        totals.append(("Paid", _money(-_minor(invoice.paid_micros, currency), currency)))
    if totals[-1][0] != "Total":
        totals.append(("Left to pay", _money(_left_minor(invoice), currency)))
    return totals


def _payment_notes(invoice: Invoice) -> list[str]:
    if invoice.kind == InvoiceKind.CREDIT_NOTE and invoice.payment_id:
        return ["The money goes back by the way it came."] if invoice.gross_minor < 0 else []
    if invoice.kind == InvoiceKind.CREDIT_NOTE:
        return ["It is set off against what is open, or stays as a credit for what is used next."]
    if invoice.kind != InvoiceKind.INVOICE or invoice.status not in (
        InvoiceStatus.OPEN,
        InvoiceStatus.UNCOLLECTIBLE,
    ):
        return []
    seller, amount = invoice.seller, _money(_left_minor(invoice), invoice.currency)
    due = _day(invoice.due_at) if invoice.due_at else ""
    if not seller["iban"]:
        return [f"Please pay {amount} by {due}, with the reference {invoice.number}."]
    bank = f"IBAN {seller['iban']}" + (f", BIC {seller['bic']}" if seller["bic"] else "")
    return [f"Please pay {amount} by {due} to {bank}, with the reference {invoice.number}."]


def _left_minor(invoice: Invoice) -> int:
    return _minor(due_micros(invoice) - invoice.paid_micros, invoice.currency)


def _minor(micros: int, currency: str) -> int:
    return divided(micros, micros_per_minor(currency))


def _money(amount_minor: int, currency: str) -> str:
    return f"{minor_text(amount_minor, currency)} {currency}"


def _percent(rate_bp: int) -> str:
    return f"{rate_bp / 100:g}%"


def _day(moment: datetime) -> str:
    day: date = moment.astimezone(UTC).date()
    return day.isoformat()
