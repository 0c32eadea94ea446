"""Budget slices: what of a tenant's balance lies in Redis, for tasks to be admitted by without a look at PostgreSQL.

    open ──► closing ──► closed        idle, or a task of it is overdue
      │         │          ▲
      └────────►lost───────┘           the Redis that had it is gone

A slice is granted out of the balance and held under `reserved:HEX`; what tasks used leaves from there (settlement), what
nobody used goes back. So the sum of all slices is part of the balance, and no race and no lost Redis can spend more.

Redis has the same figures as totals that only grow (`granted`, `returned`). Each side is told the other's total and books
the difference: a step that is repeated, or was cut off before, changes nothing twice.

One that is lost stays held in full until `lost_until`: as long as its longest task runs, and 24 hours more for receipts
that hives could not send. What is told later is the operator's loss (`late_usage`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from django.utils import timezone

from billing.domain import ledger
from billing.domain.accounts import find_account
from billing.enums import BillingMode, SliceState, TransferKind
from billing.models import Balance, BillingAccount, BudgetSlice
from gdpr.domain.audit import Actor, record
from gdpr.scope import colony_tx, tenant_tx

# So much at a time, or this part of what is available, unless tasks that wait need more: it is what stays held when Redis
# is lost.
GRANT_MICROS: Final = 5_000_000
GRANT_SHARE: Final = 16
GRANTED_MAX: Final = 2**52  # of a slice: Redis's scripts count in doubles
SPOOL_GRACE: Final = timedelta(hours=24)  # for receipts that hives could not send

QUEEN: Final = Actor.system("queen")
KEEPER: Final = Actor.system("slice keeper")

_TRIES: Final = 3


class Grant(NamedTuple):
    """Totals of the tenant's open slice; `new_micros` is what this call added."""

    slice_id: str  # hex
    granted_micros: int
    new_micros: int


class Standing(NamedTuple):
    """What a tenant has in one currency."""

    balance_micros: int  # in slices included
    reserved_micros: int
    available_micros: int | None  # None: no limit


def grant(
    tenant_id: UUID, currency: str, *, epoch: str, need_micros: int, known: str, longest_task_s: int
) -> Grant:
    """Into the open slice, of a life of Redis that is `epoch`. Nothing into one that the caller did not know (`known`, in
    hex): it may hold enough. Nothing is granted when nothing is available."""
    with tenant_tx(tenant_id):
        found = _lock_open(tenant_id, currency, epoch, longest_task_s)
        new = 0
        if found.id.hex == known or found.granted_micros == 0:
            available = _available(tenant_id, currency) or 0
            wanted = max(need_micros, min(GRANT_MICROS, available // GRANT_SHARE))
            new = max(0, min(available, wanted, GRANTED_MAX - found.granted_micros))
        if new:
            _move(found, TransferKind.HOLD, new)
            found.granted_micros += new
            found.save(update_fields=["granted_micros"])
            _note("granted", found, QUEEN, amount_micros=new)
        return Grant(found.id.hex, found.granted_micros, new)


def begin_closing(slice_id: UUID, *, longest_task_s: int, reason: str) -> None:
    """It is granted nothing more; a tenant that goes on gets another one."""
    with colony_tx("close a budget slice"):
        found = _lock(slice_id)
        if found.state == SliceState.OPEN:
            _leave(found, SliceState.CLOSING, longest_task_s)
            _note("closing", found, KEEPER, reason=reason)


def lose(slice_id: UUID, *, longest_task_s: int) -> None:
    with colony_tx("a lost budget slice"):
        found = _lock(slice_id)
        if found.state in (SliceState.OPEN, SliceState.CLOSING):
            _lose(found, longest_task_s)


def take_back(slice_id: UUID, returned_micros: int) -> int:
    """What Redis has given back of it, in all. Gives back what of that is news, and is the tenant's again."""
    with colony_tx("return of a budget slice"):
        found = _lock(slice_id)
        if found.state != SliceState.CLOSING:
            return 0
        return _return(found, returned_micros)


def close(slice_id: UUID, *, reason: str) -> int:
    """What it still holds is the tenant's again. For one whose tasks are all settled, or whose time is over."""
    with colony_tx("close a budget slice"):
        found = _lock(slice_id)
        if found.state not in (SliceState.CLOSING, SliceState.LOST):
            return 0
        released = _return(found, found.granted_micros - found.settled_micros)
        found.state = SliceState.CLOSED
        found.save(update_fields=["state"])
        _note("closed", found, KEEPER, amount_micros=released, reason=reason)
        return released


def slices_held() -> list[BudgetSlice]:
    """Of all tenants: those that are not closed, oldest first."""
    with colony_tx("budget slices"):
        return list(BudgetSlice.objects.exclude(state=SliceState.CLOSED).order_by("id"))


def slice_now(slice_id: UUID) -> BudgetSlice:
    with colony_tx("a budget slice"):
        return BudgetSlice.objects.get(id=slice_id)


def standing(tenant_id: UUID, currency: str) -> Standing:
    """Within a scope that sees the tenant."""
    found = Balance.objects.filter(tenant_id=tenant_id, currency=currency).first()
    balance, reserved = (found.balance_micros, found.reserved_micros) if found else (0, 0)
    return Standing(balance + reserved, reserved, _available_of(find_account(tenant_id), currency, balance))


def is_limited(account: BillingAccount) -> bool:
    return account.mode == BillingMode.PREPAID or account.credit_limit_micros is not None


def _lock_open(tenant_id: UUID, currency: str, epoch: str, longest_task_s: int) -> BudgetSlice:
    """Made if there is none of that epoch. One of another epoch is lost with it."""
    opened = BudgetSlice.objects.filter(tenant_id=tenant_id, currency=currency, state=SliceState.OPEN)
    for _ in range(_TRIES):
        found = opened.select_for_update().first()
        if found is not None and found.epoch == epoch:
            return found
        if found is not None:
            _lose(found, longest_task_s)
        fresh = BudgetSlice(tenant_id=tenant_id, currency=currency, epoch=epoch)
        BudgetSlice.objects.bulk_create([fresh], ignore_conflicts=True)
    raise RuntimeError("other epochs of Redis are quicker than this one")


def _available(tenant_id: UUID, currency: str) -> int | None:
    """With the balance locked until the transaction ends. None: no limit."""
    found = Balance.objects.select_for_update().filter(tenant_id=tenant_id, currency=currency).first()
    return _available_of(find_account(tenant_id), currency, found.balance_micros if found else 0)


def _available_of(account: BillingAccount, currency: str, balance_micros: int) -> int | None:
    if not is_limited(account):
        return None
    credit = account.credit_limit_micros or 0
    return max(0, balance_micros + (credit if currency == account.currency else 0))


def _lock(slice_id: UUID) -> BudgetSlice:
    return BudgetSlice.objects.select_for_update().get(id=slice_id)


def _lose(found: BudgetSlice, longest_task_s: int) -> None:
    _leave(found, SliceState.LOST, longest_task_s)
    _note("lost", found, KEEPER, amount_micros=found.held_micros)


def _leave(found: BudgetSlice, state: SliceState, longest_task_s: int) -> None:
    found.state = state
    found.lost_until = found.lost_until or until(timezone.now(), longest_task_s)
    found.save(update_fields=["state", "lost_until"])


def until(now: datetime, longest_task_s: int) -> datetime:
    return now + timedelta(seconds=longest_task_s) + SPOOL_GRACE


def _return(found: BudgetSlice, returned_micros: int) -> int:
    """`returned_micros` in all: what it did not hold any more cannot come back."""
    new = min(returned_micros - found.returned_micros, found.held_micros)
    if new <= 0:
        return 0
    _move(found, TransferKind.RELEASE, new)
    found.returned_micros += new
    found.save(update_fields=["returned_micros"])
    return new


def _move(found: BudgetSlice, kind: TransferKind, amount_micros: int) -> None:
    own, reserved = ledger.tenant_account(found.tenant_id), ledger.reserved_account(found.tenant_id)
    debit, credit = (own, reserved) if kind == TransferKind.HOLD else (reserved, own)
    ledger.post(
        found.tenant_id,
        found.currency,
        [ledger.Transfer(kind=kind, debit=debit, credit=credit, amount_micros=amount_micros)],
    )


def _note(
    verb: str, found: BudgetSlice, actor: Actor, *, amount_micros: int | None = None, reason: str = ""
) -> None:
    details = {"currency": found.currency, "epoch": found.epoch}
    if amount_micros is not None:
        details["amount_micros"] = str(amount_micros)
    if reason:
        details["reason"] = reason
    record(
        f"budget_slice.{verb}",
        actor=actor,
        tenant_id=found.tenant_id,
        object_ref=f"budget_slice:{found.id.hex}",
        details=details,
    )
