"""The books against each other: receipts, usage, ledger, balances, budget slices and payments.

Each comparison is one statement, so it sees the books as they were at one moment, and its rows come in chunks from a cursor
in the database: a month of millions of tasks takes as much memory as a day of few. Within `colony_tx`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from billing.domain.book_reading import Booked, Comparison, Figures, Found, count, stream
from billing.domain.ledger import CLEARING_BANK, CLEARING_STRIPE, LATE_USAGE, REVENUE_USAGE
from billing.domain.pricing import BadUsage, PriceVersion, amount_micros
from billing.domain.receipt_check import Outside, check_receipt, shown
from billing.domain.stripe_books import compare_stripe
from billing.enums import DifferenceKind, PaymentMethod, PaymentStatus, TransferKind
from billing.models import Price

_EVENT: Final = (
    "task_id", "tenant_id", "project_id", "key_id", "price_id", "attempt", "request_id", "subject", "endpoint", "model",
    "hive_id", "worker", "region", "outcome", "usage", "amount_micros", "currency", "admitted_at", "began_at",
    "first_token_at", "ended_at", "receipt", "signature", "receipt_erased",
)  # fmt: skip
_TRANSFERS: Final = ("of_task", "tasks", "booked_micros", "owners", "ways")

# A task's transfers share its id as their transaction: what it was charged, and what of that is the operator's loss.
TASKS: Final = f"""
    SELECT {", ".join(f"e.{name}" for name in _EVENT)}, {", ".join(f"t.{name}" for name in _TRANSFERS)}
    FROM (SELECT * FROM billing_usageevent WHERE settled_at >= %(since)s AND settled_at < %(until)s {{of_tenant}}) e
    FULL JOIN (
        SELECT transaction_id AS of_task, count(*) FILTER (WHERE kind = '{TransferKind.TASK}') AS tasks,
               sum(amount_micros) AS booked_micros,
               array_agg(DISTINCT replace(tenant_id::text, '-', '') || ' ' || currency) AS owners,
               array_agg(DISTINCT kind || ' ' || debit_account || ' ' || credit_account) AS ways
        FROM billing_ledgertransfer
        WHERE booked_at >= %(since)s AND booked_at < %(until)s {{of_tenant}}
              AND kind IN ('{TransferKind.TASK}', '{TransferKind.LATE_USAGE}')
        GROUP BY transaction_id
    ) t ON t.of_task = e.task_id
"""  # noqa: S608 -- constants

BALANCES: Final = """
    SELECT tenant_id, currency, coalesce(s.balance, 0), coalesce(s.reserved, 0), coalesce(b.balance_micros, 0),
           coalesce(b.reserved_micros, 0)
    FROM billing_balance b FULL JOIN (
        SELECT tenant_id, currency,
               sum(amount_micros * ((credit_account = 'tenant:' || hex)::int - (debit_account = 'tenant:' || hex)::int))
                   AS balance,
               sum(amount_micros * ((credit_account = 'reserved:' || hex)::int
                                    - (debit_account = 'reserved:' || hex)::int)) AS reserved
        FROM (SELECT *, replace(tenant_id::text, '-', '') AS hex FROM billing_ledgertransfer WHERE amount_micros <> 0) a
        GROUP BY tenant_id, currency
    ) s USING (tenant_id, currency)
"""

FOREIGN_ACCOUNTS: Final = """
    SELECT id, tenant_id, debit_account, credit_account FROM billing_ledgertransfer
    WHERE booked_at >= %(since)s AND booked_at < %(until)s
      AND EXISTS (SELECT 1 FROM unnest(ARRAY[debit_account, credit_account]) AS account
                  WHERE account ~ '^(tenant|reserved):' AND split_part(account, ':', 2) <> replace(tenant_id::text, '-', ''))
"""

RESERVED: Final = """
    SELECT tenant_id, currency, coalesce(s.held, 0), coalesce(b.reserved_micros, 0)
    FROM billing_balance b FULL JOIN (
        SELECT tenant_id, currency, sum(granted_micros - returned_micros - settled_micros) AS held
        FROM billing_budgetslice GROUP BY tenant_id, currency
    ) s USING (tenant_id, currency)
"""

# Disputed money comes and goes at the bank's word: those transfers have a kind of their own and are left out.
PAYMENTS: Final = f"""
    SELECT tenant_id, currency, account, coalesce(p.payments, 0), coalesce(p.paid, 0), coalesce(t.cleared, 0)
    FROM (
        SELECT tenant_id, currency,
               CASE WHEN method = '{PaymentMethod.STRIPE}' THEN '{CLEARING_STRIPE}' ELSE '{CLEARING_BANK}' END AS account,
               count(*) AS payments, sum(amount_micros - refunded_micros) AS paid
        FROM billing_payment WHERE status NOT IN ('{PaymentStatus.PENDING}', '{PaymentStatus.FAILED}')
        GROUP BY tenant_id, currency, account
    ) p FULL JOIN (
        SELECT tenant_id, currency, account,
               sum(amount_micros * ((debit_account = account)::int - (credit_account = account)::int)) AS cleared
        FROM billing_ledgertransfer
             CROSS JOIN (VALUES ('{CLEARING_STRIPE}'), ('{CLEARING_BANK}')) AS clearing (account)
        WHERE account IN (debit_account, credit_account) AND kind <> '{TransferKind.DISPUTE}'
        GROUP BY tenant_id, currency, account
    ) t USING (tenant_id, currency, account)
"""  # noqa: S608 -- constants


def compare_tasks(
    booked: Booked, outside: Outside, figures: Figures, tenant_id: UUID | None = None
) -> Iterator[Found]:
    """Receipt = usage = price times usage = ledger, for each task."""
    prices = Prices()
    parameters: dict[str, Any] = {"since": booked.since, "until": booked.until, "tenant": tenant_id}
    query = TASKS.format(of_tenant="AND tenant_id = %(tenant)s" if tenant_id else "")
    for row in stream(query, parameters):
        event = dict(zip(_EVENT, row, strict=False))
        transfers = dict(zip(_TRANSFERS, row[len(_EVENT) :], strict=True))
        if event["task_id"] is None:
            yield _without_event(transfers)
            continue
        event["usage"] = msgspec.json.decode(event["usage"])  # Django's cursors leave it as text
        count(figures, "tasks")
        count(figures, "receipts", bool(event["receipt"]))
        if event["receipt_erased"]:
            count(figures, "erased_receipts")
        count(figures, "transfers", transfers["tasks"] or 0)
        yield from check_task(event, transfers, outside, prices)


def check_task(
    event: Mapping[str, Any], transfers: Mapping[str, Any], outside: Outside, prices: Prices
) -> Iterator[Found]:
    task_id, tenant_id = event["task_id"], event["tenant_id"]

    def differs(kind: DifferenceKind, expected: object, found: object) -> Found:
        return Found(kind, f"task:{task_id.hex}", str(expected), str(found), tenant_id, task_id)

    for mismatch in check_receipt(event, outside):
        yield differs(*mismatch)
    price = prices.get(event["price_id"])
    if price is None:
        yield differs(DifferenceKind.PRICE_UNKNOWN, f"price {event['price_id']}", "none of that id")
    else:
        expected = f"{_amount(price, event)} {price.currency}"
        found = f"{event['amount_micros']} {event['currency']}"
        if expected != found:
            yield differs(DifferenceKind.EVENT_AMOUNT, expected, found)
    if not transfers["tasks"]:
        yield differs(
            DifferenceKind.TRANSFER_MISSING, f"{event['amount_micros']} {event['currency']}", "none"
        )
        return
    if transfers["tasks"] > 1:
        yield differs(DifferenceKind.TRANSFER_TWICE, "one transfer", f"{transfers['tasks']} of them")
    expected = f"{event['amount_micros']} of {tenant_id.hex} {event['currency']}"
    found = f"{transfers['booked_micros']} of {', '.join(transfers['owners'])}"
    if expected != found:
        yield differs(DifferenceKind.TRANSFER_AMOUNT, expected, found)
    if wrong := [way for way in transfers["ways"] if way not in ways_of(tenant_id)]:
        yield differs(DifferenceKind.TRANSFER_ACCOUNTS, " or ".join(ways_of(tenant_id)), ", ".join(wrong))


def ways_of(tenant_id: UUID) -> tuple[str, ...]:
    """From which account to which a task's money may go."""
    own = [f"{TransferKind.TASK} {kind}:{tenant_id.hex} {REVENUE_USAGE}" for kind in ("tenant", "reserved")]
    return (*own, f"{TransferKind.LATE_USAGE} {LATE_USAGE} {REVENUE_USAGE}")


def compare_accounts(booked: Booked, outside: Outside, figures: Figures) -> Iterator[Found]:
    """No transfer of a tenant moves the money of another."""
    for transfer_id, tenant_id, debit, credit in stream(FOREIGN_ACCOUNTS, booked._asdict()):
        yield Found(
            DifferenceKind.TRANSFER_ACCOUNTS, f"transfer:{transfer_id.hex}", f"accounts of {tenant_id.hex}",
            f"{debit} to {credit}", tenant_id,
        )  # fmt: skip


def compare_balances(booked: Booked, outside: Outside, figures: Figures) -> Iterator[Found]:
    """A balance is the sum of all transfers that there ever were."""
    for tenant_id, currency, balance, reserved, said, said_reserved in stream(BALANCES):
        count(figures, "balances")
        if (balance, reserved) != (said, said_reserved):
            yield Found(
                DifferenceKind.BALANCE, f"balance:{currency}", f"{balance}, of slices {reserved}",
                f"{said}, of slices {said_reserved}", tenant_id,
            )  # fmt: skip


def compare_reserved(booked: Booked, outside: Outside, figures: Figures) -> Iterator[Found]:
    """What is reserved is what lies in slices: those that are open, and those that wait for receipts."""
    for tenant_id, currency, held, reserved in stream(RESERVED):
        if held != reserved:
            yield Found(
                DifferenceKind.RESERVED, f"balance:{currency}", f"{held} in slices", f"{reserved} reserved", tenant_id
            )  # fmt: skip


def compare_payments(booked: Booked, outside: Outside, figures: Figures) -> Iterator[Found]:
    """What was paid, less what went back, is what passed through clearing."""
    for tenant_id, currency, account, payments, paid, cleared in stream(PAYMENTS):
        count(figures, "payments", payments)
        if paid != cleared:
            yield Found(
                DifferenceKind.PAYMENT, account, f"{paid} {currency} paid", f"{cleared} {currency} cleared", tenant_id
            )  # fmt: skip


COMPARISONS: Final[tuple[Comparison, ...]] = (
    compare_tasks,
    compare_accounts,
    compare_balances,
    compare_reserved,
    compare_payments,
    compare_stripe,
)


class Prices:
    """Versions by id, each read once."""

    def __init__(self) -> None:
        self._known: dict[UUID, PriceVersion | None] = {}

    def get(self, price_id: UUID) -> PriceVersion | None:
        if price_id not in self._known:
            row = Price.objects.filter(id=price_id).first()
            self._known[price_id] = version_of(row) if row else None
        return self._known[price_id]


def version_of(row: Price) -> PriceVersion:
    return PriceVersion(id=row.id.hex, model=row.model, currency=row.currency, prices=row.prices)


def _amount(price: PriceVersion, event: Mapping[str, Any]) -> int | str:
    try:
        return amount_micros(price, event["usage"], event["outcome"])
    except BadUsage as error:
        return f"no amount, as {error}"


def _without_event(transfers: Mapping[str, Any]) -> Found:
    owner = UUID(hex=transfers["owners"][0].split()[0])
    task_id = transfers["of_task"]
    return Found(
        DifferenceKind.EVENT_MISSING, f"task:{task_id.hex}", "a usage event",
        f"{transfers['booked_micros']} booked: {shown(', '.join(transfers['ways']))}", owner, task_id,
    )  # fmt: skip
