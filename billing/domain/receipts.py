"""Money of a tenant, and the paper that belongs to it: who pays before gets a receipt with the tax in it, who pays
afterwards has invoices paid by it, the oldest first; what is left over pays the next one."""

from __future__ import annotations

import logging
from typing import Final
from uuid import UUID

import msgspec
from django.db.models import Q

from billing.domain.accounts import find_account, lock_account
from billing.domain.credit_notes import note_reversals
from billing.domain.invoice_funds import apply_funds
from billing.domain.issuing import SYSTEM, Draft, issue, plain_line, tax_of_account
from billing.domain.money import divided, micros_per_minor, without_tax
from billing.domain.payments import PaymentRefused, give_credit, receive_payment
from billing.domain.sellers import SellerIncomplete, find_seller, require_seller, tell_incomplete
from billing.domain.tax import Tax
from billing.enums import BillingMode, InvoiceKind, PaymentMethod, PaymentStatus, TaxCategory
from billing.models import Invoice, Payment
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx, tenant_tx

# Of a payment by Stripe for a subscription, whose money is nobody's to spend.
SUBSCRIPTION_NOTE: Final = "subscription"
CAME: Final = (PaymentStatus.SUCCEEDED, PaymentStatus.REFUNDED, PaymentStatus.DISPUTED)

logger = logging.getLogger(__name__)


def pay(
    tenant_id: UUID,
    *,
    method: PaymentMethod,
    reference: str,
    amount_micros: int,
    actor: Actor,
    currency: str = "",
    note: str = "",
) -> tuple[Payment, bool]:
    """All that follows from money that came, in one transaction. The payment, and whether it is booked by this call.
    Raises PaymentRefused, SellerIncomplete."""
    with tenant_tx(tenant_id):
        account = lock_account(tenant_id)
        currency = currency or account.currency
        if amount_micros % micros_per_minor(currency):
            raise PaymentRefused(f"there is no coin of {currency} for the last digits of this amount")
        tax = _tax_within(account.mode, tenant_id, amount_micros, currency)
        return take(
            tenant_id,
            method=method,
            reference=reference,
            amount_micros=amount_micros,
            tax=tax,
            currency=currency,
            note=note,
            actor=actor,
        )


def take(
    tenant_id: UUID,
    *,
    method: PaymentMethod,
    reference: str,
    amount_micros: int,
    tax: tuple[int, str],
    currency: str,
    actor: Actor,
    note: str = "",
) -> tuple[Payment, bool]:
    """The same for money of which it is known what is tax, and whose. Its receipt waits for a seller who is not complete:
    the money is there all the same. Raises PaymentRefused."""
    with tenant_tx(tenant_id):
        account = lock_account(tenant_id)
        payment, is_new = receive_payment(
            tenant_id,
            method=method,
            reference=reference,
            amount_micros=amount_micros,
            tax_micros=tax[0],
            tax_country=tax[1],
            currency=currency,
            note=note,
            actor=actor,
            is_subscription=_is_subscription(method, note),
        )
        if account.mode == BillingMode.PREPAID or payment.tax_micros or is_of_subscription(payment):
            try:
                issue_receipt(payment, actor=actor)
            except SellerIncomplete as incomplete:
                tell_incomplete(incomplete)
        apply_funds(account, currency, actor=actor)
        return payment, is_new


def is_of_subscription(payment: Payment) -> bool:
    return _is_subscription(payment.method, payment.note)


def _is_subscription(method: str, note: str) -> bool:
    """A note of a transfer by the bank may be any text."""
    return method == PaymentMethod.STRIPE and note == SUBSCRIPTION_NOTE


def credit(tenant_id: UUID, amount_micros: int, *, reason: str, actor: Actor) -> UUID:
    """A gift of the operator. It pays what is open, too. Raises PaymentRefused."""
    with tenant_tx(tenant_id):
        account = lock_account(tenant_id)
        transaction_id = give_credit(tenant_id, amount_micros, reason=reason, actor=actor)
        apply_funds(account, account.currency, actor=actor)
        return transaction_id


def issue_receipt(payment: Payment, *, actor: Actor = SYSTEM) -> Invoice:
    """Of a payment that came, once. Its tax is what was booked with it. Raises SellerIncomplete."""
    with tenant_tx(payment.tenant_id):
        account = lock_account(payment.tenant_id)
        known = Invoice.objects.filter(payment=payment, kind=InvoiceKind.RECEIPT).first()
        if known is not None:
            return known
        seller, per_minor = require_seller(), micros_per_minor(payment.currency)
        gross, tax_minor = payment.amount_micros // per_minor, divided(payment.tax_micros, per_minor)
        tax = tax_of_account(seller, account)
        if bool(tax.rate_bp) != bool(tax_minor):  # booked before the account or the seller said otherwise
            tax = Tax(TaxCategory.STANDARD, _rate_of(gross - tax_minor, tax_minor))
        if payment.tax_country:
            tax = msgspec.structs.replace(tax, country=payment.tax_country)
        kind, what = "top_up", "Payment in advance for services by API"
        if is_of_subscription(payment):
            kind, what = "subscription", "Subscription to services by API"
        draft = Draft(
            kind=InvoiceKind.RECEIPT,
            currency=payment.currency,
            tax=tax,
            tax_minor=tax_minor,
            lines=[plain_line(kind, what, gross - tax_minor, payment.currency)],
            payment=payment,
            asked_micros=0,
        )
        return issue(account, seller, draft, actor=actor)


def issue_missing_receipts() -> int:
    """Of payments that came while it could not be, as after the seller was not complete. How many there are."""
    if not find_seller().legal_name:
        return 0
    with colony_tx("payments without a receipt"):
        of_subscription = Q(method=PaymentMethod.STRIPE, note=SUBSCRIPTION_NOTE)
        has_one = of_subscription | Q(tax_micros__gt=0) | Q(tenant__billingaccount__mode=BillingMode.PREPAID)
        missing = list(Payment.objects.filter(has_one, status__in=CAME, invoice=None))
    try:
        for payment in missing:
            with tenant_tx(payment.tenant_id):
                issue_receipt(payment)
                note_reversals(lock_account(payment.tenant_id), payment, actor=SYSTEM)
        return len(missing)
    except SellerIncomplete as incomplete:
        logger.warning("payments wait for their receipts: %s", incomplete)
        return 0


def tax_in(tenant_id: UUID, amount_micros: int, currency: str) -> tuple[int, str]:
    """What of a payment in advance is tax, and of which country; in a scope. Raises SellerIncomplete."""
    tax = tax_of_account(require_seller(), find_account(tenant_id))
    per_minor = micros_per_minor(currency)
    gross = amount_micros // per_minor
    return (gross - without_tax(gross, tax.rate_bp)) * per_minor, tax.country


def _tax_within(mode: str, tenant_id: UUID, amount_micros: int, currency: str) -> tuple[int, str]:
    return tax_in(tenant_id, amount_micros, currency) if mode == BillingMode.PREPAID else (0, "")


def _rate_of(net: int, tax: int) -> int:
    return divided(tax * 10_000, net) if net else 0
