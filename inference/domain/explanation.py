"""Why a task went where it went, or was refused, as far as whoever asks may know.

A tenant sees what its own script was offered. Of the operator's script it learns the version, and which workers it took
away; of host code how many were left out and why, but for those that serve other models or belong to other customers: these
do not exist for it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from inference.domain.decision_reader import Seen, attempts_of, snapshots_of
from inference.enums import LeftBecause
from inference.models import Decision, PolicyVersion

HIDDEN: Final = frozenset({LeftBecause.MODEL, LeftBecause.DEDICATED_TO})

_TASK_NAME = re.compile(r"(?:chatcmpl-|cmpl-)?([0-9a-f]{32})", re.IGNORECASE)
_REQUEST_NAME = re.compile(r"req_[0-9a-f]{32}")


def find_decision(name: str) -> Decision | None:
    """By the id of a task, of its answer or of its request. In a scope of the caller."""
    decisions = Decision.objects.select_related("tenant")
    if _REQUEST_NAME.fullmatch(name):
        return decisions.filter(request_id=name).order_by("-task_id").first()
    task_id = task_id_of(name)
    return decisions.filter(task_id=task_id).first() if task_id else None


def task_id_of(name: str) -> UUID | None:
    """By its id, or that of its answer. None: it is neither."""
    task = _TASK_NAME.fullmatch(name) or _TASK_NAME.fullmatch(name.replace("-", ""))
    return UUID(task[1]) if task else None


def explain(decision: Decision, *, is_operator: bool) -> dict[str, Any]:
    """In a scope of the caller."""
    snapshot = snapshots_of([decision]).get(decision.snapshot_id, ())
    attempts = attempts_of(decision, snapshot)
    return {
        "customer": decision.customer,
        "task": decision.task,
        "policies": {
            "operator": _version(None, decision.operator_sha256, is_operator=is_operator),
            "tenant": _version(decision.tenant_id, decision.tenant_sha256, is_operator=True),
        },
        "attempts": [_for_operator(each) if is_operator else _for_tenant(each) for each in attempts],
    }


def _for_operator(attempt: Seen) -> dict[str, Any]:
    others = [worker for worker, reason in attempt.gone.items() if reason == LeftBecause.MODEL]
    rest = [worker for worker in attempt.gone if worker not in attempt.offered and worker not in others]
    return {
        **_told(attempt, attempt.broke),
        "workers": [_worker(attempt, worker) for worker in [*attempt.offered, *rest]],
        "not_offered": {LeftBecause.MODEL: len(others)} if others else {},
    }


def _for_tenant(attempt: Seen) -> dict[str, Any]:
    is_over = attempt.by == LeftBecause.OPERATOR_SCRIPT  # nothing came to the tenant's script
    workers = [
        _worker(attempt, worker, with_facts=not (is_over or _is_operators(attempt, worker)))
        for worker in attempt.offered
    ]
    counts = Counter(
        reason
        for worker, reason in attempt.gone.items()
        if worker not in attempt.offered and reason not in HIDDEN
    )
    broke = [
        {"by": each["by"]} if each["by"] == LeftBecause.OPERATOR_SCRIPT else each for each in attempt.broke
    ]
    return {**_told(attempt, broke), "workers": workers, "not_offered": dict(sorted(counts.items()))}


def _told(attempt: Seen, broke: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "chosen": attempt.chosen or None,
        "micros": attempt.micros,
        "ended_by": attempt.by or None,
        "broke": [dict(each) for each in broke],
    }


def _worker(attempt: Seen, worker: str, *, with_facts: bool = True) -> dict[str, Any]:
    fields = attempt.workers[worker]
    return {
        "id": worker,
        "hive": fields["hive"],
        "reason": attempt.gone.get(worker),
        "facts": fields if with_facts else None,
    }


def _is_operators(attempt: Seen, worker: str) -> bool:
    return attempt.gone.get(worker) == LeftBecause.OPERATOR_SCRIPT


def _version(tenant_id: UUID | None, sha256: str, *, is_operator: bool) -> dict[str, Any] | None:
    if not sha256:
        return None
    version = None
    if is_operator:
        kept = (
            PolicyVersion.objects.filter(tenant__isnull=True)
            if tenant_id is None
            else PolicyVersion.objects.filter(tenant=tenant_id)
        )
        version = kept.filter(sha256=sha256).order_by("number").last()
    return {
        "sha256": sha256,
        "id": str(version.id) if version else None,
        "number": version.number if version else None,
    }
