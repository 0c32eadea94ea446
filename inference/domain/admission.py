"""May this task run? The operator's `should_admit` is asked first, then the tenant's."""

from __future__ import annotations

import logging

import rhai_py

from inference.domain.policy_source import Policies, Policy, PolicyUnavailable
from inference.domain.refusals import PolicyFailed, Rejected

# The wall clock, which goes on while a busy machine runs somebody else; the work itself is bounded by the operations that
# a call may take, a few milliseconds' worth.
CALL_TIMEOUT_MS = 50.0

_log = logging.getLogger(__name__)


def admit(policies: Policies, tenant_id: str, task: rhai_py.Record, customer: rhai_py.Record) -> None:
    """No value, `()`, admits. Raises Rejected and PolicyFailed."""
    for policy in in_force(policies, tenant_id):
        if not policy.admits:
            continue
        answer = call_policy(policy, "should_admit", task, customer)
        if answer is None:
            continue
        if not isinstance(answer, rhai_py.Verdict):
            raise policy_failed(
                policy, f"should_admit returned {_kind(answer)}; end it with admit() or reject(…)"
            )
        raise_if_rejected(policy, answer)


def in_force(policies: Policies, tenant_id: str) -> list[Policy]:
    """In the order in which they decide. Raises PolicyFailed."""
    try:
        operator = policies.operator()
    except PolicyUnavailable:
        raise PolicyFailed from None
    tenant = policies.of_tenant(tenant_id)
    return [operator] if tenant is None else [operator, tenant]


def call_policy(policy: Policy, function: str, *arguments: object) -> object:
    """Raises PolicyFailed, whatever the script did."""
    try:
        return policy.script.call(function, *arguments, timeout_ms=CALL_TIMEOUT_MS)
    except rhai_py.RhaiError as error:
        raise policy_failed(
            policy, f"{function}: line {error.line}, column {error.column}: {error.kind}: {error.message}"
        ) from None


def raise_if_rejected(policy: Policy, verdict: rhai_py.Verdict) -> None:
    """Raises Rejected, or PolicyFailed for a code that nobody knows."""
    if verdict.admitted:
        return
    try:
        rejected = Rejected(verdict.message or "", verdict.code)
    except KeyError:
        raise policy_failed(policy, f"reject(…) names the unknown code {verdict.code!r}") from None
    raise rejected


def policy_failed(policy: Policy, problem: str) -> PolicyFailed:
    _log.error("policy of %s, sha256 %s: %s", policy.owner, policy.sha256[:12], problem)
    return PolicyFailed()


def _kind(answer: object) -> str:
    return "a worker" if isinstance(answer, rhai_py.Record) else type(answer).__name__
