"""Fees that Stripe takes by subscriptions of its own: rating a month does not ask for them a second time."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

import msgspec

from billing.domain.ledger import CLEARING_STRIPE
from billing.domain.rating import Terms
from billing.enums import TransferKind
from billing.models import LedgerTransfer
from billing.stripe_models import StripeSubscription

OVER = ("canceled", "incomplete", "incomplete_expired")


def without_fees_paid(terms: Terms, tenant_id: UUID, month: date) -> Terms:
    """In a scope of the tenant. The fee still counts towards the minimum, whoever takes it."""
    if not terms.subscription_micros or not _is_taken_by_stripe(tenant_id, month):
        return terms
    left = max(0, terms.minimum_micros - terms.subscription_micros)
    return msgspec.structs.replace(terms, subscription_micros=0, minimum_micros=left)


def _is_taken_by_stripe(tenant_id: UUID, month: date) -> bool:
    """It was paid for in this month; or there is one that is paid for by the year, or late: then Stripe asks again, and
    dunning sees to it."""
    paid = LedgerTransfer.objects.filter(
        tenant_id=tenant_id, month=month, kind=TransferKind.SUBSCRIPTION, debit_account=CLEARING_STRIPE
    )
    following = datetime.combine((month + timedelta(days=31)).replace(day=1), time(), UTC)
    goes_on = StripeSubscription.objects.filter(tenant_id=tenant_id, created_at__lt=following)
    return paid.exists() or goes_on.exclude(status__in=OVER).exists()
