"""Budget slices that nobody needs, that Redis lost, or that hold money for tasks nobody will report: by a chore.

An open slice is closed when it was idle, or when a task of it is overdue: one that its queen was killed with before any
hive began it holds its money until then. A closing slice gives back what is left of it at once, and what its tasks
hold as they end. Once all that they used is settled it is closed, else when its time is over.

PostgreSQL is told what Redis gave back, not the other way round: a chore that is killed in between leaves money held, and
the next one finds it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import redis
from django.conf import settings
from django.utils import timezone

from billing.domain import slices
from billing.enums import SliceState
from billing.models import BudgetSlice
from gdpr.ids import made_at
from inference.domain.limits import slice_key
from inference.domain.notices import redis_client
from inference.domain.reserve import EPOCH_KEY
from inference.transport import scripts

IDLE_S: Final = 600
OVERDUE_S: Final = 60  # after the longest that a task may take
TOMBSTONE_S: Final = 86_400  # a grant that is on its way must not open a closed slice again
TASK_FIELD: Final = b"t:"

_log = logging.getLogger(__name__)


class Totals(NamedTuple):
    """Of a closing slice in Redis."""

    granted_micros: int
    returned_micros: int
    used_micros: int  # by tasks that ended
    tasks: int  # that hold some of it


def keep_slices(now: datetime | None = None) -> int:
    """How many were closed. Nothing while Redis is away, or its counters are being restored."""
    now, closed = now or timezone.now(), 0
    try:
        client: Any = redis_client()
        epoch = client.get(EPOCH_KEY)
        if epoch is None:
            return 0
        for found in slices.slices_held():
            closed += _keep(client, found, epoch.decode(), now)
    except redis.RedisError as error:
        _log.warning("budget slices are looked at later: %s", type(error).__name__)
    return closed


def _keep(client: Any, found: BudgetSlice, epoch: str, now: datetime) -> int:
    longest_task_s = settings.RBEE.task_timeout_s
    if found.epoch != epoch and found.state in (SliceState.OPEN, SliceState.CLOSING):
        slices.lose(found.id, longest_task_s=longest_task_s)
        found = slices.slice_now(found.id)
    if found.state == SliceState.LOST:
        _bury(client, found)
        return _close_late(found, now)
    if found.state == SliceState.OPEN:
        reason = _why_close(client.hgetall(slice_key(found.id.hex)), found, now, longest_task_s)
        if not reason:
            return 0
        slices.begin_closing(found.id, longest_task_s=longest_task_s, reason=reason)
    return _drain(client, found, now)


def _drain(client: Any, found: BudgetSlice, now: datetime) -> int:
    totals = Totals(*_drained(client, found.id))
    slices.take_back(found.id, totals.returned_micros)
    found = slices.slice_now(found.id)
    is_all_here = totals.granted_micros == found.granted_micros
    if is_all_here and not totals.tasks and found.settled_micros >= totals.used_micros:
        _bury(client, found)
        slices.close(found.id, reason="settled")
        return 1
    if not is_all_here:  # granted, but never pushed
        client.eval(
            scripts.FUND_SLICE.text.decode(),
            2,
            EPOCH_KEY,
            slice_key(found.id.hex),
            found.epoch,
            found.granted_micros,
        )
    return _close_late(found, now)


def _close_late(found: BudgetSlice, now: datetime) -> int:
    if found.lost_until is None or found.lost_until > now:
        return 0
    slices.close(found.id, reason="its time is over")
    return 1


def _why_close(fields: Mapping[bytes, bytes], found: BudgetSlice, now: datetime, longest_task_s: int) -> str:
    """Empty: it stays open."""
    tasks = [UUID(name[len(TASK_FIELD) :].decode()) for name in fields if name.startswith(TASK_FIELD)]
    if min(map(made_at, tasks), default=now) < now - timedelta(seconds=longest_task_s + OVERDUE_S):
        return "overdue"
    used_at_s = int(fields.get(b"at", 0)) / 1000 or found.opened_at.timestamp()
    return "idle" if not tasks and now.timestamp() - used_at_s > IDLE_S else ""


def _drained(client: Any, slice_id: UUID) -> list[int]:
    found: list[int] = client.eval(scripts.DRAIN_SLICE.text.decode(), 1, slice_key(slice_id.hex))
    return found


def _bury(client: Any, found: BudgetSlice) -> None:
    """Nothing is reserved out of it again, also not by a queen that has heard nothing."""
    key = slice_key(found.id.hex)
    client.hset(key, "closed", 1)
    client.expire(key, TOMBSTONE_S)
