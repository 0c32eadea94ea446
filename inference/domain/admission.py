"""May this task run? The operator's `should_admit` is asked first, then the tenant's."""

from __future__ import annotations

import logging

import rhai_py

from inference.domain.policy_source import OPERATOR, Policies, Policy, PolicyUnavailable
from inference.domain.refusals import PolicyFailed, Rejected
from inference.enums import LeftBecause
from rbee_policy.asking import ScriptBroke, ask_admission
from rbee_policy.functions import NO_FACTS, Facts

_log = logging.getLogger(__name__)


def admit(
    policies: Policies,
    tenant_id: str,
    task: rhai_py.Record,
    customer: rhai_py.Record,
    *,
    facts: Facts = NO_FACTS,
) -> None:
    """Raises Rejected and PolicyFailed."""
    for policy in in_force(policies, tenant_id):
        if not policy.admits:
            continue
        try:
            rejection = ask_admission(policy.script, task, customer, facts=facts)
        except ScriptBroke as broke:
            raise policy_failed(policies, policy, broke) from None
        if rejection is not None:
            raise Rejected(rejection, script_of(policy))


def in_force(policies: Policies, tenant_id: str) -> list[Policy]:
    """In the order in which they decide. Raises PolicyFailed."""
    try:
        operator = policies.operator()
    except PolicyUnavailable:
        policies.tell_failed(None, None)
        raise PolicyFailed(LeftBecause.OPERATOR_SCRIPT, None) from None
    try:
        tenant = policies.of_tenant(tenant_id)
    except PolicyUnavailable:
        raise PolicyFailed(LeftBecause.TENANT_SCRIPT, None) from None
    return [operator] if tenant is None else [operator, tenant]


def policy_failed(policies: Policies, policy: Policy, broke: ScriptBroke) -> PolicyFailed:
    """Its owner hears of it."""
    policies.tell_failed(policy, broke)
    _log.error("policy of %s, sha256 %s: %s", policy.owner, policy.sha256[:12], broke)
    return PolicyFailed(script_of(policy), broke)


def script_of(policy: Policy) -> LeftBecause:
    return LeftBecause.OPERATOR_SCRIPT if policy.owner == OPERATOR else LeftBecause.TENANT_SCRIPT
