"""What a caller may use, as a list that the reservation script takes and gives back without knowing what it means.

A limit is a kind and a key: whoever shares the key shares the limit, whichever API key they came with. Kinds:

    w   a quantity for each minute, which begins with its first use
    d   a quantity for each day in UTC
    D   the same, and M for each calendar month, which begin with what the books say
    l   a number of tasks at a time, each held by a lease that the queen renews
    m   money that is left in a budget slice, held until the task has ended: no clock gives it back (see treasury.py)

Those of tenant, project, key and end user are in one list, so all are taken or none is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple

from billing.domain.quantities import SCALES
from inference.domain.failures import TaskFailed
from tenants.domain.limit_shape import NO_LEVELS, NO_LIMITS, SPEND, LevelLimits

if TYPE_CHECKING:
    from tenants.domain.authentication import Caller

MINUTE_MS = 60_000
DAY_MS = 86_400_000
UNLIMITED = -1  # counted all the same
LEASE_RETRY_S = 1
WARNED_PERCENT: Final = 80
LONGEST_FIRST: Final = (("month", "M"), ("day", "D"))
TOKENS, REQUESTS, TASKS = "tokens", "requests", "tasks"
SLICE_PREFIX: Final = "rbee:slice:"


class Limit(NamedTuple):
    name: str  # requests, tokens, concurrent_tasks, tokens_per_day, spend_micros_per_month, tokens_of_subject
    kind: str
    key: str
    limit: int
    amount: int
    unit: str
    level: str = "tenant"
    owner: str = ""  # whose: an identifier, or an end user's pseudonym
    is_soft: bool = False

    @property
    def tenant_id(self) -> str:
        return self.key.split(":")[2]

    @property
    def is_of_books(self) -> bool:
        return self.kind in "DM"

    @property
    def period(self) -> str:
        return {"M": "month", "D": "day", "d": "day", "w": "minute"}.get(self.kind, "")

    @property
    def enforced(self) -> int:
        """What the script refuses beyond."""
        return UNLIMITED if self.is_soft else self.limit


class Level(NamedTuple):
    """What a limit stood at when it was asked."""

    limit: Limit
    used: int  # this task's amount included, if it was taken
    reset_ms: int

    @property
    def remaining(self) -> int:
        return max(0, self.limit.limit - self.used)

    @property
    def percent(self) -> int:
        return self.used * 100 // self.limit.limit if self.limit.limit > 0 else 100


def limits_of(
    caller: Caller,
    tokens: int,
    *,
    subject: str = "",
    counts_subject: bool = True,
    amounts: Mapping[str, int] | None = None,
) -> list[Limit]:
    """The longest first: who has used up a day should not be told to wait for a minute. `amounts`: of other units, as a
    task may use at most; a unit that is not named is none of its. `counts_subject`: what the end user takes is counted
    without a limit too: scripts decide what that means."""
    tenant, levels = caller.tenant_id, caller.levels
    owned = (
        ()
        if levels is NO_LEVELS
        else (
            ("tenant", tenant, levels.tenant),
            ("project", caller.project_id, levels.project),
            ("key", caller.key_id, levels.key),
            ("subject", subject, levels.subject),
        )
    )
    set_levels = [each for each in owned if each[2] != NO_LIMITS and each[1]]
    found = [
        limit
        for level, owner, limits in set_levels
        for limit in _of_periods(tenant, level, owner, limits, amounts or {TOKENS: tokens, REQUESTS: 1})
    ]
    found += _of_tenant(caller, tokens)
    for level, owner, limits in set_levels:
        if level != "tenant":  # whose rates are in columns
            found += _rates(tenant, level, owner, limits, tokens)
    if subject and counts_subject:
        day, minute = subject_keys(tenant, subject)
        found.append(Limit("tokens_of_subject", "d", day, UNLIMITED, tokens, TOKENS, "subject", subject))
        found.append(Limit("requests_of_subject", "w", minute, UNLIMITED, 1, REQUESTS, "subject", subject))
    return found


def money_limit(slice_id: str, hold_micros: int) -> Limit:
    """To be the last one: who is over another limit needs no money."""
    return Limit("balance", "m", slice_key(slice_id), UNLIMITED, hold_micros, SPEND)


def slice_key(slice_id: str) -> str:
    return SLICE_PREFIX + slice_id


def day_key(tenant_id: str) -> str:
    return f"rbee:lim:{tenant_id}:day"


def subject_keys(tenant_id: str, subject: str) -> tuple[str, str]:
    """Of an end user's tokens of a day, and requests of a minute."""
    key = f"rbee:lim:{tenant_id}:of:{subject}"
    return f"{key}:day", f"{key}:requests"


def _of_tenant(caller: Caller, tokens: int) -> Iterator[Limit]:
    """Its day is counted even without a limit: scripts look at it."""
    limits, tenant, is_soft = caller.limits, caller.tenant_id, caller.levels.tenant.soft
    of_day = UNLIMITED if limits.tokens_per_day is None else limits.tokens_per_day
    key = f"rbee:lim:{tenant}"
    yield Limit("tokens_per_day", "d", day_key(tenant), of_day, tokens, TOKENS, "tenant", tenant, is_soft)
    yield from _minute_and_now(
        key, limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent_tasks, tokens,
        ("tenant", tenant, is_soft),
    )  # fmt: skip


def _rates(tenant: str, level: str, owner: str, limits: LevelLimits, tokens: int) -> Iterator[Limit]:
    yield from _minute_and_now(
        _key(tenant, level, owner), limits.requests_per_minute, limits.tokens_per_minute, limits.concurrent_tasks,
        tokens, (level, owner, limits.soft),
    )  # fmt: skip


def _minute_and_now(
    key: str,
    requests: int | None,
    tokens: int | None,
    tasks: int | None,
    amount: int,
    whose: tuple[str, str, bool],
) -> Iterator[Limit]:
    if requests is not None:
        yield Limit(REQUESTS, "w", f"{key}:requests", requests, 1, REQUESTS, *whose)
    if tokens is not None:
        yield Limit(TOKENS, "w", f"{key}:tokens", tokens, amount, TOKENS, *whose)
    if tasks is not None:
        yield Limit("concurrent_tasks", "l", f"{key}:tasks", tasks, 1, TASKS, *whose)


def _of_periods(
    tenant: str, level: str, owner: str, limits: LevelLimits, amounts: Mapping[str, int]
) -> Iterator[Limit]:
    key = _key(tenant, level, owner)
    for unit, periods in limits.periods.items():
        if unit not in amounts:
            continue
        for period, kind in LONGEST_FIRST:
            if (allowed := getattr(periods, period)) is not None:
                yield Limit(
                    f"{unit}_per_{period}",
                    kind,
                    f"{key}:{unit}:{period}:{limits.version}",
                    allowed * SCALES.get(unit, 1),
                    amounts[unit],
                    unit,
                    level,
                    owner,
                    limits.soft,
                )


def _key(tenant: str, level: str, owner: str) -> str:
    return f"rbee:lim:{tenant}" if level == "tenant" else f"rbee:lim:{tenant}:{level}:{owner}"


def refusal(refused: Level) -> TaskFailed:
    limit = refused.limit
    whose = "" if limit.level == "tenant" else f" of this {_LEVEL_NAMES[limit.level]}"
    if limit.kind in "dDM":
        scale = SCALES.get(limit.unit, 1)
        if limit.unit == SPEND:
            left = max(0, refused.limit.limit - refused.used)
            message = (
                f"The budget{whose} of {limit.limit} micro-units a {limit.period} has {left} left; this request may cost"
                f" {limit.amount}."
            )
        else:
            unit = limit.unit.replace("_", " ")
            message = (
                f"The quota{whose} of {limit.limit // scale} {unit} a {limit.period} does not leave"
                f" {math.ceil(limit.amount / scale)} for this request."
            )
        return TaskFailed(
            429,
            "insufficient_quota",
            "insufficient_quota" if limit.unit == SPEND else "quota_exceeded",
            message,
            {"x-should-retry": "false", "retry-after": str(math.ceil(refused.reset_ms / 1000))},
        )
    headers = rate_headers([refused])
    if limit.kind == "l":
        message = f"{limit.limit} tasks{whose} run at the same time, which is the limit."
        return _rate_limited(message, {**headers, "retry-after": str(LEASE_RETRY_S)})
    if limit.amount > limit.limit:
        message = (
            f"The request needs {limit.amount} {limit.name}, the limit{whose} is {limit.limit} a minute."
        )
        return _rate_limited(message, {**headers, "x-should-retry": "false"})
    retry_s = max(1, math.ceil(refused.reset_ms / 1000))
    message = f"The limit{whose} of {limit.limit} {limit.name} a minute is reached; try again in {retry_s} s."
    return _rate_limited(message, {**headers, "retry-after": str(retry_s)})


def rate_headers(levels: list[Level]) -> dict[str, str]:
    """`x-ratelimit-*` of what has a limit for each minute, of whoever is nearest to theirs, and what is nearly used up or
    is beyond a limit that refuses nobody."""
    tightest: dict[str, Level] = {}
    warnings = []
    for level in levels:
        limit = level.limit
        if limit.limit == UNLIMITED:
            continue
        if limit.kind == "w":
            known = tightest.get(limit.name)
            if known is None or level.remaining < known.remaining:
                tightest[limit.name] = level
        if (limit.kind in "dDM" and level.percent >= WARNED_PERCENT) or level.used > limit.limit:
            warnings.append(f"{limit.level} {limit.name} {level.percent}%")
    headers = {}
    for name, level in tightest.items():
        headers[f"x-ratelimit-limit-{name}"] = str(level.limit.limit)
        headers[f"x-ratelimit-remaining-{name}"] = str(level.remaining)
        headers[f"x-ratelimit-reset-{name}"] = duration(level.reset_ms)
    if warnings:
        headers["x-rbee-limit-warning"] = ", ".join(warnings)
    return headers


def duration(ms: int) -> str:
    """As Go writes it, because clients parse it so: 12ms, 1s, 1.5s, 6m0s."""
    if ms < 1000:
        return f"{max(0, ms)}ms"
    minutes, ms = divmod(ms, 60_000)
    seconds = f"{ms / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


_LEVEL_NAMES: Final = {"project": "project", "key": "key", "subject": "end user"}


def _rate_limited(message: str, headers: dict[str, str]) -> TaskFailed:
    return TaskFailed(429, "rate_limit_error", "rate_limit_exceeded", message, headers)
