"""Money that came in: what is the tenant's goes to its balance, what is the state's to the account of its taxes.

The same reference of one method is one payment, however often it is reported.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.utils import timezone

from billing.domain import ledger
from billing.domain.accounts import find_account, lock_account
from billing.enums import PaymentMethod, PaymentStatus, TransferKind
from billing.models import Payment
from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx
from tenants.domain.invalidation import announce_after_commit
from tenants.domain.outbox import publish

UNKNOWN_COUNTRY: Final = "XX"


class PaymentRefused(ValueError):
    """It makes no sense."""


def receive_payment(
    tenant_id: UUID,
    *,
    method: PaymentMethod,
    reference: str,
    amount_micros: int,
    currency: str,
    actor: Actor,
    tax_micros: int = 0,
    tax_country: str = "",
    note: str = "",
    is_subscription: bool = False,
) -> tuple[Payment, bool]:
    """The payment, and whether it is booked by this call. What a subscription costs is no money to spend on tasks. Raises
    PaymentRefused when the reference is that of another amount or currency."""
    if not 0 <= tax_micros < amount_micros:
        raise PaymentRefused("a payment is more than its tax, and its tax is not below zero")
    with tenant_tx(tenant_id):
        account = lock_account(tenant_id)  # one payment of a tenant at a time
        known = Payment.objects.filter(method=method, reference=reference).first()
        if known is None:
            known = Payment(
                tenant_id=tenant_id, method=method, reference=reference, amount_micros=amount_micros,
                tax_micros=tax_micros, currency=currency, note=note,
            )  # fmt: skip
        elif (known.amount_micros, known.currency) != (amount_micros, currency):
            raise PaymentRefused(f"{reference} is a payment of another amount")
        elif known.status not in (PaymentStatus.PENDING, PaymentStatus.FAILED):
            return known, False
        known.status, known.paid_at = PaymentStatus.SUCCEEDED, timezone.now()
        if known.tax_micros:
            known.tax_country = tax_country or account.country or UNKNOWN_COUNTRY
        known.save()
        source = clearing_of(method)
        kind, to = TransferKind.PAYMENT, ledger.tenant_account(tenant_id)
        if is_subscription:
            kind, to = TransferKind.SUBSCRIPTION, ledger.REVENUE_SUBSCRIPTION
        ledger.post(
            tenant_id,
            currency,
            [
                ledger.Transfer(
                    kind=kind, debit=source, credit=to, amount_micros=amount_micros - known.tax_micros
                ),
                ledger.Transfer(
                    kind=TransferKind.TAX, debit=source, credit=ledger.tax_account(known.tax_country),
                    amount_micros=known.tax_micros,
                ),
            ],
        )  # fmt: skip
        record(
            "payment.received",
            actor=actor,
            object_ref=f"payment:{known.id.hex}",
            details={"amount_micros": str(amount_micros), "currency": currency, "method": str(method)},
        )
        publish(
            "payment.received",
            tenant_id,
            {
                "payment": str(known.id),
                "method": str(method),
                "currency": currency,
                "amount_micros": amount_micros,
            },
        )
        announce_after_commit("billing")
        return known, True


def give_credit(
    tenant_id: UUID, amount_micros: int, *, reason: str, actor: Actor, currency: str = ""
) -> UUID:
    """Of the operator, to the balance. Gives back the transaction of the ledger. Raises PaymentRefused."""
    if amount_micros <= 0:
        raise PaymentRefused("a credit is more than zero")
    with tenant_tx(tenant_id):
        currency = currency or find_account(tenant_id).currency
        transaction_id = ledger.post(
            tenant_id,
            currency,
            [
                ledger.Transfer(
                    kind=TransferKind.CREDIT, debit=ledger.CREDITS, credit=ledger.tenant_account(tenant_id),
                    amount_micros=amount_micros,
                )
            ],
        )  # fmt: skip
        record(
            "credit.given",
            actor=actor,
            object_ref=f"ledger:{transaction_id.hex}",
            details={"amount_micros": str(amount_micros), "currency": currency},
            private={"reason": {"reason": reason}},
        )
        announce_after_commit("billing")
        return transaction_id


def clearing_of(method: PaymentMethod) -> str:
    return ledger.CLEARING_STRIPE if method == PaymentMethod.STRIPE else ledger.CLEARING_BANK
