"""Which worker serves a task.

Host code offers the workers that may. The operator's `route_task` chooses among them: one worker, a list, or no opinion.
The tenant's chooses among what that leaves. Where several are left, the least loaded serves. A script that leaves none
means it: there is no fallback.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol, TypeVar

import msgspec
import rhai_py

from inference.domain.admission import call_policy, in_force, policy_failed, raise_if_rejected
from inference.domain.policy_source import Policies, Policy
from inference.domain.refusals import NoWorkers


class Offered(Protocol):
    """A worker that may serve; `record` is how scripts see it."""

    @property
    def id(self) -> str: ...
    @property
    def record(self) -> rhai_py.Record: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def capacity(self) -> int: ...


W = TypeVar("W", bound=Offered)


class Decision(msgspec.Struct, frozen=True):
    """Why a task went where it went; kept with its usage. The hashes are of the scripts that were asked."""

    operator: str
    tenant: str
    candidates: int
    chosen: str
    micros: int


def route(
    policies: Policies, tenant_id: str, task: rhai_py.Record, model: str, workers: Sequence[W]
) -> tuple[W, Decision]:
    """`workers` may all serve the task. Raises NoWorkers, Rejected and PolicyFailed."""
    began = time.perf_counter_ns()
    deciders = in_force(policies, tenant_id)
    left: Sequence[W] = workers
    for policy in deciders:
        if policy.routes and left:
            left = _ask(policy, task, left)
    if not left:
        raise NoWorkers(model)
    chosen = left[0] if len(left) == 1 else least_loaded(left)
    micros = (time.perf_counter_ns() - began) // 1000
    tenant_sha256 = deciders[1].sha256 if len(deciders) > 1 else ""
    return chosen, Decision(deciders[0].sha256, tenant_sha256, len(workers), chosen.id, micros)


def least_loaded(workers: Sequence[W]) -> W:
    """By what is in flight for what it takes; of equal ones the first."""
    return min(workers, key=lambda worker: (worker.in_flight / max(worker.capacity, 1), worker.in_flight))


def _ask(policy: Policy, task: rhai_py.Record, workers: Sequence[W]) -> Sequence[W]:
    """What the script leaves of `workers`."""
    offered = {id(worker.record): worker for worker in workers}
    records = rhai_py.Workers([worker.record for worker in workers], round_robin=next(policy.turn))
    answer = call_policy(policy, "route_task", task, records)
    if answer is None:
        return workers
    if isinstance(answer, rhai_py.None_):
        return ()
    if isinstance(answer, rhai_py.Record):
        chosen = offered.get(id(answer))
        if chosen is None:
            raise policy_failed(policy, "route_task returned something that is none of its workers")
        return (chosen,)
    if isinstance(answer, rhai_py.Workers):
        answer = answer.to_list()
    if isinstance(answer, list):
        left = [offered.get(id(record)) for record in answer]
        if None in left:
            raise policy_failed(
                policy, "route_task returned a list with something that is none of its workers"
            )
        return [worker for worker in left if worker is not None]
    if isinstance(answer, rhai_py.Verdict):
        raise_if_rejected(policy, answer)
        return workers
    raise policy_failed(
        policy, f"route_task returned {type(answer).__name__}; return a worker, workers or nothing"
    )
