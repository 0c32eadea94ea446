"""Decisions that were kept, put together again: the facts of their workers from a snapshot and from what was different.

Opens its own transactions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from gdpr.scope import colony_tx, tenant_tx
from inference.domain.eligibility import in_region
from inference.domain.places import unpack
from inference.enums import DecisionOutcome, LeftBecause
from inference.models import ColonySnapshot, Decision
from rbee_policy.world import Value

Fields = dict[str, Value]


class Recorded(NamedTuple):
    """`offered`: in the first attempt, after the host narrowed. Of a task that was refused before, who would have been."""

    task_id: UUID
    tenant_id: UUID
    at: datetime
    task: Fields
    customer: Fields
    offered: list[Fields]
    outcome: DecisionOutcome
    code: str  # of a refusal
    worker: str  # id of the chosen one
    operator_sha256: str
    tenant_sha256: str


class Seen(NamedTuple):
    """One attempt."""

    workers: Mapping[str, Fields]  # by id, as they were
    offered: Sequence[str]  # ids, in the order of the list
    gone: Mapping[str, LeftBecause]  # by id: why it is not the one
    chosen: str
    micros: int
    by: str  # whose script ended it, operator_script or tenant_script
    broke: Sequence[Mapping[str, Any]]  # by, function, line, column


def last_recorded(tenant_id: UUID | None, count: int) -> Iterator[Recorded]:
    """Newest first. `tenant_id` None: of all tenants. One after the other: the workers of all of them are many."""
    with _scope_of(tenant_id):
        decisions = list(Decision.objects.order_by("-task_id")[:count])
    snapshots = snapshots_of(decisions)
    for decision in decisions:
        yield _recorded(decision, snapshots.get(decision.snapshot_id, ()))


def snapshots_of(decisions: Iterable[Decision]) -> dict[UUID | None, Sequence[Fields]]:
    """The workers of each snapshot, by its id. For all eyes: who shows them narrows them first."""
    ids = {decision.snapshot_id for decision in decisions if decision.snapshot_id}
    with colony_tx("workers that decisions name"):
        return dict(ColonySnapshot.objects.filter(id__in=ids).values_list("id", "workers"))


def attempts_of(decision: Decision, snapshot: Sequence[Fields]) -> list[Seen]:
    """None where the snapshot is not kept any more."""
    if not snapshot:
        return []
    return [_seen(attempt, snapshot, str(decision.task.get("model"))) for attempt in decision.attempts]


def _seen(attempt: Mapping[str, Any], snapshot: Sequence[Fields], model: str) -> Seen:
    facts = attempt.get("facts", {})
    workers = [{**fields, **facts.get(str(place), {})} for place, fields in enumerate(snapshot)]
    ids = [str(fields["id"]) for fields in workers]
    offered = [ids[place] for place in unpack(attempt.get("offered", ""))]
    chosen = ids[attempt["chosen"]] if "chosen" in attempt else ""
    gone = {str(fields["id"]): LeftBecause.MODEL for fields in workers if fields["model"] != model}
    for reason, places in attempt.get("gone", {}).items():
        gone |= {ids[place]: LeftBecause(reason) for place in unpack(places)}
    if chosen:
        rest = (worker for worker in offered if worker not in gone and worker != chosen)
        gone |= dict.fromkeys(rest, LeftBecause.NOT_LEAST_LOADED)
    return Seen(
        workers=dict(zip(ids, workers, strict=True)),
        offered=offered,
        gone=gone,
        chosen=chosen,
        micros=attempt.get("micros", 0),
        by=attempt.get("by", ""),
        broke=attempt.get("broke", ()),
    )


def _recorded(decision: Decision, snapshot: Sequence[Fields]) -> Recorded:
    attempts = attempts_of(decision, snapshot)
    if attempts and attempts[0].offered:
        offered = [attempts[0].workers[worker] for worker in attempts[0].offered]
    elif decision.outcome == DecisionOutcome.NO_WORKERS:
        offered = []
    else:
        offered = [fields for fields in snapshot if _would_serve(fields, decision.task)]
    region = str(decision.task.get("customer_region", ""))
    offered = [fields for fields in offered if in_region(str(fields["region"]), region)]
    return Recorded(
        task_id=decision.task_id,
        tenant_id=decision.tenant_id,
        at=decision.at,
        task=decision.task,
        customer=decision.customer,
        offered=offered,
        outcome=DecisionOutcome(decision.outcome),
        code=decision.code,
        worker=decision.worker,
        operator_sha256=decision.operator_sha256,
        tenant_sha256=decision.tenant_sha256,
    )


def _would_serve(worker: Mapping[str, Any], task: Mapping[str, Any]) -> bool:
    """As far as the facts tell."""
    return (
        worker["model"] == task.get("model")
        and worker["capability"] == task.get("type")
        and worker["status"] == "ready"
        and worker["in_flight"] < worker["capacity"]
        and in_region(worker["region"], str(task.get("customer_region", "")))
        and worker["dedicated_to"] in ("", task.get("customer_id"))
    )


def _scope_of(tenant_id: UUID | None) -> AbstractContextManager[None]:
    return colony_tx("decisions of all tenants") if tenant_id is None else tenant_tx(tenant_id)
