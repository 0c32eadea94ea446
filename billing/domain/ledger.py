"""The ledger's accounts, and how what is not a task's settlement is booked.

A transfer is balanced by its shape: an amount from one account to another, so each transaction sums to zero in each
currency. Nothing is changed or removed; what was wrong gets a transfer the other way. What a tenant has is a projection
that the database keeps (`billing.models.Balance`).

    tenant:HEX       what a tenant has (credits) and used (debits); of one who pays in arrears it is negative
    reserved:HEX     of that, what lies in budget slices
    revenue:…        usage, subscriptions, and what a period comes to beside its tasks
    tax:CC           owed to the state of a country
    clearing:…       what came by Stripe or the bank
    credits          given away by the operator
    rounding         between micro-units and the cents of an invoice
    fee:platform     the managed platform's share
    late_usage       used beyond what was held: the operator's, never the tenant's
    disputes         taken back by a payer, after it was used
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Final
from uuid import UUID

import msgspec
from django.db import IntegrityError, connection, transaction
from psycopg import errors

from billing.enums import TransferKind
from billing.models import LedgerTransfer
from gdpr.ids import month_of, uuid7

REVENUE_USAGE: Final = "revenue:usage"
REVENUE_SUBSCRIPTION: Final = "revenue:subscription"
REVENUE_RATING: Final = "revenue:rating"
CLEARING_STRIPE: Final = "clearing:stripe"
CLEARING_BANK: Final = "clearing:bank"
CREDITS: Final = "credits"
ROUNDING: Final = "rounding"
PLATFORM_FEE: Final = "fee:platform"
LATE_USAGE: Final = "late_usage"
DISPUTES: Final = "disputes"


class InsufficientBalance(Exception):
    """It would take more than a prepaid tenant has. Nothing is booked."""


class AlreadyBooked(Exception):
    """There is a transfer of that id."""


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """`id`: of one that may be asked for twice, a deterministic UUIDv7; else left out."""

    kind: TransferKind
    debit: str
    credit: str
    amount_micros: int
    id: UUID | None = None


def tenant_account(tenant_id: UUID) -> str:
    return f"tenant:{tenant_id.hex}"


def reserved_account(tenant_id: UUID) -> str:
    return f"reserved:{tenant_id.hex}"


def tax_account(country: str) -> str:
    return f"tax:{country}"


def post(tenant_id: UUID, currency: str, transfers: Sequence[Transfer]) -> UUID:
    """All of them or none, as one transaction of the ledger, whose id it gives back; within `tenant_tx` or `colony_tx`.
    Transfers of nothing are left out. Raises InsufficientBalance, AlreadyBooked, ValueError for an amount below zero."""
    if any(transfer.amount_micros < 0 for transfer in transfers):
        raise ValueError("an amount below zero is a transfer the other way")
    transaction_id, booked_at = uuid7(), datetime.now(UTC)
    rows = [
        LedgerTransfer(
            month=month_of(transfer_id),
            id=transfer_id,
            transaction_id=transaction_id,
            tenant_id=tenant_id,
            kind=transfer.kind,
            debit_account=transfer.debit,
            credit_account=transfer.credit,
            amount_micros=transfer.amount_micros,
            currency=currency,
            booked_at=booked_at,
        )
        for transfer in transfers
        if transfer.amount_micros
        for transfer_id in [transfer.id or uuid7()]
    ]
    _insert(rows)
    return transaction_id


def _insert(rows: list[LedgerTransfer]) -> None:
    months = sorted({row.month for row in rows})
    try:
        with transaction.atomic():
            LedgerTransfer.objects.bulk_create(rows)
    except IntegrityError as error:
        cause = error.__cause__
        if isinstance(cause, errors.UniqueViolation):
            raise AlreadyBooked(str(rows[0].id)) from error
        if not isinstance(cause, errors.CheckViolation):
            raise
        if cause.diag.constraint_name in ("billing_balance_floor", "billing_balance_reserved"):
            raise InsufficientBalance from error
        if not _make_partitions(months):
            raise
        _insert(rows)


def _make_partitions(months: list[date]) -> bool:
    with connection.cursor() as cursor:
        made = 0
        for month in months:
            cursor.execute("SELECT rbee_make_partitions(%s, %s)", [month, month])
            made += cursor.fetchone()[0]
    return made > 0
