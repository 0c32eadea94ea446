"""What limits stand at, for people to look at: from the counters, or from the books where no counter has been needed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import redis
from django.db import connection

from billing.domain.quantities import SCALES, Wanted, used_query
from gdpr.scope import colony_tx
from inference.domain.errors import RedisUnreachable
from inference.domain.limits import DAY_MS, MINUTE_MS, UNLIMITED, Limit, limits_of
from inference.domain.notices import redis_client
from inference.domain.reserve import month_end_ms, period_start_ms
from tenants.domain.authentication import Caller
from tenants.domain.limit_shape import SPEND, UNITS


def report(caller: Caller) -> list[dict[str, Any]]:
    """Of every limit that applies to `caller`. Raises RedisUnreachable."""
    limits = [
        limit
        for limit in limits_of(caller, 0, amounts=dict.fromkeys((*UNITS, SPEND), 0))
        if limit.limit != UNLIMITED
    ]
    now_ms = int(time.time() * 1000)
    return [
        _row(limit, used, reset_ms)
        for limit, (used, reset_ms) in zip(limits, _states(limits, now_ms), strict=True)
    ]


def _states(limits: Sequence[Limit], now_ms: int) -> list[tuple[int, int]]:
    """What is used, and in how many milliseconds that is forgotten."""
    try:
        with redis_client().pipeline(transaction=False) as pipe:
            for limit in limits:
                if limit.kind == "l":
                    pipe.zcount(limit.key, now_ms, "+inf")
                else:
                    pipe.hmget(limit.key, "start", "used", "loaded")
            counters = pipe.execute()
    except redis.RedisError:
        raise RedisUnreachable("The counters cannot be read at the moment; try again.") from None
    states: list[tuple[int, int] | None] = [
        _state(limit, counter, now_ms) for limit, counter in zip(limits, counters, strict=True)
    ]
    unread = [limit for limit, state in zip(limits, states, strict=True) if state is None]
    used = iter(_by_the_books(unread, now_ms) if unread else ())
    return [
        state or (next(used), _reset_ms(limit, now_ms)) for limit, state in zip(limits, states, strict=True)
    ]


def _state(limit: Limit, counter: Any, now_ms: int) -> tuple[int, int] | None:
    """None: only the books know."""
    if limit.kind == "l":
        return int(counter), 0
    start, used, loaded = counter
    if limit.kind == "w":
        left_ms = int(start) + MINUTE_MS - now_ms if start is not None else 0
        return (int(used), left_ms) if left_ms > 0 else (0, 0)
    if limit.is_of_books and loaded is None:
        return None
    is_of_now = start is not None and int(start) == period_start_ms(limit, now_ms)
    return int(used) if is_of_now else 0, _reset_ms(limit, now_ms)


def _reset_ms(limit: Limit, now_ms: int) -> int:
    ends_ms = month_end_ms(now_ms) if limit.kind == "M" else period_start_ms(limit, now_ms) + DAY_MS
    return ends_ms - now_ms


def _by_the_books(limits: Sequence[Limit], now_ms: int) -> list[int]:
    wanted = [
        Wanted(limit.level, limit.owner, limit.unit, period_start_ms(limit, now_ms)) for limit in limits
    ]
    query, parameters = used_query(limits[0].tenant_id, wanted)
    with colony_tx("what limits stand at"), connection.cursor() as cursor:
        cursor.execute(query, parameters)
        return [int(used) for used in cursor.fetchone()]


def _row(limit: Limit, used: int, reset_ms: int) -> dict[str, Any]:
    scale = SCALES.get(limit.unit, 1)
    return {
        "object": "limit",
        "level": limit.level,
        "limit": limit.name,
        "unit": limit.unit,
        "period": limit.period or None,
        "allowed": limit.limit // scale,
        "used": used // scale,
        "remaining": max(0, limit.limit - used) // scale,
        "resets_in_s": -(-reset_ms // 1000),
        "soft": limit.is_soft,
    }
