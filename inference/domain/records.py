"""What scripts see of a task and of the customer it is for. `platform/docs/policies.md` lists the fields."""

from __future__ import annotations

import hmac
from typing import Final

import rhai_py

from gdpr.secrets import derive
from inference.domain.task import Task
from tenants.domain.authentication import Caller

NO_LIMIT: Final = 2**63 - 1  # Rhai's largest integer: no use is beyond it
SUBJECT_LABEL: Final = "subject-pseudonym"
SUBJECT_BYTES: Final = 16


def task_record(task: Task, *, kind: str, priority: str) -> rhai_py.Record:
    """`kind` is the capability that the task needs, such as text-gen."""
    caller = task.caller
    return rhai_py.Record(
        "task",
        {
            "id": task.id,
            "type": kind,
            "model": task.model,
            "endpoint": str(task.endpoint),
            "stream": task.stream,
            "priority": priority,
            "max_tokens": task.max_tokens,
            "prompt_tokens_estimate": task.prompt_tokens_estimate,
            "deadline": task.deadline_ms // 1000,
            "tenant_id": caller.tenant_id,
            "project_id": caller.project_id,
            "customer_id": caller.tenant_slug,
            "customer_tier": caller.tier,
            "customer_region": caller.region,
            "customer_industry": caller.industry,
        },
    )


def customer_record(caller: Caller, *, tokens_used_today: int) -> rhai_py.Record:
    limits = caller.limits
    return rhai_py.Record(
        "customer",
        {
            "id": caller.tenant_slug,
            "tenant_id": caller.tenant_id,
            "tier": caller.tier,
            "plan": caller.plan_slug,
            "region": caller.region,
            "industry": caller.industry,
            "gdpr_consent": caller.gdpr_consent,
            "tokens_used_today": tokens_used_today,
            "daily_limit": _or_none(limits.tokens_per_day),
            "tokens_per_minute": _or_none(limits.tokens_per_minute),
            "requests_per_minute": _or_none(limits.requests_per_minute),
            "concurrent_tasks": _or_none(limits.concurrent_tasks),
        },
    )


def subject_pseudonym(tenant_id: str, subject: str) -> str:
    """What is kept of an end user: the same for the same tenant's same user, and nothing that leads back to the name.
    Empty for nobody."""
    if not subject:
        return ""
    named = f"{tenant_id}:{subject}".encode("utf-8", "replace")
    return hmac.digest(derive(SUBJECT_LABEL), named, "sha256")[:SUBJECT_BYTES].hex()


def _or_none(limit: int | None) -> int:
    return NO_LIMIT if limit is None else limit
