"""A payment at Stripe becomes one in our books, once, whoever tells of it first."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from billing.domain import auto_recharge, ledger
from billing.domain.connect import fee_of
from billing.domain.payments import receive_payment
from billing.domain.reversals import SHARED_NOTE, SUBSCRIPTION_NOTE
from billing.domain.stripe_money import to_micros
from billing.domain.stripe_outbox import STRIPE
from billing.enums import PaymentMethod, TransferKind
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
        payment, is_new = receive_payment(
            tenant_id,
            method=PaymentMethod.STRIPE,
            reference=paid.reference,
            amount_micros=to_micros(paid.amount, paid.currency),
            tax_micros=to_micros(paid.tax, paid.currency),
            currency=paid.currency,
            actor=STRIPE,
            note=f"{SHARED_NOTE}{basis_points}" if basis_points >= 0 else note,
        )
        if is_new and paid.subscription_id:
            _sell_subscription(payment)
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


def _sell_subscription(payment: Payment) -> None:
    """What a subscription costs is no money to spend on tasks."""
    ledger.post(
        payment.tenant_id,
        payment.currency,
        [
            ledger.Transfer(
                kind=TransferKind.SUBSCRIPTION,
                debit=ledger.tenant_account(payment.tenant_id),
                credit=ledger.REVENUE_SUBSCRIPTION,
                amount_micros=payment.amount_micros - payment.tax_micros,
            )
        ],
    )


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
