"""Prompts and outputs of a tenant that wants them kept, from its request to what it reads; and of one that does not."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from gdpr.domain.erasure import begin_erasure
from gdpr.domain.frozen import shut_out_freezes, shut_out_writers
from gdpr.domain.holders import Erased
from gdpr.domain.requests import work_requests
from gdpr.holding import Identity, Whose
from gdpr.ids import uuid7
from gdpr.models import AuditEntry, SubjectKey
from gdpr.pseudonyms import subject_pseudonym
from gdpr.scope import colony_tx
from inference.content_models import KeptContent
from inference.domain import content_log, kept_content
from inference.domain.erasures import Hives
from tenants.domain.tenant_life import close_tenant
from tenants.models import Tenant
from tests.factories.tenants import PASSWORD, TESTER, make_key, make_member, make_project
from tests.inference.api.conftest import Colony, chat
from tests.inference.api.test_answers import error


class Customer:
    """A tenant with a key for models, and one for data protection."""

    def __init__(self, business: Colony, *, days: int = 0) -> None:
        self.business = business
        self.project = make_project()
        self.tenant = self.project.tenant
        self.key = make_key(self.project, scopes=["inference"])[1]
        self.client = business.call(make_key(self.project, scopes=["gdpr"])[1])
        if days:
            assert self.call("PUT", "/gdpr/content", days=days).status_code == 200
            self.wait_until_keeping(True)

    def call(self, method: str, path: str, **body: Any) -> httpx.Response:
        return self.client.request(method, path, json=body or None)

    def ask(self, words: str = "x", **fields: Any) -> str:
        """The id of its task."""
        answer = self.business.ask(words, key=self.key, **fields)
        assert answer.status_code == 200, answer.text
        text = answer.text.removeprefix("data: ").splitlines()[0]
        return str(json.loads(text)["id"])

    def wait_until_keeping(self, wanted: bool) -> None:
        """A queen has heard of it."""

        def is_so() -> bool:
            self.ask()
            caller = self.business.queen.callers.get(self.key)
            return caller is not None and caller.keeps_content is wanted

        self.business.wait_for(is_so)

    def read(self, task: str) -> dict[str, Any]:
        def look() -> httpx.Response | None:
            found = self.call("GET", f"/api/v1/tasks/{task}/content")
            return found if found.status_code == 200 else None

        return dict(self.business.wait_for(look, timeout_s=5).json())

    def tasks(self, **query: str) -> list[dict[str, Any]]:
        return list(self.client.get("/api/v1/tasks/content", params=query).json()["data"])

    def rows(self) -> int:
        with colony_tx("tests"):
            return KeptContent.objects.filter(tenant_id=self.tenant.id).count()

    def settled_rows(self) -> int:
        time.sleep(3 * content_log.GATHER_S)
        return self.rows()

    def events(self, event: str) -> list[AuditEntry]:
        with colony_tx("tests"):
            return list(AuditEntry.objects.filter(tenant_id=self.tenant.id, event=event))


@pytest.fixture
def most_days(business: Colony) -> Iterator[Any]:
    before = settings.RBEE

    def set_most(days: int) -> None:
        settings.RBEE = dataclasses.replace(settings.RBEE, content_days_max=days)

    yield set_most
    settings.RBEE = before


def test_it_is_off_until_somebody_in_charge_turns_it_on(business: Colony) -> None:
    customer = Customer(business)
    customer.ask("before")
    shown = customer.call("GET", "/gdpr/content").json()
    assert (shown["days"], shown["days_max"], shown["tasks"]) == (None, 400, 0)

    turned_on = customer.call("PUT", "/gdpr/content", days=30)

    assert (turned_on.json()["days"], turned_on.json()["tenant"]) == (30, customer.tenant.slug)
    customer.wait_until_keeping(True)
    task = customer.ask("tell me", user="alice", max_tokens=5)
    kept = customer.read(task)
    assert json.loads(kept["request"]) == chat("tell me", user="alice", max_tokens=5)
    assert json.loads(kept["answer"])["id"] == task
    assert (kept["model"], kept["endpoint"], kept["is_truncated"]) == ("m", "chat.completions", False)
    assert kept["subject"] == subject_pseudonym(customer.tenant.id.hex, "alice")
    assert customer.events("content_retention.set")[0].details["days"] == [0, 30]
    assert customer.events("content.read")[0].object_ref == f"task:{task.removeprefix('chatcmpl-')}"
    assert "before" not in str([customer.read(row["id"]) for row in customer.tasks()])


def test_streams_and_completions_are_kept_as_they_were_sent(business: Colony) -> None:
    customer = Customer(business, days=1)
    body = chat("stream", stream=True)
    streamed = business.call(customer.key).post("/v1/chat/completions", json=body)
    completed = business.call(customer.key).post("/v1/completions", json={"model": "m", "prompt": "p"})
    first = json.loads(streamed.text.splitlines()[0].removeprefix("data: "))["id"]

    assert customer.read(first)["answer"] == streamed.text
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert customer.read(completed.json()["id"])["answer"] == completed.text


def test_nothing_is_kept_of_who_did_not_ask_for_it_nor_gathered(
    business: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = Customer(business)
    monkeypatch.setattr("inference.api.text.keep", None)  # would break who comes there

    customer.ask("no")

    assert customer.settled_rows() == 0


def test_what_is_longer_is_cut_short_and_says_so(business: Colony) -> None:
    customer = Customer(business, days=1)
    words = "x" * (content_log.REQUEST_BYTES + 1)

    kept = customer.read(customer.ask(words))

    assert kept["is_truncated"]
    assert kept["request_bytes"] > content_log.REQUEST_BYTES == len(kept["request"])


def test_refused_tasks_leave_nothing(business: Colony) -> None:
    customer = Customer(business, days=1)
    before = customer.settled_rows()
    business.policy('fn should_admit(task, customer) { reject("no") }')

    assert business.ask("x", key=customer.key).status_code == 403

    assert customer.settled_rows() == before


def test_what_lies_in_the_database_is_encrypted_and_bound_to_its_row(business: Colony) -> None:
    customer = Customer(business, days=1)
    tasks = [customer.ask("the secret words"), customer.ask("other words")]
    for task in tasks:
        customer.read(task)
    with colony_tx("tests"):
        rows = list(KeptContent.objects.filter(tenant_id=customer.tenant.id).order_by("id"))
        assert all(b"words" not in bytes(row.ciphertext) for row in rows)
        swapped = [bytes(row.ciphertext) for row in rows[-2:]]
        for row, text in zip(rows[-2:], reversed(swapped), strict=True):
            KeptContent.objects.filter(id=row.id).update(ciphertext=text)

    refused = customer.call("GET", f"/api/v1/tasks/{tasks[0]}/content")

    assert (refused.status_code, "altered" in error(refused)["message"]) == (409, True)


def test_turning_it_off_says_what_goes_and_deletes_it(business: Colony) -> None:
    customer, other = Customer(business, days=1), Customer(business, days=1)
    task, others = customer.ask(), other.ask()
    customer.read(task), other.read(others)
    rows = customer.settled_rows()
    unconfirmed = customer.call("DELETE", "/gdpr/content", confirm="x")
    assert unconfirmed.status_code == 400
    assert f"of {rows} tasks is deleted" in error(unconfirmed)["message"]
    assert customer.rows() == rows

    ended = customer.call("DELETE", "/gdpr/content", confirm=customer.tenant.slug).json()

    assert (ended["deleted"], ended["days"], ended["tasks"]) == (rows, None, 0)
    assert customer.call("GET", f"/api/v1/tasks/{task}/content").status_code == 404
    said = customer.events("content_retention.ended")[0].details
    assert (said["days"], said["tasks"]) == ([1, 0], rows)
    customer.wait_until_keeping(False)
    customer.ask()
    assert customer.settled_rows() == 0
    assert other.read(others)["id"]


def test_what_was_gathered_before_it_was_turned_off_is_not_written(business: Colony) -> None:
    customer = Customer(business, days=1)
    customer.call("DELETE", "/gdpr/content", confirm=customer.tenant.slug)

    assert kept_content.write_content([gathered(customer)]) == 0
    assert customer.rows() == 0


def test_a_closed_tenant_keeps_nothing_more(business: Colony) -> None:
    customer = Customer(business, days=1)
    before = customer.settled_rows()
    close_tenant(customer.tenant.id)

    assert kept_content.write_content([gathered(customer)]) == 0
    assert customer.rows() == before


def test_it_goes_when_its_time_is_over_and_a_shorter_time_holds_at_once(business: Colony) -> None:
    customer = Customer(business, days=30)
    old, new = customer.ask("old"), customer.ask("new")
    customer.read(new)
    past = timezone.now() - timedelta(days=3)
    with colony_tx("tests"):
        row = KeptContent.objects.filter(id=customer.read(old)["id"])
        row.update(at=past, expires_at=past + timedelta(days=30))
    assert kept_content.sweep_content() == 0

    customer.call("PUT", "/gdpr/content", days=2)

    assert customer.call("GET", f"/api/v1/tasks/{old}/content").status_code == 404, "before the chore came by"
    assert old.removeprefix("chatcmpl-") not in str(customer.tasks()).replace("-", "")
    rows = customer.rows()
    assert kept_content.sweep_content() == 1
    assert customer.rows() == rows - 1
    assert customer.read(new)["id"]


def test_the_operator_forbids_it(business: Colony, most_days: Any) -> None:
    customer = Customer(business, days=30)
    task = customer.ask()
    customer.read(task)
    most_days(7)
    assert customer.call("GET", "/gdpr/content").json()["days"] == 7
    assert customer.call("PUT", "/gdpr/content", days=8).status_code == 400

    most_days(0)

    refused = customer.call("PUT", "/gdpr/content", days=1)
    assert (refused.status_code, error(refused)["code"]) == (409, "conflict")
    shown = customer.call("GET", "/gdpr/content").json()
    assert (shown["days"], shown["tasks"]) == (None, 0)
    assert kept_content.write_content([gathered(customer)]) == 0
    assert customer.call("GET", f"/api/v1/tasks/{task}/content").status_code == 404
    kept_content.sweep_content()
    assert customer.rows() == 0


def test_erasing_an_end_user_destroys_theirs_and_leaves_others(
    business: Colony, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hives, "erase", lambda *_: Erased())  # none of these speaks that part
    customer = Customer(business, days=30)
    asked_before = gathered(customer, subject="alice")
    theirs, others = customer.ask("alice's words", user="alice"), customer.ask("bob's words", user="bob")
    customer.read(theirs), customer.read(others)
    pseudonym = subject_pseudonym(customer.tenant.id.hex, "alice")
    whom = Identity(Whose.SUBJECT, tenant_id=customer.tenant.id, subject=pseudonym)

    request = begin_erasure(whom, grace=timedelta(), actor=TESTER)
    work_requests(60, only=request.id)

    with colony_tx("tests"):
        request.refresh_from_db()
        assert request.state == "erased", (request.state, request.progress, request.error)
        keys = SubjectKey.objects.filter(subject=pseudonym, destroyed_at=None)
        assert not keys.exists()
    assert customer.call("GET", f"/api/v1/tasks/{theirs}/content").status_code == 404
    assert customer.read(others)["id"]
    assert kept_content.write_content([asked_before]) == 0, "it was asked before they were erased"
    assert kept_content.write_content([gathered(customer, subject="alice")]) == 1, (
        "a new end user of that name"
    )


def test_who_freezes_waits_for_who_writes(business: Colony) -> None:
    """So nothing that was found allowed is written after the freeze."""
    customer = Customer(business)

    def freeze() -> float:
        with colony_tx("tests"):
            shut_out_writers(customer.tenant.id)
            at = time.monotonic()
        connection.close()
        return at

    with ThreadPoolExecutor(1) as threads:
        with colony_tx("tests"):
            shut_out_freezes(customer.tenant.id)
            frozen = threads.submit(freeze)
            time.sleep(0.3)
            written = time.monotonic()
        assert frozen.result(10) >= written


def test_only_who_is_in_charge_reads_and_nobody_elses(business: Colony) -> None:
    customer, stranger = Customer(business, days=1), Customer(business, days=1)
    task = customer.ask()
    customer.read(task)
    for path in (f"/api/v1/tasks/{task}/content", "/api/v1/tasks/nonsense/content"):
        refused = stranger.call("GET", path)
        assert (refused.status_code, error(refused)["message"]) == (404, "Nothing is kept of such a task.")
    assert task.removeprefix("chatcmpl-") not in str(stranger.tasks()).replace("-", "")
    for scope, status in {"manage": 403, "read": 403, "inference": 403}.items():
        client = business.call(make_key(customer.project, scopes=[scope])[1])
        for path in ("/gdpr/content", "/api/v1/tasks/content", f"/api/v1/tasks/{task}/content"):
            assert client.get(path).status_code == status, (scope, path)
        assert client.put("/gdpr/content", json={"days": 1}).status_code == status
    may = {
        role: status_of(business, customer.tenant, role) for role in ("owner", "dpo", "admin", "developer")
    }
    assert may == {"owner": 200, "dpo": 200, "admin": 403, "developer": 403}


def test_what_makes_no_sense_is_refused(business: Colony) -> None:
    customer = Customer(business)
    for body in ({"days": 0}, {"days": 401}, {"days": "many"}, {}, {"days": 3, "x": 1}):
        refused = customer.client.put("/gdpr/content", json=body)
        assert (refused.status_code, error(refused)["type"]) == (400, "invalid_request_error"), body
    assert customer.client.request("DELETE", "/gdpr/content", json={}).status_code == 400
    assert customer.client.get("/api/v1/tasks/content?since=yesterday").status_code == 400


def status_of(business: Colony, tenant: Tenant, role: str) -> int:
    """Of turning it on by somebody who is logged in."""
    member = make_member(tenant, role)
    client = business.call("none")
    client.headers.pop("authorization")
    logged_in = client.post(
        "/_allauth/app/v1/auth/login", json={"email": member.user.email, "password": PASSWORD}
    )
    client.headers["x-session-token"] = logged_in.json()["meta"]["session_token"]
    return client.put("/gdpr/content", json={"days": 1}).status_code


def gathered(customer: Customer, *, subject: str = "") -> kept_content.Gathered:
    return kept_content.Gathered(
        tenant_id=customer.tenant.id.hex,
        task_id=uuid7().hex,
        subject=subject_pseudonym(customer.tenant.id.hex, subject),
        request_id="req_x",
        endpoint="chat.completions",
        model="m",
        at_ms=round(time.time() * 1000),
        request=b"asked",
        answer=b"answered",
        request_bytes=5,
        answer_bytes=8,
    )
