"""Decisions as they are kept: each names a snapshot of the colony's workers, and its workers by their places there.

A snapshot serves many decisions. A decision says of its own workers only what was different when it was made, so together
the two are exact; for the facts of DRIFTING, which change all the time and rarely decide, up to SNAPSHOT_MAX_S old. There is
another snapshot when a worker came, when this one is old and facts changed, and when the differences that were written
against it are more than it holds.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from gdpr.ids import month_of, uuid7
from inference.domain.places import pack
from inference.domain.records import customer_record
from inference.domain.trace import Attempt, Fields, Trace

SNAPSHOT_MAX_S: Final = 10.0
DRIFTING: Final = frozenset({"uptime_s", "rss_mb", "cpu_pct"})

# Parameter by parameter: what is given to unnest, with its type.
COLUMNS: Final = {
    "month": "date", "task_id": "uuid", "tenant_id": "uuid", "request_id": "text", "at": "timestamptz",
    "outcome": "text", "code": "text", "task": "jsonb", "customer": "jsonb", "operator_sha256": "text",
    "tenant_sha256": "text", "snapshot_id": "uuid", "attempts": "jsonb", "worker": "text", "micros": "int4",
}  # fmt: skip


class _Known(NamedTuple):
    fields: Fields
    place: int
    different: dict[str, Any]  # from what the snapshot has of that worker


class Snapshot:
    """`by_id` has each worker's place and fields."""

    def __init__(self, workers: Mapping[str, Fields]) -> None:
        self.id = uuid7()
        self.at = datetime.now(UTC)
        self.made_at = time.monotonic()
        self.fields = workers
        self.places = {worker_id: place for place, worker_id in enumerate(workers)}
        self.unspent = sum(map(len, workers.values()))
        self._known: dict[int, _Known] = {}  # by `id` of the fields, which it holds

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.made_at > SNAPSHOT_MAX_S

    def row(self) -> tuple[UUID, datetime, str]:
        return self.id, self.at, _json(list(self.fields.values()))

    def known(self, fields: Fields) -> _Known:
        """Raises KeyError for a worker that is not among these."""
        known = self._known.get(id(fields))
        if known is None:
            worker_id = fields["id"]
            place, base = self.places[worker_id], self.fields[worker_id]
            different = {
                name: value
                for name, value in fields.items()
                if name not in DRIFTING and base.get(name) != value
            }
            known = self._known[id(fields)] = _Known(fields, place, different)
        return known


class DecisionRows:
    """One per queen process, used by one thread at a time."""

    def __init__(self) -> None:
        self._snapshot: Snapshot | None = None

    def rows(
        self, traces: Iterable[Trace], colony: Sequence[Fields]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """Snapshots and decisions. `colony`: the fields of all workers at this moment."""
        snapshots, decisions = [], []
        for trace in traces:
            snapshot = self._snapshot
            row = None if snapshot is None or self._is_worn(snapshot, colony) else _row(trace, snapshot)
            if row is None:
                snapshot = self._snapshot = Snapshot(_by_id(colony, _seen(trace)))
                snapshots.append(snapshot.row())
                row = _row(trace, snapshot)
                assert row is not None, "its snapshot has all that it saw"
            decisions.append(row)
        return snapshots, decisions

    def forget(self) -> None:
        """The snapshot that was made last is not kept."""
        self._snapshot = None

    @staticmethod
    def _is_worn(snapshot: Snapshot, colony: Sequence[Fields]) -> bool:
        if snapshot.unspent < 0:
            return True
        return snapshot.is_old and any(snapshot.fields.get(fields["id"]) is not fields for fields in colony)


def _by_id(colony: Sequence[Fields], seen: Sequence[Fields]) -> dict[str, Fields]:
    """In the order in which scripts are offered them; who has left since comes last."""
    found = {fields["id"]: fields for fields in colony}
    for fields in seen:
        found.setdefault(fields["id"], fields)
    return found


def _seen(trace: Trace) -> list[Fields]:
    return [
        fields
        for attempt in trace.attempts
        for fields in (*attempt.offered, *(fields for fields, _ in attempt.gone))
    ]


def _row(trace: Trace, snapshot: Snapshot) -> tuple[Any, ...] | None:
    """None for one that saw a worker that the snapshot has not."""
    try:
        attempts = _json([_attempt(attempt, snapshot) for attempt in trace.attempts])
    except KeyError:
        return None
    task_id = UUID(trace.task_id)
    customer = trace.customer or customer_record(trace.caller, tokens_used_today=trace.used.tokens_today)
    last = trace.attempts[-1] if trace.attempts else None
    return (
        month_of(task_id),
        task_id,
        UUID(trace.caller.tenant_id),
        trace.request_id,
        datetime.fromtimestamp(trace.at_ns / 1e9, UTC),
        str(trace.outcome),
        trace.code,
        _json(trace.record.fields() if trace.record else {}),
        _json(customer.fields()),
        trace.operator_sha256,
        trace.tenant_sha256,
        snapshot.id,
        attempts,
        last.chosen if last and trace.outcome == "routed" else "",
        min(trace.script_micros + sum(attempt.micros for attempt in trace.attempts), 2**31 - 1),
    )


def _attempt(attempt: Attempt, snapshot: Snapshot) -> dict[str, Any]:
    """Keys that are left out are empty."""
    places = snapshot.places
    offered = [snapshot.known(fields) for fields in attempt.offered]
    gone: dict[str, list[int]] = {}
    others = [(snapshot.known(fields), reason) for fields, reason in attempt.gone]
    for known, reason in others:
        gone.setdefault(reason, []).append(known.place)
    left: Sequence[str] | None = None  # ids; None: all that were offered
    for script, kept in attempt.kept:
        kept_ids = {worker.id for worker in kept}
        if len(kept_ids) == len(offered if left is None else left):
            continue
        left = [known.fields["id"] for known in offered] if left is None else left
        gone[script] = [places[worker_id] for worker_id in left if worker_id not in kept_ids]
        left = [worker_id for worker_id in left if worker_id in kept_ids]
    facts = {
        str(known.place): known.different
        for known in (*offered, *(known for known, _ in others))
        if known.different
    }
    snapshot.unspent -= sum(map(len, facts.values()))
    found = {
        "offered": pack(known.place for known in offered),
        "gone": {reason: pack(of_it) for reason, of_it in gone.items()},
        "facts": facts,
        "chosen": places[attempt.chosen] if attempt.chosen else None,
        "micros": attempt.micros,
        "by": attempt.by,
        "broke": [
            {"by": by, "function": broke.function, "line": broke.line, "column": broke.column}
            if broke
            else {"by": by}
            for by, broke in attempt.broke
        ],
    }
    return {name: value for name, value in found.items() if value not in ("", None, {}, [])}


def _json(value: Any) -> str:
    """PostgreSQL's JSON cannot hold U+0000, which a driver's name of a device may."""
    return msgspec.json.encode(value).replace(b"\\u0000", b"\\ufffd").decode()
