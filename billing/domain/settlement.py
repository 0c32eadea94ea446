"""A receipt becomes a usage event, a ledger transfer and an audit entry: in one transaction, once for each task.

Many receipts are one statement, so the books cost one round trip for each batch. A task that is in the books already is
left as it is, whatever the later receipt says. An attempt below the fence of its task is dropped (`billing.domain.fence`);
a shared lock keeps a fence from being set between our look at it and our commit.

A task of a budget slice is paid out of what was held for it there, as long as the slice has that; one without a slice by
the tenant itself, of one who pays before as far as the balance goes. The rest is the operator's (`late_usage`), so that
nobody's balance is overdrawn and no receipt is left unbooked. The event says what the task costs all the same.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
import psycopg
from psycopg import AsyncConnection

from billing.domain.pricing import PriceVersion, amount_micros
from billing.enums import TransferKind
from gdpr.domain.audit import SCHEMA_VERSION, Actor, canonical_entry, leaf_hash
from gdpr.ids import month_of, uuid7
from gdpr.pool import Pool, colony_connection

FENCE_LOCK = 0x7262_6565_0002

REVENUE, LATE = "revenue:usage", "late_usage"
EVENT = "task.settled"

logger = logging.getLogger(__name__)


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """The settled facts of one task. Identifiers are UUIDs in hex, an empty one is none; times are Unix ms, 0 is none."""

    task_id: str
    attempt: int
    tenant_id: str
    project_id: str
    key_id: str
    price: PriceVersion  # that of the envelope
    request_id: str
    subject: str  # pseudonym
    endpoint: str
    model: str
    hive_id: str
    worker: str
    region: str
    outcome: str
    usage: dict[str, int]
    decision: dict[str, Any]
    admitted_at_ms: int
    began_at_ms: int = 0
    first_token_at_ms: int = 0
    ended_at_ms: int = 0
    receipt: bytes = b""
    signature: bytes = b""
    slice_id: str = ""  # the budget slice that holds money for it
    hold_micros: int = 0


async def settle(pool: Pool, settlements: Sequence[Settlement]) -> set[str]:
    """The ids that are in the books after this, by these receipts or by earlier ones. One that is missing was fenced
    (`fence.fenced_tasks` tells), or its facts cannot be booked, which is logged. Raises psycopg.OperationalError or
    psycopg_pool.PoolTimeout when the database is away: nothing is booked then, and all may be sent again."""
    return set(await book(pool, settlements))


async def book(pool: Pool, settlements: Sequence[Settlement]) -> dict[str, int]:
    """The same, with what each task paid: of its slice, or of the tenant's balance."""
    rows = [row for settlement in settlements if (row := _row(settlement))]
    return await _settle_rows(pool, rows) if rows else {}


class _Row(msgspec.Struct, frozen=True):
    """One task in the order of COLUMNS."""

    task_id: UUID
    values: tuple[Any, ...]
    tenant_id: UUID
    slice_id: UUID | None
    costs: bool


# Parameter by parameter: what is given to unnest, with its type. Times are Unix ms, 0 for none.
COLUMNS = {
    "task_id": "uuid", "month": "date", "attempt": "int2", "tenant_id": "uuid", "project_id": "uuid", "key_id": "uuid",
    "price_id": "uuid", "request_id": "text", "subject": "text", "endpoint": "text", "model": "text", "hive_id": "uuid",
    "worker": "text", "region": "text", "outcome": "text", "usage": "jsonb", "amount_micros": "int8",
    "currency": "text", "decision": "jsonb", "admitted_at": "int8", "began_at": "int8", "first_token_at": "int8",
    "ended_at": "int8", "settled_at": "timestamptz", "receipt": "bytea", "signature": "bytea", "audit_id": "uuid",
    "audit_month": "date", "audit_actor": "text", "audit_details": "jsonb", "audit_leaf": "bytea", "slice_id": "uuid",
    "hold_micros": "int8",
}  # fmt: skip
# In binary: as text, bytes double and every backslash and quote is escaped.
_PARAMETERS = ", ".join(f"%b::{kind}[]" for kind in COLUMNS.values())
_TIMES = {name for name, kind in COLUMNS.items() if kind == "int8" and name.endswith("_at")}
_USAGE = [name for name in COLUMNS if not name.startswith(("audit_", "slice_", "hold_"))]
_USAGE_VALUES = [f"to_timestamp(nullif({name}, 0) / 1000.0)" if name in _TIMES else name for name in _USAGE]

BOOK = f"""
    WITH given AS (
        SELECT * FROM unnest({_PARAMETERS}) AS given ({", ".join(COLUMNS)})
    ), valid AS (
        SELECT DISTINCT ON (g.task_id) g.*
        FROM given g LEFT JOIN billing_attemptfence f ON f.task_id = g.task_id
        WHERE f.task_id IS NULL OR g.attempt >= f.lowest_valid_attempt
        ORDER BY g.task_id, g.attempt
    ), booked AS (
        INSERT INTO billing_usageevent ({", ".join(_USAGE)}) SELECT {", ".join(_USAGE_VALUES)} FROM valid
        ON CONFLICT DO NOTHING RETURNING task_id
    ), purses AS (
        -- What pays for each, and how much is in there; null: no end to it.
        SELECT v.task_id, v.tenant_id, v.slice_id, v.currency,
               CASE WHEN v.slice_id IS NULL THEN v.amount_micros ELSE least(v.amount_micros, v.hold_micros) END AS due,
               CASE WHEN v.slice_id IS NULL THEN b.balance_micros - b.floor_micros
                    ELSE coalesce(s.granted_micros - s.returned_micros - s.settled_micros, 0) END AS there
        FROM valid v JOIN booked USING (task_id)
        LEFT JOIN billing_budgetslice s
            ON s.id = v.slice_id AND s.tenant_id = v.tenant_id AND s.currency = v.currency
        LEFT JOIN billing_balance b
            ON v.slice_id IS NULL AND b.tenant_id = v.tenant_id AND b.currency = v.currency
    ), charged AS (
        SELECT task_id, slice_id, CASE WHEN there IS NULL THEN due ELSE greatest(0, least(due, there - before)) END AS paid
        FROM (
            SELECT *, sum(due) OVER (PARTITION BY tenant_id, currency, slice_id ORDER BY task_id) - due AS before
            FROM purses
        ) q
    ), drawn AS (
        UPDATE billing_budgetslice s SET settled_micros = s.settled_micros + d.paid
        FROM (SELECT slice_id, sum(paid) AS paid FROM charged WHERE slice_id IS NOT NULL GROUP BY slice_id) d
        WHERE s.id = d.slice_id AND d.paid > 0
    ), transferred AS (
        INSERT INTO billing_ledgertransfer (month, id, transaction_id, tenant_id, kind, debit_account, credit_account,
                                            amount_micros, currency, booked_at)
        SELECT month, task_id, task_id, tenant_id, '{TransferKind.TASK}',
               CASE WHEN c.slice_id IS NULL THEN 'tenant:' ELSE 'reserved:' END || replace(tenant_id::text, '-', ''),
               '{REVENUE}', paid, currency, settled_at
        FROM valid JOIN charged c USING (task_id)
        UNION ALL
        SELECT audit_month, audit_id, task_id, tenant_id, '{TransferKind.LATE_USAGE}', '{LATE}', '{REVENUE}',
               amount_micros - paid, currency, settled_at
        FROM valid JOIN charged USING (task_id) WHERE amount_micros > paid
    ), audited AS (
        INSERT INTO gdpr_auditentry (month, id, tenant_id, event, actor, object_ref, outcome, details, request_id, at,
                                     schema_version, leaf)
        SELECT audit_month, audit_id, tenant_id, '{EVENT}', audit_actor, 'task:' || replace(task_id::text, '-', ''),
               outcome, audit_details, request_id, settled_at, {SCHEMA_VERSION}, audit_leaf
        FROM valid JOIN booked USING (task_id)
    )
    SELECT task_id, paid FROM charged
"""  # noqa: S608 -- constants
FIND = f"""
    SELECT u.task_id, t.amount_micros FROM billing_usageevent u
    JOIN billing_ledgertransfer t ON t.month = u.month AND t.id = u.task_id AND t.kind = '{TransferKind.TASK}'
    WHERE u.month = ANY(%s) AND u.task_id = ANY(%s)
"""  # noqa: S608 -- constants
# Before anything else, and in one order everywhere (slices, balances, tasks), so that nobody waits in a circle; and so
# that BOOK sees what they come to.
LOCK_SLICES = "SELECT 1 FROM billing_budgetslice WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
LOCK_BALANCES = (
    "SELECT 1 FROM billing_balance WHERE tenant_id = ANY(%s) ORDER BY tenant_id, currency FOR UPDATE"
)


async def _settle_rows(pool: Pool, rows: list[_Row]) -> dict[str, int]:
    try:
        return await _book(pool, rows)
    except psycopg.errors.CheckViolation as error:
        if await _make_missing_partitions(pool, rows):
            return await _settle_rows(pool, rows)
        return await _settle_apart(pool, rows, error)
    except (psycopg.IntegrityError, psycopg.DataError) as error:
        return await _settle_apart(pool, rows, error)


async def _settle_apart(pool: Pool, rows: list[_Row], error: psycopg.Error) -> dict[str, int]:
    """One receipt that cannot be booked must not hold back the others of its batch."""
    if len(rows) == 1:
        logger.error("task %s cannot be booked: %s", rows[0].task_id.hex, type(error).__name__)
        return {}
    middle = len(rows) // 2
    return await _settle_rows(pool, rows[:middle]) | await _settle_rows(pool, rows[middle:])


async def _book(pool: Pool, rows: list[_Row]) -> dict[str, int]:
    # In one order everywhere, so that two batches with the same tasks wait for each other but never in a circle.
    rows = sorted(rows, key=lambda row: row.task_id)
    slices = list({row.slice_id for row in rows if row.slice_id})
    paying = list({row.tenant_id for row in rows if row.costs})
    async with colony_connection(pool) as connection:
        await connection.execute("SELECT pg_advisory_xact_lock_shared(%s)", [FENCE_LOCK])
        if slices:
            await connection.execute(LOCK_SLICES, [slices])
        if paying:
            await connection.execute(LOCK_BALANCES, [paying])
        cursor = await connection.execute(
            BOOK, [list(column) for column in zip(*(row.values for row in rows), strict=True)]
        )
        await connection.commit()
        booked = {task_id: int(paid) for task_id, paid in await cursor.fetchall()}
    missing = [row for row in rows if row.task_id not in booked]
    if missing:
        booked |= await _found(pool, missing)
    return {task_id.hex: paid for task_id, paid in booked.items()}


async def _found(pool: Pool, rows: Iterable[_Row]) -> dict[UUID, int]:
    """In a transaction of its own: it sees what another one committed while ours ran."""
    tasks = [row.task_id for row in rows]
    async with colony_connection(pool) as connection:
        cursor = await connection.execute(FIND, [list({month_of(task) for task in tasks}), tasks])
        return dict(await cursor.fetchall())


async def _make_missing_partitions(pool: Pool, rows: Iterable[_Row]) -> bool:
    """Whether any was missing and is there."""
    made = 0
    for month in {month_of(row.task_id) for row in rows} | {datetime.now(UTC).date().replace(day=1)}:
        try:
            async with pool.connection() as connection:
                made += await _make_partition(connection, month)
        except psycopg.errors.DatetimeFieldOverflow:
            logger.warning("a receipt is for %s, which is too far from today", month)
    return made > 0


async def _make_partition(connection: AsyncConnection[Any], month: Any) -> int:
    cursor = await connection.execute("SELECT rbee_make_partitions(%s, %s)", [month, month])
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


def _row(settlement: Settlement) -> _Row | None:
    try:
        return _checked_row(settlement)
    except ValueError as error:  # no UUIDv7, quantities beyond reason, text that JSON cannot hold
        logger.error("task %s cannot be booked: %s", settlement.task_id, error)
        return None


def _checked_row(settlement: Settlement) -> _Row:
    s = settlement
    task_id, tenant_id, audit_id = UUID(s.task_id), UUID(s.tenant_id), uuid7()
    month, settled_at = month_of(task_id), datetime.now(UTC)
    amount = amount_micros(s.price, s.usage, s.outcome)
    slice_id = UUID(s.slice_id) if s.slice_id else None
    decision = msgspec.json.encode(s.decision)
    actor = str(Actor.hive(s.hive_id) if s.receipt else Actor.system("queen"))
    details = {
        "amount_micros": str(amount),  # as text: it may be beyond the integers that JSON keeps
        "attempt": s.attempt,
        "currency": s.price.currency,
        "decision_sha256": hashlib.sha256(decision).hexdigest(),
        "model": s.model,
        "price": s.price.id,
        "receipt_sha256": hashlib.sha256(s.receipt).hexdigest() if s.receipt else "",
        "region": s.region,
    }
    entry = canonical_entry(
        id=audit_id,
        tenant_id=tenant_id,
        event=EVENT,
        actor=actor,
        object_ref=f"task:{task_id.hex}",
        outcome=s.outcome,
        details=details,
        request_id=s.request_id,
        at=settled_at,
    )
    values = (
        task_id, month, s.attempt, tenant_id, s.project_id, s.key_id or None, s.price.id, s.request_id,
        s.subject, s.endpoint, s.model, s.hive_id or None, s.worker, s.region, s.outcome, _json(s.usage), amount,
        s.price.currency, decision.decode(), s.admitted_at_ms, s.began_at_ms, s.first_token_at_ms, s.ended_at_ms,
        settled_at, s.receipt, s.signature, audit_id, month_of(audit_id), actor, _json(details), leaf_hash(entry),
        slice_id, s.hold_micros,
    )  # fmt: skip
    return _Row(task_id, values, tenant_id, slice_id, amount > 0)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
