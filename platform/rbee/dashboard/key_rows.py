"""Keys as pages show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.utils import timezone

from billing.domain.accounts import find_account
from billing.domain.key_spending import spent_by_keys
from gdpr.scope import tenant_tx
from tenants.domain.authentication import Caller
from tenants.domain.key_expiry import TOLD_BEFORE
from tenants.domain.keys import budget_of
from tenants.models import ApiKey

MICROS: Final = 1_000_000


@dataclass(frozen=True)
class Budget:
    """Of one period. `limit` is None where nothing is set."""

    period: str
    spent_micros: int
    limit_micros: int | None
    currency: str

    @property
    def spent(self) -> str:
        return money(self.spent_micros, self.currency)

    @property
    def limit(self) -> str:
        return "" if self.limit_micros is None else money(self.limit_micros, self.currency)

    @property
    def percent(self) -> int:
        """Nothing is left of a budget of nothing."""
        limit = self.limit_micros or 0
        return min(100, self.spent_micros * 100 // limit) if limit else 100


@dataclass(frozen=True)
class Row:
    key: ApiKey
    budgets: list[Budget]

    @property
    def status(self) -> str:
        if self.key.revoked_at is not None:
            return self.key.revoked_for if self.key.revoked_for == "leaked" else "revoked"
        return "active" if self.key.is_usable() else "expired"

    @property
    def is_usable(self) -> bool:
        return self.key.is_usable()

    @property
    def expires_soon(self) -> bool:
        at = self.key.expires_at
        return self.is_usable and at is not None and at - timezone.now() < TOLD_BEFORE

    @property
    def has_old_value(self) -> bool:
        """One that is still good."""
        key = self.key
        return bool(key.old_kid and key.old_until and key.old_until > timezone.now() and self.is_usable)


def rows_of(caller: Caller, keys: Sequence[ApiKey]) -> list[Row]:
    with tenant_tx(caller.tenant_id):
        currency = currency_of(caller)
        spent = spent_by_keys(caller.tenant_id, [key.id for key in keys])
    rows = []
    for key in keys:
        budget = budget_of(key)
        of_key = [
            Budget(period, getattr(spent[key.id], period), budget[period], currency)
            for period in ("day", "month")
            if period == "month" or budget[period] is not None
        ]
        rows.append(Row(key, of_key))
    return rows


def currency_of(caller: Caller) -> str:
    with tenant_tx(caller.tenant_id):
        return find_account(UUID(caller.tenant_id)).currency


def money(micros: int, currency: str) -> str:
    """Cents at least, and more where there is more to tell: `0.10 EUR`, `0.000125 EUR`."""
    amount = Decimal(micros) / MICROS
    text = f"{amount:.2f}" if amount == amount.quantize(Decimal("0.01")) else f"{amount:.6f}".rstrip("0")
    return f"{text} {currency}"


def lasting(time: timedelta) -> str:
    hours = int(time.total_seconds()) // 3600
    if hours >= 48:
        return f"{hours // 24} days"
    return "1 day" if hours == 24 else f"{hours} hours" if hours != 1 else "1 hour"
