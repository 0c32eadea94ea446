"""May this task run? The operator's `should_admit` is asked first, then the tenant's."""

from __future__ import annotations

import logging

import rhai_py

from inference.domain.policy_source import Policies, Policy, PolicyUnavailable
from inference.domain.refusals import PolicyFailed, Rejected
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
            raise policy_failed(policy, broke) from None
        if rejection is not None:
            raise Rejected(rejection)


def in_force(policies: Policies, tenant_id: str) -> list[Policy]:
    """In the order in which they decide. Raises PolicyFailed."""
    try:
        operator = policies.operator()
    except PolicyUnavailable:
        raise PolicyFailed from None
    tenant = policies.of_tenant(tenant_id)
    return [operator] if tenant is None else [operator, tenant]


def policy_failed(policy: Policy, broke: ScriptBroke) -> PolicyFailed:
    _log.error("policy of %s, sha256 %s: %s", policy.owner, policy.sha256[:12], broke)
    return PolicyFailed()
