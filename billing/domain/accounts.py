"""How a tenant pays: by a balance paid before, or by invoices afterwards. A tenant that nobody said anything of gets
invoices."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from billing.domain.currencies import minor_digits
from billing.domain.prices import DEFAULT_CURRENCY
from billing.domain.units import PriceRefused
from billing.enums import AccountState, BillingMode
from billing.models import Balance, BillingAccount
from gdpr.domain.audit import Actor, record
from gdpr.scope import tenant_tx
from tenants.domain.invalidation import announce_after_commit

# What a tenant says of itself; the rest is the operator's.
DETAILS: Final = frozenset({"legal_name", "address", "country", "vat_id", "email"})
TERMS: Final = frozenset({"mode", "currency", "credit_limit_micros", "invoice_threshold_micros"})


class AccountRefused(ValueError):
    """The change makes no sense; `field` is the one at fault."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def find_account(tenant_id: UUID) -> BillingAccount:
    """As it is, or as it would be; within a scope that sees the tenant."""
    found = BillingAccount.objects.filter(tenant_id=tenant_id).first()
    return found or BillingAccount(
        tenant_id=tenant_id, mode=BillingMode.POSTPAID, currency=DEFAULT_CURRENCY, state=AccountState.ACTIVE
    )


def lock_account(tenant_id: UUID) -> BillingAccount:
    """For changes, until the transaction ends. Made if there is none."""
    fresh = find_account(tenant_id)
    BillingAccount.objects.bulk_create([fresh], ignore_conflicts=True)
    return BillingAccount.objects.select_for_update().get(tenant_id=tenant_id)


def change_account(tenant_id: UUID, changes: Mapping[str, Any], *, actor: Actor) -> BillingAccount:
    """Some of DETAILS and TERMS. Raises AccountRefused."""
    with tenant_tx(tenant_id):
        account = lock_account(tenant_id)
        changed = {name: value for name, value in changes.items() if getattr(account, name) != value}
        for name, value in changed.items():
            setattr(account, name, value)
        if account.mode == BillingMode.PREPAID and account.credit_limit_micros not in (None, 0):
            raise AccountRefused("credit_limit_micros", "a credit limit is for who pays afterwards")
        _check(account)
        if not changed:
            return account
        if "mode" in changed:
            _set_floor(account)
        account.save()
        record(
            "billing_account.changed",
            actor=actor,
            object_ref=f"tenant:{tenant_id.hex}",
            details={"fields": sorted(changed)}
            | {name: changed[name] for name in sorted(TERMS & set(changed))},
        )
        announce_after_commit("billing")
        return account


def set_state(account: BillingAccount, state: AccountState, *, actor: Actor, reason: str) -> None:
    """Of one that is locked."""
    if account.state == state:
        return
    before, account.state, account.state_since = account.state, state, timezone.now()
    account.save(update_fields=["state", "state_since"])
    record(
        "billing_account.state_changed",
        actor=actor,
        tenant_id=account.tenant_id,
        object_ref=f"tenant:{account.tenant_id.hex}",
        details={"from": before, "to": state, "reason": reason},
    )
    announce_after_commit("billing")


def _set_floor(account: BillingAccount) -> None:
    is_prepaid = account.mode == BillingMode.PREPAID
    balances = Balance.objects.select_for_update().filter(tenant_id=account.tenant_id)
    if is_prepaid and any(balance.balance_micros < 0 for balance in balances):
        raise AccountRefused("mode", "it owes something; what it owes is paid first, or credited")
    Balance.objects.filter(tenant_id=account.tenant_id).update(floor_micros=0 if is_prepaid else None)


def _check(account: BillingAccount) -> None:
    try:
        minor_digits(account.currency)
    except PriceRefused as refused:
        raise AccountRefused("currency", str(refused)) from None
    if account.country and not re.fullmatch(r"[A-Z]{2}", account.country):
        raise AccountRefused("country", f"a country is two capitals such as NL, not {account.country!r}")
    if account.credit_limit_micros is not None and account.credit_limit_micros < 0:
        raise AccountRefused("credit_limit_micros", "a credit limit is not below zero")
