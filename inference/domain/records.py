"""What scripts see of a task and of the customer it is for: the fields of `rbee_policy.world`."""

from __future__ import annotations

from typing import Final

import rhai_py

from gdpr.pseudonyms import pseudonym, subject_pseudonym
from gdpr.secrets import derive
from inference.domain.reserve import Used
from inference.domain.task import Task
from rbee_policy.world import NO_LIMIT
from tenants.domain.authentication import Caller

__all__ = ["NO_LIMIT", "customer_record", "session_pseudonym", "subject_pseudonym", "task_record"]

SESSION_LABEL: Final = "session-pseudonym"

NOTHING_USED: Final = Used()
MINUTES_A_DAY: Final = 24 * 60
EPOCH_WEEKDAY: Final = 3  # 1970 began on a Thursday, the third day after a Monday


def task_record(task: Task, *, kind: str, priority: str, used: Used = NOTHING_USED) -> rhai_py.Record:
    """`kind` is the capability that the task needs, such as text-gen."""
    caller = task.caller
    minutes = task.created_s // 60
    minute_of_day = minutes % MINUTES_A_DAY
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
            "estimated_duration_minutes": task.estimated_minutes,
            "hour": minute_of_day // 60,
            "minute": minute_of_day % 60,
            "weekday": (minutes // MINUTES_A_DAY + EPOCH_WEEKDAY) % 7 + 1,
            "tenant_id": caller.tenant_id,
            "project_id": caller.project_id,
            "customer_id": caller.tenant_slug,
            "customer_tier": caller.tier,
            "customer_region": caller.region,
            "customer_industry": caller.industry,
            "subject": task.subject,
            "session": task.session,
            "subject_tokens_used_today": used.subject_tokens_today,
            "subject_requests_this_minute": used.subject_requests,
        },
    )


def customer_record(caller: Caller, *, tokens_used_today: int) -> rhai_py.Record:
    limits = caller.limits
    daily_limit = _or_none(limits.tokens_per_day)
    remaining = NO_LIMIT if daily_limit == NO_LIMIT else max(0, daily_limit - tokens_used_today)
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
            "tokens_remaining_today": remaining,
            "daily_limit": daily_limit,
            "tokens_per_minute": _or_none(limits.tokens_per_minute),
            "requests_per_minute": _or_none(limits.requests_per_minute),
            "concurrent_tasks": _or_none(limits.concurrent_tasks),
        },
    )


def session_pseudonym(tenant_id: str, session: str) -> str:
    """As of an end user: a customer may put a name there too. Another one after the root secret was replaced: no session is
    that long."""
    return pseudonym(derive(SESSION_LABEL), tenant_id, session)


def _or_none(limit: int | None) -> int:
    return NO_LIMIT if limit is None else limit
