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

from inference.domain.admission import in_force, policy_failed, script_of
from inference.domain.policy_source import Policies, Policy
from inference.domain.refusals import NoWorkers, Rejected
from inference.domain.trace import Attempt
from rbee_policy.asking import Rejection, ScriptBroke, ask_routing, least_loaded
from rbee_policy.functions import NO_FACTS, Facts


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
    policies: Policies,
    tenant_id: str,
    task: rhai_py.Record,
    model: str,
    workers: Sequence[W],
    *,
    facts: Facts = NO_FACTS,
    attempt: Attempt | None = None,
) -> tuple[W, Decision]:
    """`workers` may all serve the task. `attempt` is told how it goes, as far as that comes. Raises NoWorkers, Rejected
    and PolicyFailed."""
    began = time.perf_counter_ns()
    deciders = in_force(policies, tenant_id)
    left: Sequence[W] = workers
    attempt = attempt or Attempt()
    try:
        for policy in deciders:
            if policy.routes and left:
                left = _ask(policies, policy, task, left, facts, attempt)
                attempt.kept.append((script_of(policy), left))
        if not left:
            raise NoWorkers(model)
        chosen = left[0] if len(left) == 1 else least_loaded(left)
    finally:
        micros = (time.perf_counter_ns() - began) // 1000
        attempt.micros += micros
    attempt.chosen = chosen.id
    tenant_sha256 = deciders[1].sha256 if len(deciders) > 1 else ""
    return chosen, Decision(deciders[0].sha256, tenant_sha256, len(workers), chosen.id, micros)


def _ask(
    policies: Policies,
    policy: Policy,
    task: rhai_py.Record,
    workers: Sequence[W],
    facts: Facts,
    attempt: Attempt,
) -> Sequence[W]:
    """What the script leaves of `workers`: all of them where it breaks and its owner's policy falls back."""
    try:
        left = ask_routing(policy.script, task, workers, turn=next(policy.turn), facts=facts)
    except ScriptBroke as broke:
        failed = policy_failed(policies, policy, broke)
        attempt.broke.append((script_of(policy), broke))
        if policies.falls_back(policy):
            return workers
        raise failed from None
    if isinstance(left, Rejection):
        raise Rejected(left, script_of(policy))
    return left
