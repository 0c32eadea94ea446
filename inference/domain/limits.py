"""What a caller may use, as a list that the reservation script takes and gives back without knowing what it means.

A limit is a kind and a key: whoever shares the key shares the limit, whichever API key they came with. Kinds:

    w   a quantity for each minute, which begins with its first use
    d   a quantity for each day in UTC
    l   a number of tasks at a time, each held by a lease that the queen renews
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from inference.domain.failures import TaskFailed

if TYPE_CHECKING:
    from tenants.domain.authentication import Caller

MINUTE_MS = 60_000
DAY_MS = 86_400_000
UNLIMITED = -1  # counted all the same
LEASE_RETRY_S = 1


class Limit(NamedTuple):
    name: str  # requests, tokens, concurrent_tasks, tokens_per_day, requests_of_subject, tokens_of_subject
    kind: str
    key: str
    limit: int
    amount: int

    @property
    def is_of_tokens(self) -> bool:
        return self.name.startswith("tokens")


class Level(NamedTuple):
    """What a limit stood at when it was asked."""

    limit: Limit
    used: int  # this task's amount included, if it was taken
    reset_ms: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit.limit - self.used)


def limits_of(caller: Caller, tokens: int, *, subject: str = "") -> list[Limit]:
    """The longest first: who has used up a day should not be told to wait for a minute. What an end user takes, whom
    `subject` stands for, is only counted: scripts decide what that means."""
    limits, tenant = caller.limits, caller.tenant_id
    of_day = UNLIMITED if limits.tokens_per_day is None else limits.tokens_per_day
    found = [Limit("tokens_per_day", "d", day_key(tenant), of_day, tokens)]
    if limits.requests_per_minute is not None:
        found.append(Limit("requests", "w", f"rbee:lim:{tenant}:requests", limits.requests_per_minute, 1))
    if limits.tokens_per_minute is not None:
        found.append(Limit("tokens", "w", f"rbee:lim:{tenant}:tokens", limits.tokens_per_minute, tokens))
    if limits.concurrent_tasks is not None:
        found.append(Limit("concurrent_tasks", "l", f"rbee:lim:{tenant}:tasks", limits.concurrent_tasks, 1))
    if subject:
        day, minute = subject_keys(tenant, subject)
        found.append(Limit("tokens_of_subject", "d", day, UNLIMITED, tokens))
        found.append(Limit("requests_of_subject", "w", minute, UNLIMITED, 1))
    return found


def day_key(tenant_id: str) -> str:
    return f"rbee:lim:{tenant_id}:day"


def subject_keys(tenant_id: str, subject: str) -> tuple[str, str]:
    """Of an end user's tokens of a day, and requests of a minute."""
    key = f"rbee:lim:{tenant_id}:of:{subject}"
    return f"{key}:day", f"{key}:requests"


def refusal(refused: Level) -> TaskFailed:
    limit = refused.limit
    if limit.kind == "d":
        return TaskFailed(
            429,
            "insufficient_quota",
            "quota_exceeded",
            f"The quota of {limit.limit} tokens a day does not leave {limit.amount} for this request.",
            {"x-should-retry": "false", "retry-after": str(math.ceil(refused.reset_ms / 1000))},
        )
    headers = rate_headers([refused])
    if limit.amount > limit.limit:
        message = f"The request needs {limit.amount} {limit.name}, the limit is {limit.limit} a minute."
        return _rate_limited(message, {**headers, "x-should-retry": "false"})
    if limit.kind == "l":
        message = f"{limit.limit} tasks run at the same time, which is the limit."
        return _rate_limited(message, {**headers, "retry-after": str(LEASE_RETRY_S)})
    retry_s = max(1, math.ceil(refused.reset_ms / 1000))
    message = f"The limit of {limit.limit} {limit.name} a minute is reached; try again in {retry_s} s."
    return _rate_limited(message, {**headers, "retry-after": str(retry_s)})


def rate_headers(levels: list[Level]) -> dict[str, str]:
    """`x-ratelimit-*` of what has a limit for each minute."""
    headers = {}
    for level in levels:
        name = level.limit.name
        if level.limit.kind == "w" and level.limit.limit != UNLIMITED:
            headers[f"x-ratelimit-limit-{name}"] = str(level.limit.limit)
            headers[f"x-ratelimit-remaining-{name}"] = str(level.remaining)
            headers[f"x-ratelimit-reset-{name}"] = duration(level.reset_ms)
    return headers


def duration(ms: int) -> str:
    """As Go writes it, because clients parse it so: 12ms, 1s, 1.5s, 6m0s."""
    if ms < 1000:
        return f"{max(0, ms)}ms"
    minutes, ms = divmod(ms, 60_000)
    seconds = f"{ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def _rate_limited(message: str, headers: dict[str, str]) -> TaskFailed:
    return TaskFailed(429, "rate_limit_error", "rate_limit_exceeded", message, headers)
