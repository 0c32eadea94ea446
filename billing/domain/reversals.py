"""Money that goes back to who paid: refunds, and disputes. What was paid as tax goes back in the same part, by a credit note
where there was a receipt; an invoice that it had paid is open again.

A tenant that paid before gives what it still has; the rest is the operator's loss (`disputes`), and its balance is never
below zero. One that pays afterwards owes it.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from django.db.models import Sum

from billing.domain import ledger
from billing.domain.accounts import lock_account
from billing.domain.credit_notes import note_reversals
from billing.domain.invoice_funds import apply_funds
from billing.domain.money import micros_per_minor
from billing.domain.payments import UNKNOWN_COUNTRY, PaymentRefused, clearing_of
from billing.domain.receipts import is_of_subscription
from billing.domain.sellers import SellerIncomplete, tell_incomplete
from billing.domain.stripe_money import to_micros, to_minor
from billing.domain.stripe_outbox import STRIPE, ask_later
from billing.enums import PaymentMethod, PaymentStatus, ReversalKind, ReversalState, TransferKind
from billing.models import Balance, BillingAccount, Payment
from billing.stripe_models import Reversal
from billing.stripe_types import Disputed, Refunded
from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx
from tenants.domain.invalidation import announce_after_commit

SHARED_NOTE: Final = "shared:"  # and the platform's basis points
LOST, WON = "lost", ("won", "warning_closed", "prevented")
INQUIRY: Final = "warning_"  # asks, and takes no money


def refund_payment(payment: Payment, amount_micros: int | None, *, reason: str, actor: Actor) -> Reversal:
    """A part, or what is left of it when no amount is given. Raises PaymentRefused."""
    with tenant_tx(payment.tenant_id):
        account = lock_account(payment.tenant_id)
        payment = Payment.objects.select_for_update().get(id=payment.id)
        if payment.status != PaymentStatus.SUCCEEDED:
            raise PaymentRefused(f"A payment that is {payment.status} cannot be refunded.")
        left = payment.amount_micros - payment.refunded_micros
        amount = left if amount_micros is None else amount_micros
        if not 0 < amount <= left:
            raise PaymentRefused(f"Of this payment {left} micro-units are left to refund.")
        if amount % micros_per_minor(payment.currency):
            raise PaymentRefused(
                f"There is no coin of {payment.currency} for the last digits of this amount."
            )
        reversal = _take(account, payment, amount, ReversalKind.REFUND, reason=reason)
        if reversal.lost_micros:
            have = amount - reversal.tax_micros - reversal.lost_micros
            raise PaymentRefused(f"The rest is used: its balance has {have} micro-units to give back.")
        if payment.method == PaymentMethod.STRIPE:
            body = {
                "reversal": str(reversal.id),
                "payment": payment.reference,
                "amount": to_minor(amount, payment.currency),
                "is_shared": _is_shared(payment),
            }
            ask_later(payment.tenant_id, "refund", f"refund:{reversal.id.hex}", body)
        else:  # by hand, and done when it is said
            reversal.state = ReversalState.SUCCEEDED
            reversal.save(update_fields=["state"])
            _note(account, payment, actor)
        record(
            "payment.refunded",
            actor=actor,
            object_ref=f"payment:{payment.id.hex}",
            details={"reversal": reversal.id.hex, "amount_micros": str(amount)},
        )
        return reversal


def match_refunds(payment: Payment, refunds: list[Refunded]) -> None:
    """As they are at Stripe. One that was made there is booked here, once."""
    account = lock_account(payment.tenant_id)
    payment = Payment.objects.select_for_update().get(id=payment.id)
    for refunded in sorted(refunds, key=lambda one: one.id):
        reversal = _known(refunded)
        if reversal is None:
            if refunded.status in ("failed", "canceled"):
                continue
            amount = to_micros(refunded.amount, refunded.currency)
            reversal = _take(
                account, payment, amount, ReversalKind.REFUND, reference=refunded.id, reason="made at Stripe"
            )
        settle_refund(account, reversal, refunded)


def settle_refund(account: BillingAccount, reversal: Reversal, refunded: Refunded) -> None:
    reversal.reference = reversal.reference or refunded.id
    if refunded.status in ("failed", "canceled"):
        _give_back(account, reversal)
    elif refunded.status == "succeeded" and reversal.state == ReversalState.PENDING:
        reversal.state = ReversalState.SUCCEEDED
    reversal.save()
    _note(account, reversal.payment)


def fail_refund(reversal_id: UUID) -> None:
    """Stripe says no: the money is the tenant's again."""
    reversal = Reversal.objects.get(id=reversal_id)
    account = lock_account(reversal.tenant_id)
    _give_back(account, Reversal.objects.select_for_update().get(id=reversal_id))


def match_dispute(payment: Payment, disputed: Disputed) -> None:
    """Its end is its end: what was said before and comes later changes nothing."""
    account = lock_account(payment.tenant_id)
    payment = Payment.objects.select_for_update().get(id=payment.id)
    reversal = Reversal.objects.filter(reference=disputed.id).first()
    if reversal is None:
        if disputed.status.startswith(INQUIRY) or disputed.status in WON:
            return
        amount = to_micros(disputed.amount, disputed.currency)
        left = payment.amount_micros - payment.refunded_micros
        if left <= 0:
            return
        reversal = _take(
            account,
            payment,
            min(amount, left),
            ReversalKind.DISPUTE,
            reference=disputed.id,
            reason=disputed.reason,
        )
        Payment.objects.filter(id=payment.id).update(status=PaymentStatus.DISPUTED)
    if reversal.state != ReversalState.PENDING:
        return
    if disputed.status in WON:
        _give_back(account, reversal)
    elif disputed.status == LOST:
        reversal.state = ReversalState.SUCCEEDED
        reversal.save(update_fields=["state"])
        _note(account, payment)


def close_dispute(reversal: Reversal, *, actor: Actor) -> Reversal:
    """Of the operator: a lost one restricts the account no more."""
    with tenant_tx(reversal.tenant_id):
        reversal = Reversal.objects.select_for_update().get(id=reversal.id)
        if reversal.kind != ReversalKind.DISPUTE or reversal.state == ReversalState.PENDING:
            raise PaymentRefused("Only a dispute that is over can be closed.")
        reversal.is_closed = True
        reversal.save(update_fields=["is_closed"])
        record("dispute.closed", actor=actor, object_ref=f"reversal:{reversal.id.hex}")
        return reversal


def _known(refunded: Refunded) -> Reversal | None:
    known = Reversal.objects.filter(reference=refunded.id).first()
    ours = refunded.metadata.get("rbee_reversal", "")
    if known is None and ours:
        known = Reversal.objects.filter(id=UUID(ours), kind=ReversalKind.REFUND).first()
    return known


def _take(
    account: BillingAccount,
    payment: Payment,
    amount_micros: int,
    kind: ReversalKind,
    *,
    reference: str | None = None,
    reason: str = "",
) -> Reversal:
    """From the tenant, as far as it has it. `account` and `payment` are locked."""
    tax = _tax_part(payment, amount_micros)
    net = amount_micros - tax
    source = _source(payment)
    lost = max(0, net - _available(payment)) if source == ledger.tenant_account(payment.tenant_id) else 0
    reversal = Reversal.objects.create(
        tenant_id=payment.tenant_id, payment=payment, kind=kind, reference=reference, amount_micros=amount_micros,
        tax_micros=tax, lost_micros=lost, currency=payment.currency, reason=reason[:200],
    )  # fmt: skip
    _book(account, payment, reversal, is_back=False)
    payment.refunded_micros += amount_micros
    if payment.refunded_micros == payment.amount_micros and kind == ReversalKind.REFUND:
        payment.status = PaymentStatus.REFUNDED
    payment.save(update_fields=["refunded_micros", "status"])
    return reversal


def _give_back(account: BillingAccount, reversal: Reversal) -> None:
    if reversal.state == ReversalState.FAILED:
        return
    payment = Payment.objects.select_for_update().get(id=reversal.payment_id)
    _book(account, payment, reversal, is_back=True)
    payment.refunded_micros -= reversal.amount_micros
    payment.status = PaymentStatus.SUCCEEDED
    payment.save(update_fields=["refunded_micros", "status"])
    reversal.state = ReversalState.FAILED
    reversal.save()


def _book(account: BillingAccount, payment: Payment, reversal: Reversal, *, is_back: bool) -> None:
    kind = TransferKind.REFUND if reversal.kind == ReversalKind.REFUND else TransferKind.DISPUTE
    clearing = clearing_of(PaymentMethod(payment.method))
    net = reversal.amount_micros - reversal.tax_micros - reversal.lost_micros
    parts = [
        (_source(payment), clearing, net),
        (ledger.DISPUTES, clearing, reversal.lost_micros),
        (ledger.tax_account(payment.tax_country or UNKNOWN_COUNTRY), clearing, reversal.tax_micros),
        *_shares(payment, reversal, clearing),
    ]
    ledger.post(
        payment.tenant_id,
        payment.currency,
        [
            ledger.Transfer(
                kind=kind, debit=credit if is_back else debit, credit=debit if is_back else credit, amount_micros=amount
            )
            for debit, credit, amount in parts
        ],
    )  # fmt: skip
    record(
        "reversal.given_back" if is_back else "reversal.taken",
        actor=STRIPE,
        tenant_id=payment.tenant_id,
        object_ref=f"reversal:{reversal.id.hex}",
        details={"kind": str(reversal.kind), "amount_micros": str(reversal.amount_micros),
                 "lost_micros": str(reversal.lost_micros)},
    )  # fmt: skip
    apply_funds(account, payment.currency, actor=STRIPE)
    announce_after_commit("billing")


def _note(account: BillingAccount, payment: Payment, actor: Actor = STRIPE) -> None:
    """What became of the money is booked, whoever is missing on a paper."""
    try:
        note_reversals(account, payment, actor=actor)
    except SellerIncomplete as incomplete:
        tell_incomplete(incomplete)


def _is_shared(payment: Payment) -> bool:
    return payment.method == PaymentMethod.STRIPE and payment.note.startswith(SHARED_NOTE)


def _shares(payment: Payment, reversal: Reversal, clearing: str) -> list[tuple[str, str, int]]:
    """Of a refund of ours, what was booked when it was shared, the other way. Of a dispute the platform bears it."""
    if not _is_shared(payment) or reversal.kind != ReversalKind.REFUND:
        return []
    fee = reversal.amount_micros * int(payment.note.removeprefix(SHARED_NOTE)) // 10_000
    rest = reversal.amount_micros - fee
    return [(ledger.PLATFORM_FEE, ledger.REVENUE_USAGE, fee), (clearing, ledger.REVENUE_USAGE, rest)]


def _source(payment: Payment) -> str:
    if is_of_subscription(payment):
        return ledger.REVENUE_SUBSCRIPTION
    return ledger.tenant_account(payment.tenant_id)


def _available(payment: Payment) -> int:
    """What it can give: no limit for who pays afterwards."""
    balance = Balance.objects.select_for_update().filter(
        tenant_id=payment.tenant_id, currency=payment.currency
    ).first()  # fmt: skip
    if balance is None or balance.floor_micros is None:
        return payment.amount_micros
    return max(0, balance.balance_micros - balance.floor_micros)


def _tax_part(payment: Payment, amount_micros: int) -> int:
    """In whole coins, as a credit note has it, and so that all parts together are the whole tax."""
    if not payment.tax_micros:
        return 0
    taken = Reversal.objects.filter(payment=payment).exclude(state=ReversalState.FAILED)
    before = taken.aggregate(total=Sum("tax_micros"))["total"] or 0
    whole, coin = payment.refunded_micros + amount_micros, micros_per_minor(payment.currency)
    tax = payment.tax_micros
    if whole < payment.amount_micros:
        tax = tax * whole // payment.amount_micros // coin * coin
    return max(0, min(amount_micros, tax - before))
