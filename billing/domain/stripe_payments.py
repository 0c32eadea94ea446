"""A payment at Stripe becomes one in our books, once, whoever tells of it first."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.conf import settings

from billing.domain import auto_recharge, ledger
from billing.domain.accounts import find_account
from billing.domain.connect import fee_of
from billing.domain.receipts import SUBSCRIPTION_NOTE, take, tax_in
from billing.domain.reversals import SHARED_NOTE
from billing.domain.sellers import SellerIncomplete, find_seller, tell_incomplete
from billing.domain.stripe_money import to_micros
from billing.domain.stripe_outbox import STRIPE
from billing.enums import BillingMode, PaymentMethod, TransferKind
from billing.models import Payment
from billing.stripe_models import StripeCustomer
from billing.stripe_types import Paid
from gdpr.scope import colony_tx, tenant_tx

SUCCEEDED: Final = "succeeded"


def book_payment(paid: Paid) -> Payment | None:
    """None when it is nobody's here, or did not succeed. In the transaction of what told of it. Raises PaymentRefused."""
    tenant_id = tenant_of(paid.customer_id)
    if tenant_id is None:
        return None
    with tenant_tx(tenant_id):
        if paid.status != SUCCEEDED or not paid.amount:
            auto_recharge.note_outcome(tenant_id, paid)
            return None
        basis_points = int(paid.metadata.get("rbee_shared", "-1"))
        note = SUBSCRIPTION_NOTE if paid.subscription_id else ""
        payment, is_new = take(
            tenant_id,
            method=PaymentMethod.STRIPE,
            reference=paid.reference,
            amount_micros=to_micros(paid.amount, paid.currency),
            tax=_tax_of(tenant_id, paid),
            currency=paid.currency,
            actor=STRIPE,
            note=f"{SHARED_NOTE}{basis_points}" if basis_points >= 0 else note,
        )
        if is_new and basis_points >= 0:
            _share(payment, basis_points)
        if paid.payment_method_id:
            StripeCustomer.objects.filter(tenant_id=tenant_id).update(
                payment_method_id=paid.payment_method_id
            )
        auto_recharge.note_outcome(tenant_id, paid)
        return payment


def tenant_of(customer_id: str) -> UUID | None:
    if not customer_id:
        return None
    with colony_tx("whose customer at Stripe it is"):
        return (
            StripeCustomer.objects.filter(customer_id=customer_id).values_list("tenant_id", flat=True).first()
        )


def _tax_of(tenant_id: UUID, paid: Paid) -> tuple[int, str]:
    """What of it is tax, and of which country: what Stripe worked out, or rbee where Stripe is not asked to. Who pays
    afterwards finds the tax on its invoices, but for subscriptions. Money that came is booked whatever is missing."""
    account = find_account(tenant_id)
    if paid.tax or settings.RBEE.stripe_tax:
        return to_micros(paid.tax, paid.currency), account.country or find_seller().country
    if account.mode == BillingMode.POSTPAID and not paid.subscription_id:
        return 0, ""
    try:
        return tax_in(tenant_id, to_micros(paid.amount, paid.currency), paid.currency)
    except SellerIncomplete as incomplete:
        tell_incomplete(incomplete)
        return 0, ""


def _share(payment: Payment, basis_points: int) -> None:
    """Stripe has given the seller its part: what is sold for others is no revenue of the platform, the fee is."""
    fee = fee_of(payment.amount_micros, basis_points)
    ledger.post(
        payment.tenant_id,
        payment.currency,
        [
            ledger.Transfer(
                kind=TransferKind.PLATFORM_FEE,
                debit=ledger.REVENUE_USAGE,
                credit=credit,
                amount_micros=amount,
            )
            for credit, amount in (
                (ledger.PLATFORM_FEE, fee),
                (ledger.CLEARING_STRIPE, payment.amount_micros - fee),
            )
        ],
    )
