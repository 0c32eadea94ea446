"""An invoice comes into being: its number, its lines, seller and buyer as they are, and who is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec
from django.db.models import Model
from django.utils import timezone

from billing.domain.currencies import PICOS_PER_MICRO
from billing.domain.money import micros_per_minor, share
from billing.domain.numbering import take_number
from billing.domain.sellers import tax_for
from billing.domain.statement_lines import Cover
from billing.domain.tax import BuyerOfTax, Tax
from billing.domain.vat_ids import is_business
from billing.enums import InvoiceKind, InvoiceStatus
from billing.models import BillingAccount, Invoice, InvoiceLine, Payment, Seller
from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor, record
from gdpr.ids import uuid7
from tenants.domain.outbox import moment_text, publish
from tenants.models import Tenant

MAIL: Final = "billing.mail_invoices"  # the chore
SYSTEM: Final = Actor.system("billing")

_SELLER = ("legal_name", "address", "country", "vat_id", "registration_number", "iban", "bic", "email")
_BUYER = ("legal_name", "address", "country", "vat_id")


class InvoiceRefused(Exception):
    """Not while things are as they are; the message says how they are."""


class NewLine(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    description: str
    amount_minor: int
    amount_picos: int
    month: date | None = None
    project_id: str = ""
    model: str = ""
    unit: str = ""
    quantity: int = 0
    price_micros: int = 0
    per: int = 1


class Draft(msgspec.Struct, kw_only=True):
    """What an invoice is to say. `tax_minor`: None when it follows from the lines."""

    kind: InvoiceKind
    currency: str
    tax: Tax
    lines: Sequence[NewLine]
    id: UUID | None = None
    tax_minor: int | None = None
    asked_micros: int | None = None  # of the balance, when that is not the gross amount
    first_day: date | None = None
    next_day: date | None = None
    is_final: bool = False
    covers: Sequence[Cover] = ()
    rating_micros: int = 0
    rounding_micros: int = 0
    credits: Invoice | None = None
    payment: Payment | None = None
    reason: str = ""

    @property
    def net_minor(self) -> int:
        return sum(line.amount_minor for line in self.lines)

    @property
    def taxes_minor(self) -> int:
        """On the sum of the lines, rounded once."""
        return share(self.net_minor, self.tax.rate_bp) if self.tax_minor is None else self.tax_minor

    @property
    def gross_minor(self) -> int:
        return self.net_minor + self.taxes_minor

    @property
    def micros(self) -> int:
        """What it asks of the balance."""
        gross = self.gross_minor * micros_per_minor(self.currency)
        return gross if self.asked_micros is None else self.asked_micros


def tax_of_account(seller: Seller, account: BillingAccount) -> Tax:
    """Raises SellerIncomplete."""
    return tax_for(seller, BuyerOfTax(account.country, is_business(account)))


def unsaved(account: BillingAccount, seller: Seller, draft: Draft) -> tuple[Invoice, list[InvoiceLine]]:
    """Without a number."""
    invoice = Invoice(
        id=draft.id or uuid7(),
        tenant_id=account.tenant_id,
        kind=draft.kind,
        status=InvoiceStatus.DRAFT,
        currency=draft.currency,
        first_day=draft.first_day,
        next_day=draft.next_day,
        is_final=draft.is_final,
        seller=_facts(seller, _SELLER),
        buyer=buyer_of(account),
        net_minor=draft.net_minor,
        tax_minor=draft.taxes_minor,
        gross_minor=draft.gross_minor,
        asked_micros=draft.micros,
        rating_micros=draft.rating_micros,
        rounding_micros=draft.rounding_micros,
        tax_category=draft.tax.category,
        tax_rate_bp=draft.tax.rate_bp,
        tax_country=draft.tax.country,
        tax_note=draft.tax.note,
        covers=msgspec.to_builtins(draft.covers),
        credits=draft.credits,
        payment=draft.payment,
        reason=draft.reason,
        issued_at=timezone.now(),
    )
    lines = [
        InvoiceLine(
            tenant_id=account.tenant_id,
            invoice=invoice,
            position=position,
            **msgspec.structs.asdict(line)
            | {"project_id": UUID(line.project_id) if line.project_id else None},
        )
        for position, line in enumerate(draft.lines, 1)
    ]
    return invoice, lines


def issue(account: BillingAccount, seller: Seller, draft: Draft, *, actor: Actor) -> Invoice:
    """In the tenant's scope, of an account that is locked. What it means for the ledger is the caller's to book."""
    invoice, lines = unsaved(account, seller, draft)
    number = take_number(draft.kind, seller.series_prefix, invoice.issued_at)
    invoice.series, invoice.sequence, invoice.number = number.series, number.sequence, number.text
    invoice.issued_at = timezone.now()
    is_asking = draft.kind == InvoiceKind.INVOICE and draft.micros > 0
    invoice.status = InvoiceStatus.OPEN if is_asking else InvoiceStatus.PAID
    if is_asking:
        invoice.due_at = invoice.issued_at + timedelta(days=seller.payment_term_days)
    else:
        invoice.paid_at = invoice.issued_at
    invoice.save(force_insert=True)
    InvoiceLine.objects.bulk_create(lines)
    record(
        "invoice.issued",
        actor=actor,
        object_ref=f"invoice:{invoice.id.hex}",
        details={
            "number": invoice.number,
            "kind": str(draft.kind),
            "currency": invoice.currency,
            "gross_minor": str(invoice.gross_minor),
        },
    )
    publish(
        "invoice.issued",
        account.tenant_id,
        {"invoice": str(invoice.id), "number": invoice.number, "kind": str(draft.kind), "currency": invoice.currency,
         "gross_minor": invoice.gross_minor, "due_at": moment_text(invoice.due_at) if invoice.due_at else ""},
    )  # fmt: skip
    hint_after_commit(MAIL)
    return invoice


def plain_line(kind: str, description: str, amount_minor: int, currency: str) -> NewLine:
    picos = amount_minor * micros_per_minor(currency) * PICOS_PER_MICRO
    return NewLine(kind=kind, description=description, amount_minor=amount_minor, amount_picos=picos)


def buyer_of(account: BillingAccount) -> dict[str, str]:
    """A tenant that said nothing of itself is named as the operator names it."""
    facts = _facts(account, _BUYER)
    facts["legal_name"] = facts["legal_name"] or Tenant.objects.get(id=account.tenant_id).name
    return facts


def derived_id(at_ms: int, *parts: object) -> UUID:
    """A UUIDv7 that is the same for the same parts: what is done twice meets what was done before."""
    digest = blake2b("\x1f".join(map(str, parts)).encode(), digest_size=10).digest()
    bits = int.from_bytes(digest, "big")
    value = (
        (at_ms << 80) | (0x7 << 76) | ((bits >> 62 & 0xFFF) << 64) | (0b10 << 62) | (bits & ((1 << 62) - 1))
    )
    return UUID(int=value)


def _facts(row: Model, names: Sequence[str]) -> dict[str, str]:
    return {name: getattr(row, name) for name in names}
