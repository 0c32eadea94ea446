"""What becomes of an account that does not pay. Its state follows from what is open, so paying is all that it takes:

active -> past_due (a warning, and seven days of grace) -> restricted -> suspended. Data is never deleted.

An open dispute restricts at once, and a lost one until the operator closes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Min, Q
from django.utils import timezone

from billing.domain.accounts import lock_account, set_state
from billing.enums import AccountState, InvoiceKind, InvoiceStatus, ReversalKind, ReversalState
from billing.models import BillingAccount, Invoice
from billing.stripe_models import Reversal, StripeSubscription
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.alerts import raise_alert
from tenants.domain.outbox import publish

GRACE: Final = timedelta(days=7)
RESTRICTED_FOR: Final = timedelta(days=14)
DUNNING: Final = Actor.system("dunning")

Overdue = Mapping[UUID, datetime]  # since when, by tenant


def overdue_subscriptions(now: datetime) -> Overdue:
    """In colony_tx."""
    rows = StripeSubscription.objects.exclude(past_due_since=None).values_list("tenant_id", "past_due_since")
    found: dict[UUID, datetime] = {}
    for tenant_id, since in rows:
        if since is not None:
            found[tenant_id] = min(since, found.get(tenant_id, since))
    return found


def overdue_invoices(now: datetime) -> Overdue:
    """In colony_tx."""
    late = Invoice.objects.filter(kind=InvoiceKind.INVOICE, status=InvoiceStatus.OPEN, due_at__lte=now)
    return dict(late.order_by().values_list("tenant_id").annotate(Min("due_at")))


# Each says what is overdue, within colony_tx.
SOURCES: list[Callable[[datetime], Overdue]] = [overdue_subscriptions, overdue_invoices]


def run_dunning(now: datetime | None = None) -> int:
    """Returns how many accounts changed."""
    now = now or timezone.now()
    with colony_tx("accounts that owe something"):
        overdue = _earliest(now)
        disputed = _disputed()
        troubled = BillingAccount.objects.exclude(state=AccountState.ACTIVE).values_list(
            "tenant_id", flat=True
        )
        tenants = {*overdue, *disputed, *troubled}
    return sum(
        _see_to(tenant_id, overdue.get(tenant_id), tenant_id in disputed, now)
        for tenant_id in sorted(tenants)
    )


def state_of(since: datetime | None, *, is_disputed: bool, now: datetime) -> AccountState:
    late = now - since if since else None
    if late is not None and late >= GRACE + RESTRICTED_FOR:
        return AccountState.SUSPENDED
    if is_disputed or (late is not None and late >= GRACE):
        return AccountState.RESTRICTED
    return AccountState.PAST_DUE if late is not None else AccountState.ACTIVE


def _earliest(now: datetime) -> dict[UUID, datetime]:
    found: dict[UUID, datetime] = {}
    for source in SOURCES:
        for tenant_id, since in source(now).items():
            if since <= now:
                found[tenant_id] = min(since, found.get(tenant_id, since))
    return found


def _disputed() -> set[UUID]:
    is_open = Q(state=ReversalState.PENDING) | Q(state=ReversalState.SUCCEEDED, is_closed=False)
    rows = Reversal.objects.filter(is_open, kind=ReversalKind.DISPUTE)
    return set(rows.values_list("tenant_id", flat=True))


def _see_to(tenant_id: UUID, since: datetime | None, is_disputed: bool, now: datetime) -> bool:
    state = state_of(since, is_disputed=is_disputed, now=now)
    with tenant_tx(tenant_id):
        account = lock_account(tenant_id)
        before = account.state
        if before == state:
            return False
        reason = "dispute" if is_disputed else "overdue" if since else "paid"
        set_state(account, state, actor=DUNNING, reason=reason)
        publish("billing.state_changed", tenant_id, {"state": str(state), "from": str(before)})
        if state != AccountState.ACTIVE:
            raise_alert(
                tenant_id=tenant_id,
                kind=f"account_{state}",
                object_ref=f"tenant:{tenant_id.hex}",
                message=MESSAGES[state],
            )
        return True


MESSAGES: Final[Mapping[AccountState, str]] = {
    AccountState.PAST_DUE: "A payment is overdue. Please pay within seven days; everything works until then.",
    AccountState.RESTRICTED: "A payment is overdue or disputed. What may be used is restricted until it is settled.",
    AccountState.SUSPENDED: "A payment is long overdue. Nothing is served until it is paid; no data is deleted.",
}
