"""Invoices of what was used: for a month that is over, or before that when much is unpaid.

Who pays afterwards gets an invoice: what its tasks were booked at, the rating of the month, the coins' rounding and the
tax come to what it asks for. Who paid before gets a statement, which asks for nothing: its tax was in the payments.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta
from uuid import UUID

from django.utils import timezone

from billing.domain import ledger
from billing.domain.accounts import find_account, lock_account
from billing.domain.currencies import PICOS_PER_MICRO, to_micros, to_minor
from billing.domain.invoice_funds import apply_funds
from billing.domain.issuing import (
    SYSTEM,
    Draft,
    InvoiceRefused,
    NewLine,
    derived_id,
    issue,
    tax_of_account,
    unsaved,
)
from billing.domain.line_text import PARTS, words_of
from billing.domain.money import micros_per_minor
from billing.domain.price_terms import terms_of
from billing.domain.rating import SUBSCRIPTION, USAGE, RatedLine
from billing.domain.sellers import SellerIncomplete, find_seller, require_seller, tell_incomplete
from billing.domain.statement_lines import (
    FORGIVEN,
    WAIVED,
    Statement,
    months_with_usage,
    tasks_stated,
    unstated,
)
from billing.domain.tax import IN_PAYMENTS, Tax
from billing.enums import BillingMode, InvoiceKind, InvoiceStatus, TaxCategory, TransferKind
from billing.models import Balance, BillingAccount, Invoice, InvoiceLine, Seller
from gdpr.domain.audit import Actor
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain.tenancy import OPERATOR_TENANTS
from tenants.models import Project, Tenant

logger = logging.getLogger(__name__)


def close_period(tenant_id: UUID, first_day: date, *, actor: Actor = SYSTEM) -> list[Invoice]:
    """Of a month that is over: one for each currency in which something is owed, those of before if there are any.
    What is settled later is on the next one. Raises InvoiceRefused, SellerIncomplete."""
    next_day = month_after(first_day)
    if first_day.day != 1 or next_day > timezone.now().astimezone(UTC).date():
        raise InvoiceRefused(
            f"The month from {first_day} is not over: it can be invoiced from {next_day} on."
        )
    with tenant_tx(tenant_id):
        account = lock_account(tenant_id)
        return _state(account, first_day, is_final=True, actor=actor)


def invoice_so_far(tenant_id: UUID, *, actor: Actor = SYSTEM) -> list[Invoice]:
    """What no invoice states yet, up to this moment. Raises SellerIncomplete."""
    with tenant_tx(tenant_id):
        return _state(lock_account(tenant_id), this_month(), is_final=False, actor=actor)


def upcoming(tenant_id: UUID) -> list[tuple[Invoice, list[InvoiceLine]]]:
    """What they would be at this moment: without numbers, and kept nowhere."""
    with tenant_tx(tenant_id):
        account, seller = find_account(tenant_id), find_seller()
        drafts = [
            _draft(account, seller, currency, this_month(), is_final=False)
            for currency in _currencies(account, this_month())
        ]
        return [unsaved(account, seller, draft) for draft in drafts if draft]


def unbilled_micros(tenant_id: UUID) -> dict[str, int]:
    """By currency, as it was booked task by task, before tax; in a scope of the tenant."""
    account, month = find_account(tenant_id), this_month()
    return {
        currency: sum(
            statement.cover.booked_micros - statement.cover.waived_micros
            for statement in _statements(account, currency, month, is_final=False)
        )
        for currency in _currencies(account, month)
    }


def close_periods() -> int:
    """The month before, for every tenant, each in a transaction of its own: what was left off goes on where it was. How
    many tenants failed, which is in the log."""
    first_day = (this_month() - timedelta(days=1)).replace(day=1)
    return _for_each_tenant(lambda tenant_id: close_period(tenant_id, first_day))


def invoice_thresholds() -> int:
    """Of those who reached theirs. How many failed."""
    with colony_tx("accounts with a threshold"):
        accounts = BillingAccount.objects.filter(
            mode=BillingMode.POSTPAID, invoice_threshold_micros__isnull=False
        )
        thresholds = dict(accounts.values_list("tenant_id", "invoice_threshold_micros"))

    def check(tenant_id: UUID) -> None:
        with tenant_tx(tenant_id):
            reached = max(unbilled_micros(tenant_id).values(), default=0)
        if reached >= (thresholds[tenant_id] or 0):
            invoice_so_far(tenant_id)

    return _for_each_tenant(check, thresholds)


def month_after(first_day: date) -> date:
    return (first_day.replace(day=1) + timedelta(days=32)).replace(day=1)


def this_month() -> date:
    return timezone.now().astimezone(UTC).date().replace(day=1)


def _for_each_tenant(work: Callable[[UUID], object], only: Iterable[UUID] | None = None) -> int:
    if not find_seller().legal_name:
        return 0  # nobody sells here
    with colony_tx("tenants to invoice"):
        tenants = Tenant.objects.exclude(slug__in=OPERATOR_TENANTS).order_by("id")
        ids = list(tenants.values_list("id", flat=True))
    failed = 0
    for tenant_id in ids if only is None else sorted(set(ids).intersection(only)):
        try:
            work(tenant_id)
        except SellerIncomplete as incomplete:
            tell_incomplete(incomplete)
            return 1
        except Exception:  # one tenant keeps no other from its invoice
            logger.exception("tenant %s could not be invoiced: the next run tries again", tenant_id)
            failed += 1
    return failed


def _state(account: BillingAccount, month: date, *, is_final: bool, actor: Actor) -> list[Invoice]:
    found = []
    for currency in _currencies(account, month):
        invoice = _closing(account, currency, month) if is_final else None
        if invoice is None:
            invoice = _issue(account, currency, month, is_final=is_final, actor=actor)
        if invoice is not None:
            found.append(invoice)
    return found


def _closing(account: BillingAccount, currency: str, month: date) -> Invoice | None:
    found = Invoice.objects.filter(
        tenant_id=account.tenant_id, currency=currency, first_day=month, is_final=True
    )
    return found.exclude(status=InvoiceStatus.VOID).first()


def _issue(
    account: BillingAccount, currency: str, month: date, *, is_final: bool, actor: Actor
) -> Invoice | None:
    # No slice of the balance is granted between the look at what it can bear and the booking.
    Balance.objects.select_for_update().filter(tenant_id=account.tenant_id, currency=currency).first()
    draft = _draft(account, find_seller(), currency, month, is_final=is_final)
    if draft is None:
        return None
    seller = require_seller()
    own, tax = ledger.tenant_account(account.tenant_id), draft.tax
    tax_micros = draft.taxes_minor * micros_per_minor(currency)
    subscription = subscription_micros(draft.lines)
    charges = {
        TransferKind.SUBSCRIPTION: (ledger.REVENUE_SUBSCRIPTION, subscription),
        TransferKind.RATING: (ledger.REVENUE_RATING, draft.rating_micros - subscription),
        TransferKind.ROUNDING: (ledger.ROUNDING, draft.rounding_micros),
        TransferKind.TAX: (ledger.tax_account(tax.country or "XX"), tax_micros),
    }
    at_ms = int(timezone.now().timestamp() * 1000)
    ledger.post(
        account.tenant_id,
        currency,
        [
            charge(kind, own, other, micros, derived_id(at_ms, draft.id, kind))
            for kind, (other, micros) in charges.items()
        ],
    )
    invoice = issue(account, seller, draft, actor=actor)
    apply_funds(account, currency, actor=actor)
    invoice.refresh_from_db()
    return invoice


def subscription_micros(lines: Iterable[NewLine | InvoiceLine]) -> int:
    """Of what is booked beside the tasks. What a balance cannot bear is taken off the fee first."""
    picos = {SUBSCRIPTION: 0, FORGIVEN: 0}
    for line in lines:
        if line.kind in picos:
            picos[line.kind] += int(line.amount_picos)
    fee = to_micros(picos[SUBSCRIPTION])
    return max(0, fee + to_micros(picos[FORGIVEN])) if fee > 0 else fee


def charge(
    kind: TransferKind, own: str, other: str, micros: int, transfer_id: UUID | None = None
) -> ledger.Transfer:
    """From the tenant to another account, or back when it is negative."""
    debit, credit = (own, other) if micros >= 0 else (other, own)
    return ledger.Transfer(kind=kind, debit=debit, credit=credit, amount_micros=abs(micros), id=transfer_id)


def _draft(
    account: BillingAccount, seller: Seller, currency: str, month: date, *, is_final: bool
) -> Draft | None:
    """None: there is nothing to state."""
    statements = _statements(account, currency, month, is_final=is_final)
    names = _project_names(account.tenant_id)
    lines = [
        _line(line, statement, month, names, currency) for statement in statements for line in statement.lines
    ]
    if not any(line.amount_minor for line in lines):
        return None  # not a cent yet: it waits for what is to come
    is_prepaid = account.mode == BillingMode.PREPAID
    booked = sum(each.cover.booked_micros - each.cover.waived_micros for each in statements)
    rating = 0  # without terms, all there is is what the tasks were rounded by
    if any(line.kind not in (USAGE, WAIVED) for line in lines):
        rating = to_micros(sum(line.amount_picos for line in lines)) - booked
    if is_prepaid and (missing := rating - _available(account, currency)) > 0:
        lines.append(_forgiven(missing, month, currency))
        rating -= missing
    draft = Draft(
        id=_invoice_id(account, currency, month),
        kind=InvoiceKind.STATEMENT if is_prepaid else InvoiceKind.INVOICE,
        currency=currency,
        tax=Tax(TaxCategory.NONE, note=IN_PAYMENTS) if is_prepaid else _tax(seller, account),
        lines=lines,
        first_day=month,
        next_day=month_after(month)
        if is_final
        else timezone.now().astimezone(UTC).date() + timedelta(days=1),
        is_final=is_final,
        covers=[each.cover for each in statements],
        rating_micros=rating,
    )
    if is_prepaid:
        draft.asked_micros = booked + rating
    else:
        draft.rounding_micros = draft.net_minor * micros_per_minor(currency) - booked - rating
    return draft


def _tax(seller: Seller, account: BillingAccount) -> Tax:
    return tax_of_account(seller, account) if seller.country else Tax(TaxCategory.NONE)


def _statements(account: BillingAccount, currency: str, month: date, *, is_final: bool) -> list[Statement]:
    """Of this month, and of each before it of which something is not stated yet."""
    used, stated = months_with_usage(account.tenant_id, month), tasks_stated(account.tenant_id)
    late = {each for (each, used_in), tasks in used.items()
            if used_in == currency and tasks != stated.get((each, currency), 0)}  # fmt: skip
    return [
        unstated(account.tenant_id, currency, each, is_whole=is_final or each < month)
        for each in sorted({month, *late})
    ]


def _currencies(account: BillingAccount, month: date) -> list[str]:
    """Those of its tasks, and the one in which it owes something without any."""
    used, terms = months_with_usage(account.tenant_id, month), terms_of(account.tenant_id, on=month)
    owed = {terms.currency} if terms.subscription_micros or terms.minimum_micros else set()
    return sorted({account.currency, *owed, *(currency for _, currency in used)})


def _line(
    line: RatedLine, statement: Statement, month: date, names: dict[str, str], currency: str
) -> NewLine:  # fmt: skip
    used_in = date.fromisoformat(statement.cover.month)
    late = f" (late {line.kind} of {used_in:%Y-%m})" if used_in < month else ""
    return NewLine(
        kind=line.kind,
        description=words_of(line, statement.terms, names.get(line.project_id, "")) + late,
        amount_picos=line.amount_picos,
        amount_minor=to_minor(line.amount_picos, currency),
        month=used_in,
        project_id=line.project_id,
        model=line.model,
        unit=line.unit,
        quantity=line.quantity,
        price_micros=line.price_micros,
        per=line.per,
    )


def _forgiven(micros: int, month: date, currency: str) -> NewLine:
    picos = -micros * PICOS_PER_MICRO
    return NewLine(kind=FORGIVEN, description=PARTS[FORGIVEN], amount_picos=picos,
                   amount_minor=to_minor(picos, currency), month=month)  # fmt: skip


def _available(account: BillingAccount, currency: str) -> int:
    found = Balance.objects.filter(tenant_id=account.tenant_id, currency=currency).first()
    return found.balance_micros if found else 0


def _invoice_id(account: BillingAccount, currency: str, month: date) -> UUID:
    """The same for the same period, for as long as nothing was issued for it."""
    before = Invoice.objects.filter(tenant_id=account.tenant_id, currency=currency, first_day=month).count()
    at = datetime.combine(month_after(month), time(), UTC)
    return derived_id(int(at.timestamp() * 1000), account.tenant_id, currency, month, before)


def _project_names(tenant_id: UUID) -> dict[str, str]:
    return {project.id.hex: project.name for project in Project.objects.filter(tenant_id=tenant_id)}
