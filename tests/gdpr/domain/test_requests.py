"""Who works on a request, and what becomes of it when they die or fail."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from django.db import connections
from django.utils import timezone

from gdpr.domain import requests
from gdpr.domain.audit import Actor
from gdpr.domain.requests import (
    Hold,
    LostHold,
    RequestRefused,
    claim,
    make_request,
    retry_request,
    work_requests,
)
from gdpr.holding import Identity, Whose
from gdpr.ids import uuid7
from gdpr.request_models import DataRequest, RequestKind
from gdpr.scope import tenant_tx

TESTER = Actor.system("tests")


@pytest.fixture
def request_id(committed_db: None) -> UUID:
    tenant_id = uuid7()
    with tenant_tx(tenant_id):
        return make_request(RequestKind.EXPORT, Identity(Whose.TENANT, tenant_id=tenant_id), actor=TESTER).id


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> list[Hold]:
    """Whose work fails each time."""
    seen: list[Hold] = []

    def work(hold: Hold, until: float) -> None:
        seen.append(hold)
        raise OSError("the disk is full, says somebody's name")

    monkeypatch.setitem(requests._workers, "export", work)
    return seen


def now(request_id: UUID, **fields: object) -> DataRequest:
    from gdpr.scope import colony_tx

    with colony_tx("tests"):
        if fields:
            DataRequest.objects.filter(id=request_id).update(**fields)
        return DataRequest.objects.get(id=request_id)


def lapse(request_id: UUID) -> None:
    """The lease of whoever held it."""
    now(
        request_id,
        lease_until=timezone.now() - timedelta(seconds=1),
        next_at=timezone.now() - timedelta(seconds=1),
    )


def test_one_of_many_gets_it(request_id: UUID) -> None:
    def one(_: int) -> bool:
        try:
            return claim(request_id) is not None
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(one, range(8)))

    assert got.count(True) == 1


def test_write_of_who_was_taken_over_is_refused(request_id: UUID) -> None:
    first = claim(request_id)
    assert first is not None
    assert claim(request_id) is None  # while the lease lasts
    lapse(request_id)
    second = claim(request_id)
    assert second is not None

    with pytest.raises(LostHold):
        first.save()
    second.progress["at"] = 7
    second.save()
    assert now(request_id).progress == {"at": 7}


def test_three_attempts_and_people_are_told(request_id: UUID, worker: list[Hold]) -> None:
    for _ in range(5):
        lapse(request_id)
        work_requests(5, only=request_id)

    failed = now(request_id)
    assert (failed.state, len(worker), failed.error) == ("failed", 3, "OSError")  # its type, never its words
    with pytest.raises(RequestRefused):
        retry_request(retry_request(failed, actor=TESTER), actor=TESTER)
    assert now(request_id).state == "queued"


def test_who_kills_each_worker_fails_too(request_id: UUID, worker: list[Hold]) -> None:
    for _ in range(3):
        assert claim(request_id) is not None  # and it dies
        lapse(request_id)

    assert work_requests(5, only=request_id) == 0
    assert (now(request_id).state, now(request_id).error, worker) == ("failed", "WorkerDied", [])


def test_what_got_on_is_not_counted(request_id: UUID) -> None:
    for _ in range(6):
        hold = claim(request_id)
        assert hold is not None
        hold.save()
        lapse(request_id)

    assert now(request_id).state == "queued"
