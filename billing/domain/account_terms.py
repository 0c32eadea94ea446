"""What a tenant's account says, changed with all that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from billing.domain.accounts import AccountRefused, change_account, lock_account
from billing.domain.invoices import invoice_so_far
from billing.domain.vat_ids import CHECK, compact
from billing.models import BillingAccount
from gdpr.chores import hint_after_commit
from gdpr.domain.audit import Actor
from gdpr.scope import tenant_tx


def change_terms(tenant_id: UUID, changes: Mapping[str, Any], *, actor: Actor) -> BillingAccount:
    """What was used until a tenant pays in another way is stated in the old one. A VAT id is looked up anew when it or its
    country changes. Raises AccountRefused, SellerIncomplete."""
    with tenant_tx(tenant_id):
        account, changes = lock_account(tenant_id), dict(changes)
        if changes.get("mode", account.mode) != account.mode:
            invoice_so_far(tenant_id, actor=actor)
        country, vat_id = (changes.get(name, getattr(account, name)) for name in ("country", "vat_id"))
        if vat_id and (country, vat_id) != (account.country, account.vat_id):
            changes["vat_id"] = _checked(vat_id, country)
            changes |= {"vat_is_valid": None, "vat_checked_at": None}
            hint_after_commit(CHECK)
        return change_account(tenant_id, changes, actor=actor)


def _checked(vat_id: str, country: str) -> str:
    if not country:
        raise AccountRefused("country", "a VAT id is of a country: say which")
    try:
        return compact(vat_id, country)
    except ValueError as error:
        raise AccountRefused("vat_id", str(error)) from None
