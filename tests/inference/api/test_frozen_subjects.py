"""An end user whose erasure runs: what is asked for them is refused, and what runs for them ends."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from gdpr.domain import erasure
from gdpr.domain.erasure import begin_erasure
from gdpr.domain.requests import claim
from gdpr.holding import Identity, Whose
from gdpr.pseudonyms import subject_pseudonym
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from tenants.domain import invalidation
from tenants.domain.authentication import CallerCache
from tenants.models import Project
from tests.factories.tenants import TESTER, make_key, make_project
from tests.inference.api.conftest import Colony
from tests.inference.api.test_answers import error
from tests.inference.api.test_revocations import CUT_S, Stream


class Customer:
    def __init__(self, business: Colony, project: Project | None = None) -> None:
        self.business = business
        self.project = project or make_project()
        self.tenant_id = self.project.tenant_id
        self.key = make_key(self.project)[1]

    def ask(self, **fields: Any) -> tuple[int, str | None]:
        answer = self.business.ask("x", key=self.key, **fields)
        return answer.status_code, error(answer)["code"] if answer.is_error else None

    def until(self, wanted: tuple[int, str | None], timeout_s: float = 2, **fields: Any) -> float:
        began = time.monotonic()
        self.business.wait_for(lambda: self.ask(**fields) == wanted, timeout_s=timeout_s)
        return time.monotonic() - began

    def erase(self, name: str) -> DataRequest:
        subject = subject_pseudonym(self.tenant_id.hex, name)
        whom = Identity(Whose.SUBJECT, tenant_id=self.tenant_id, subject=subject)
        return begin_erasure(whom, grace=timedelta(hours=1), actor=TESTER)


FROZEN = (403, "subject_frozen")


def freeze(request: DataRequest) -> None:
    """The first step of a worker on it."""
    move(request, next_at=timezone.now())
    hold = claim(request.id)
    assert hold is not None
    erasure._freeze(hold)
    hold.later(3600)


def move(request: DataRequest, **fields: Any) -> None:
    with colony_tx("tests"):
        DataRequest.objects.filter(id=request.id).update(**fields)


def test_who_is_frozen_is_refused_until_they_are_gone_and_nobody_else(business: Colony) -> None:
    customer, other = Customer(business), Customer(business)
    request = customer.erase("alice")
    assert customer.ask(user="alice") == (200, None), "in grace all goes on"

    freeze(request)

    assert customer.until(FROZEN, user="alice") < 2
    refused = business.ask("x", key=customer.key, safety_identifier="alice")
    assert (refused.status_code, refused.headers["x-should-retry"]) == (403, "false")
    assert error(refused)["type"] == "permission_error"
    assert customer.ask(user="bob") == customer.ask() == other.ask(user="alice") == (200, None)
    for state in ("erasing", "verifying"):
        move(request, state=state)
        forget(business)
        assert customer.ask(user="alice") == FROZEN, state
    move(request, state="failed", progress={"failed_in": "erasing"})
    forget(business)
    assert customer.ask(user="alice") == FROZEN
    move(request, state="erased", progress={}, ended_at=timezone.now())
    assert customer.until((200, None), timeout_s=6, user="alice") <= 5.5


def test_a_lost_notice_costs_no_more_than_five_seconds(
    business: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = Customer(business)
    assert customer.ask(user="alice") == (200, None)
    monkeypatch.setattr("tenants.domain.invalidation._announce", lambda message: None)

    freeze(customer.erase("alice"))

    assert customer.until(FROZEN, timeout_s=6, user="alice") <= 5


def test_nothing_is_asked_of_the_database_for_it(business: Colony, monkeypatch: pytest.MonkeyPatch) -> None:
    customer = Customer(business)
    freeze(customer.erase("alice"))
    customer.until(FROZEN, user="alice")
    asked: list[object] = []
    fetch = CallerCache._fetch

    async def counted(cache: CallerCache, query: str, parameter: Any) -> Any:
        asked.append(parameter)
        return await fetch(cache, query, parameter)

    monkeypatch.setattr(CallerCache, "_fetch", counted)
    for _ in range(20):
        assert customer.ask(user="alice") == FROZEN
    assert len(asked) <= 1


def test_what_runs_for_them_ends(business: Colony) -> None:
    customer = Customer(business)
    theirs = Stream(business, customer.key, user="alice")
    others = Stream(business, customer.key, user="bob")

    freeze(customer.erase("alice"))

    assert theirs.ends_within(CUT_S)
    assert theirs.failure["code"] == "subject_frozen"
    assert others.goes_on()


def forget(business: Colony) -> None:
    invalidation._announce("keys")
    time.sleep(0.3)
