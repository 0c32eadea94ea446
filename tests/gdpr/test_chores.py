"""Hints to the Celery worker: after the commit, never without it, and never a reason to wait for long."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings
from django.db import transaction

from gdpr import chores
from tests.system import free_port


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before, chores._silent_until = settings.RBEE, 0.0
    yield
    settings.RBEE, chores._silent_until = before, 0.0


def queued(url: str) -> list[str]:
    with redis.Redis.from_url(url) as client:
        return [
            json.loads(message)["headers"]["task"] for message in client.lrange("rbee:celery:chores", 0, -1)
        ]


def test_hint_is_in_the_workers_queue_once_the_change_is_committed(
    committed_db: None, redis_url: str
) -> None:
    with transaction.atomic():
        chores.hint_after_commit("tenants.deliver_webhooks")
        assert queued(redis_url) == []
    assert queued(redis_url) == ["tenants.deliver_webhooks"]

    with transaction.atomic():
        chores.hint_after_commit("tenants.deliver_webhooks")
        transaction.set_rollback(True)
    assert queued(redis_url) == ["tenants.deliver_webhooks"]


def test_broker_that_is_down_delays_one_change_by_a_second_and_the_next_not_at_all(
    committed_db: None,
) -> None:
    settings.RBEE = dataclasses.replace(settings.RBEE, celery_broker_url=f"redis://127.0.0.1:{free_port()}/0")
    took_s = []
    for _ in range(2):
        began = time.monotonic()
        with transaction.atomic():
            chores.hint_after_commit("tenants.deliver_webhooks")
        took_s.append(time.monotonic() - began)

    assert took_s[0] < 1.5
    assert took_s[1] < 0.1


def test_without_a_broker_nothing_is_sent(committed_db: None) -> None:
    settings.RBEE = dataclasses.replace(settings.RBEE, celery_broker_url="")

    with transaction.atomic():
        chores.hint_after_commit("tenants.deliver_webhooks")
