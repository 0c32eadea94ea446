"""The chore that gives back what nobody needs: by what Redis and PostgreSQL say, as time passes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest
import redis
from django.utils import timezone

from billing.enums import SliceState
from billing.models import BudgetSlice
from gdpr.ids import uuid7
from gdpr.scope import colony_tx
from inference.domain.limits import slice_key
from inference.domain.reserve import EPOCH_KEY
from inference.domain.slice_keeper import IDLE_S, OVERDUE_S, keep_slices
from inference.transport import scripts
from tests.billing.domain.test_ledger import money_of
from tests.billing.domain.test_slices import ask, prepaid, state_of

pytestmark = pytest.mark.django_db

SOON = timedelta(seconds=IDLE_S + 1)
DAY = timedelta(hours=26)


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with colony_tx("tests"):
        BudgetSlice.objects.exclude(state=SliceState.CLOSED).update(
            state=SliceState.CLOSED
        )  # of tests that commit
    with redis.Redis.from_url(redis_url) as client:
        client.set(EPOCH_KEY, "1")
        yield client


def open_slice(client: redis.Redis, amount: int = 100) -> tuple[UUID, str]:
    project = prepaid(amount)
    granted = ask(project, amount)
    push(client, granted.slice_id, amount)
    return project.tenant_id, granted.slice_id


def push(client: redis.Redis, slice_id: str, total: int) -> None:
    client.eval(scripts.FUND_SLICE.text.decode(), 2, EPOCH_KEY, slice_key(slice_id), "1", total)


def hold(client: redis.Redis, slice_id: str, amount: int) -> str:
    """As a reservation does it."""
    task = uuid7().hex
    client.hincrby(slice_key(slice_id), "left", -amount)
    client.hset(slice_key(slice_id), f"t:{task}", amount)
    return task


def release(client: redis.Redis, slice_id: str, task: str, paid: int) -> None:
    client.eval(scripts.RELEASE_HOLDS.text.decode(), 1, slice_key(slice_id), task, paid)


def keep(later: timedelta = timedelta()) -> int:
    return keep_slices(timezone.now() + later)


def test_a_slice_in_use_is_left_alone(client: redis.Redis) -> None:
    tenant, slice_id = open_slice(client)
    hold(client, slice_id, 10)
    assert (keep(), keep(timedelta(seconds=IDLE_S - 5))) == (0, 0)
    assert state_of(slice_id) == (SliceState.OPEN, 100)
    assert money_of(tenant) == (0, 100)


def test_an_idle_slice_comes_back_and_its_grave_stays_closed(client: redis.Redis) -> None:
    tenant, slice_id = open_slice(client)
    assert keep(SOON) == 1
    assert state_of(slice_id) == (SliceState.CLOSED, 0)
    assert money_of(tenant) == (100, 0)
    assert client.hget(slice_key(slice_id), "closed") == b"1"
    assert client.ttl(slice_key(slice_id)) > 0


def test_what_ended_and_is_not_settled_stays_held(client: redis.Redis) -> None:
    tenant, slice_id = open_slice(client)
    release(client, slice_id, hold(client, slice_id, 30), 20)
    assert (keep(SOON), keep(SOON)) == (0, 0)
    assert state_of(slice_id) == (SliceState.CLOSING, 20)
    assert money_of(tenant) == (80, 20)
    with colony_tx("tests"):
        BudgetSlice.objects.filter(id=slice_id).update(settled_micros=19)
    assert keep(SOON) == 0
    assert keep(DAY) == 1  # nobody will say anything of the last one any more
    assert state_of(slice_id) == (SliceState.CLOSED, 0)


def test_a_task_that_nobody_began_and_nobody_ended_holds_its_money_for_a_day(client: redis.Redis) -> None:
    tenant, slice_id = open_slice(client)
    hold(client, slice_id, 30)
    assert keep(timedelta(seconds=600 + OVERDUE_S + 1)) == 0
    assert state_of(slice_id) == (SliceState.CLOSING, 30)
    assert money_of(tenant) == (70, 30)
    assert keep(DAY) == 1
    assert money_of(tenant) == (100, 0)


def test_what_was_granted_and_never_pushed_comes_back(client: redis.Redis) -> None:
    project = prepaid(100)
    ask(project, 100)
    assert (keep(SOON), keep(SOON)) == (0, 1)
    assert money_of(project.tenant_id) == (100, 0)


def test_a_lost_slice_is_held_for_a_day_and_never_again_taken_from(client: redis.Redis) -> None:
    tenant, slice_id = open_slice(client)
    client.set(EPOCH_KEY, "2")
    assert (keep(), keep(timedelta(hours=23))) == (0, 0)
    assert state_of(slice_id) == (SliceState.LOST, 100)
    assert client.hget(slice_key(slice_id), "closed") == b"1"
    assert keep(DAY) == 1
    assert money_of(tenant) == (100, 0)


def test_nothing_is_believed_lost_while_counters_are_restored(client: redis.Redis) -> None:
    _, slice_id = open_slice(client)
    client.flushall()
    assert keep(DAY) == 0
    assert state_of(slice_id) == (SliceState.OPEN, 100)
