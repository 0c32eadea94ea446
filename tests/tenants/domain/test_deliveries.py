"""Deliveries from the event to the receiver, over real HTTP and with real rows."""

from __future__ import annotations

import dataclasses
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings
from django.db import IntegrityError, connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gdpr.fetcher import Bounds, Fetched
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from tenants.domain import courier, deliveries, webhooks
from tenants.domain.deliveries import Outcome, claim_deliveries, end_attempts, retry_delay_s, spread_events
from tenants.models import Alert, WebhookDelivery, WebhookEndpoint, WebhookEvent
from tests.factories.tenants import TESTER, make_tenant
from tests.factories.webhooks import (
    again,
    deliveries_of,
    happen,
    make_due,
    make_endpoint,
    make_operator_endpoint,
)
from tests.tenants.receiver import Receiver

pytestmark = pytest.mark.usefixtures("no_webhooks")


def send() -> int:
    return async_to_sync(courier.send_due)()


def test_event_reaches_its_tenant_and_the_operator_and_nobody_else(receiver: Receiver) -> None:
    tenant = make_tenant()
    mine, secret = make_endpoint(f"{receiver.url}/ok/mine", tenant)
    make_endpoint(f"{receiver.url}/ok/theirs")
    make_endpoint(f"{receiver.url}/ok/deaf", tenant, events=["policy.*"])
    _, operators = make_operator_endpoint(f"{receiver.url}/ok/operator", events=["key.*"])
    (event,) = happen(mine.tenant_id)

    assert send() == 2

    assert sorted(request.path for request in receiver.got) == ["/ok/mine", "/ok/operator"]
    for request in receiver.got:
        key = secret if request.path == "/ok/mine" else operators
        message = Webhook(key).verify(request.body, request.headers)
        assert message == {
            "id": f"evt_{event.id.hex}",
            "type": "key.revoked",
            "version": 1,
            "created_at": event.created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "tenant": str(mine.tenant_id),
            "data": event.data,
        }
        assert request.id == message["id"]
    (row,) = deliveries_of(mine)
    assert (row.state, row.attempt, row.lease_until, row.response) == ("delivered", 1, None, "")
    assert row.log[0]["status"] == 204
    assert row.log[0]["latency_ms"] >= 0
    assert send() == 0


def test_failure_is_tried_again_later_and_success_forgets_it(receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(f"{receiver.url}/flaky")
    happen(endpoint.tenant_id)

    assert send() == 1
    assert send() == 0  # not at once

    (row,) = deliveries_of(endpoint)
    wait_s = (row.next_at - timezone.now()).total_seconds()
    assert (row.state, row.attempt, row.log[0]["error"]) == ("queued", 1, "not_accepted")
    assert 0 < wait_s <= 5
    assert again(endpoint).failing_since is not None
    make_due(endpoint)
    assert send() == 1
    (row,) = deliveries_of(endpoint)
    assert (row.state, [line["status"] for line in row.log]) == ("delivered", [500, 200])
    assert again(endpoint).failing_since is None
    assert len({request.id for request in receiver.seen}) == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for(receiver: Receiver, form: str) -> None:
    at = datetime.now(UTC) + timedelta(seconds=3600)
    receiver.retry_after = "3600" if form == "seconds" else format_datetime(at, usegmt=True)
    endpoint, _ = make_endpoint(f"{receiver.url}/retry-after")
    happen(endpoint.tenant_id)

    send()

    (row,) = deliveries_of(endpoint)
    assert abs((row.next_at - at).total_seconds()) < 30


@pytest.mark.parametrize("text", ["", "soon", "-5", "١٢", "9" * 400, "Wed, 21 Oct 2015 07:28:00 GMT", "1.5"])
def test_retry_after_that_makes_no_sense_is_none(text: str) -> None:
    answer = Fetched(status=503, headers={"retry-after": text}, body=b"", is_cut=False, latency_ms=1)

    assert courier.retry_after_s(answer) in (0, courier.RETRY_AFTER_MAX_S)


def test_410_ends_the_endpoint_with_an_alert(receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(f"{receiver.url}/gone")
    make_operator_endpoint(f"{receiver.url}/ok/operator", events=["webhook.disabled"])
    happen(endpoint.tenant_id)
    with tenant_tx(endpoint.tenant_id):
        before = Alert.objects.count()

    send()
    happen(endpoint.tenant_id)
    send()

    found = again(endpoint)
    assert (found.status, found.disabled_reason) == ("disabled", "gone")
    (row,) = deliveries_of(endpoint)  # and none of what happened after
    assert (row.state, row.attempt) == ("failed", 1)
    with tenant_tx(endpoint.tenant_id):
        alert = Alert.objects.get(kind="webhook_disabled")
        assert (alert.object_ref, before) == (f"webhook:{endpoint.id}", 0)
        assert AuditEntry.objects.filter(event="webhook.disabled").count() == 1
    assert [request.message["data"] for request in receiver.got] == [
        {"endpoint": str(endpoint.id), "reason": "gone"}
    ]


def test_endpoint_that_fails_for_three_days_is_given_up(receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(f"{receiver.url}/status/500")
    happen(endpoint.tenant_id)
    send()
    for age, expected in [(timedelta(hours=71), "active"), (timedelta(hours=73), "disabled")]:
        with tenant_tx(endpoint.tenant_id):
            WebhookEndpoint.objects.update(failing_since=timezone.now() - age)
        make_due(endpoint)
        send()
        assert again(endpoint).status == expected
    with tenant_tx(endpoint.tenant_id):
        assert Alert.objects.filter(kind="webhook_disabled", closed_at=None).count() == 1


def test_redirect_is_a_failure_and_leads_nowhere(receiver: Receiver) -> None:
    receiver.redirect_to = f"{receiver.url}/ok/inside"
    endpoint, _ = make_endpoint(f"{receiver.url}/redirect")
    happen(endpoint.tenant_id)

    send()

    assert [request.path for request in receiver.seen] == ["/redirect"]
    assert deliveries_of(endpoint)[0].log[0] | {"at": "", "latency_ms": 0} == {
        "at": "", "status": 302, "latency_ms": 0, "error": "redirected",
    }  # fmt: skip


def test_url_that_the_operator_permits_no_more_is_not_called(receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(f"{receiver.url}/ok")
    happen(endpoint.tenant_id)
    settings.RBEE = dataclasses.replace(settings.RBEE, outbound_allow=())

    send()

    assert receiver.seen == []
    assert deliveries_of(endpoint)[0].log[0]["error"] == "url_refused"


def test_endpoint_that_cannot_be_sent_to_keeps_no_other_waiting(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    unreadable, _ = make_endpoint(f"{receiver.url}/ok/unreadable")
    broken, _ = make_endpoint(f"{receiver.url}/ok/broken")
    good, _ = make_endpoint(f"{receiver.url}/ok/good")
    with tenant_tx(unreadable.tenant_id):
        WebhookEndpoint.objects.update(secret_sealed=bytes(good.secret_sealed))
    fetch = courier.fetch

    async def fetch_or_break(method: str, url: str, **fields: object) -> Fetched:
        if url == broken.url:
            raise RuntimeError("a bug")
        return await fetch(method, url, **fields)  # type: ignore[arg-type]

    monkeypatch.setattr(courier, "fetch", fetch_or_break)
    for endpoint in (unreadable, broken, good):
        happen(endpoint.tenant_id)

    assert send() == 3

    assert [request.path for request in receiver.seen] == ["/ok/good"]
    assert [deliveries_of(one)[0].log[0]["error"] for one in (unreadable, broken)] == [
        "secret_unreadable",
        "not_sent",
    ]


def test_stalled_endpoint_delays_no_other(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(courier, "BOUNDS", Bounds(connect_s=4, read_s=4, total_s=4))
    stalled, _ = make_endpoint(f"{receiver.url}/stall")
    good, _ = make_endpoint(f"{receiver.url}/ok")
    happen(stalled.tenant_id, 6)
    happen(good.tenant_id, 30)
    began = time.time()

    send()

    assert len(receiver.ids("/ok")) == 30
    assert max(request.at for request in receiver.got) - began < 4
    assert {row.state for row in deliveries_of(stalled)} == {"queued"}
    assert deliveries_of(stalled)[0].log[0]["error"] == "timed_out"
    assert receiver.most_busy["/stall"] <= 4


def test_no_endpoint_gets_more_at_once_than_it_takes(receiver: Receiver) -> None:
    receiver.delay_s = 0.02
    one, _ = make_endpoint(f"{receiver.url}/ok/one", max_in_flight=1)
    three, _ = make_endpoint(f"{receiver.url}/ok/three", max_in_flight=3)
    for endpoint in (one, three):
        happen(endpoint.tenant_id, 15)

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: in_own_connection(send), range(2)))

    assert (receiver.most_busy["/ok/one"], receiver.most_busy["/ok/three"]) == (1, 3)
    assert len(receiver.ids()) == len(set(receiver.ids())) == 30


def test_lease_of_the_dead_runs_out_and_what_they_say_later_is_ignored(receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(f"{receiver.url}/ok")
    happen(endpoint.tenant_id)
    spread_events()

    (dead,) = claim_deliveries(10, failing=False)
    assert claim_deliveries(10, failing=False) == []
    make_due(endpoint)  # the lease is over
    (heir,) = claim_deliveries(10, failing=False)
    assert heir.fence == dead.fence + 1

    end_attempts([(dead, outcome(500))])
    assert deliveries_of(endpoint)[0].log == []
    end_attempts([(heir, outcome(204))])
    end_attempts([(heir, outcome(500))])
    (row,) = deliveries_of(endpoint)
    assert (row.state, row.attempt) == ("delivered", 1)


def test_two_that_claim_at_once_share_and_never_overlap() -> None:
    endpoints = [make_endpoint("https://example.com/hook", max_in_flight=5)[0] for _ in range(6)]
    for endpoint in endpoints:
        happen(endpoint.tenant_id, 8)
    spread_events()

    with ThreadPoolExecutor(4) as threads:
        claims = threads.map(
            lambda _: in_own_connection(lambda: claim_deliveries(12, failing=False)), range(4)
        )
        found = [claimed for claim in claims for claimed in claim]

    assert len({claimed.id for claimed in found}) == len(found) == 30


def test_oldest_is_first_and_failing_endpoints_are_apart(receiver: Receiver) -> None:
    good, _ = make_endpoint(f"{receiver.url}/ok")
    bad, _ = make_endpoint(f"{receiver.url}/status/500", max_in_flight=8)
    with tenant_tx(bad.tenant_id):
        WebhookEndpoint.objects.update(failing_since=timezone.now() - timedelta(minutes=2))
    happen(bad.tenant_id, 3)
    first = happen(good.tenant_id, 2)[0]
    spread_events()

    assert [claimed.message_id for claimed in claim_deliveries(1, failing=False)] == [f"evt_{first.id.hex}"]
    assert len(claim_deliveries(10, failing=True)) == 1
    assert claim_deliveries(0, failing=True) == []


def test_response_is_kept_only_where_it_was_asked_for(receiver: Receiver) -> None:
    keeping, _ = make_endpoint(f"{receiver.url}/status/500", keeps_responses=True)
    other, _ = make_endpoint(f"{receiver.url}/status/500")
    for endpoint in (keeping, other):
        happen(endpoint.tenant_id)

    send()

    assert deliveries_of(keeping)[0].response == ("said the receiver " * 200)[:1024]
    assert deliveries_of(other)[0].response == ""


def test_both_secrets_sign_while_one_replaces_the_other(receiver: Receiver) -> None:
    endpoint, old = make_endpoint(f"{receiver.url}/ok")
    _, new = webhooks.rotate_secret(endpoint, actor=TESTER)
    happen(endpoint.tenant_id)
    send()
    for secret in (old, new):
        Webhook(secret).verify(receiver.got[0].body, receiver.got[0].headers)

    webhooks.rotate_secret(endpoint, actor=TESTER, overlap=timedelta())
    happen(endpoint.tenant_id)
    send()

    assert receiver.got[1].headers["webhook-signature"].count("v1,") == 1


def test_paused_endpoint_waits_and_then_gets_all(receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(f"{receiver.url}/ok")
    webhooks.pause_endpoint(endpoint, actor=TESTER)
    happen(endpoint.tenant_id, 3)

    assert send() == 0
    webhooks.resume_endpoint(endpoint, actor=TESTER)
    assert send() == 3


def test_replay_sends_the_same_ids_again(receiver: Receiver) -> None:
    began = timezone.now()
    endpoint, _ = make_endpoint(f"{receiver.url}/ok", events=["key.*"])
    happen(endpoint.tenant_id, 3)
    send()
    with tenant_tx(endpoint.tenant_id):  # one failed for good, and one was never queued
        first, second, _ = deliveries_of(endpoint)
        WebhookDelivery.objects.filter(id=first.id).update(state="failed")
        WebhookDelivery.objects.filter(id=second.id).delete()
    soon = timezone.now() + timedelta(minutes=1)

    assert webhooks.replay_events(endpoint, since=began, until=soon, only_failed=True, actor=TESTER) == 2
    send()
    assert webhooks.replay_events(endpoint, since=began, until=soon, only_failed=False, actor=TESTER) == 3
    send()
    webhooks.replay_delivery(deliveries_of(endpoint)[0], actor=TESTER)
    with pytest.raises(webhooks.WrongState):
        webhooks.replay_delivery(deliveries_of(endpoint)[0], actor=TESTER)
    send()

    assert len(receiver.ids()) == 3 + 2 + 3 + 1
    assert len(set(receiver.ids())) == 3
    assert {row.state for row in deliveries_of(endpoint)} == {"delivered"}


def test_what_nobody_accepts_ends_after_three_days(receiver: Receiver) -> None:
    endpoint, _ = make_endpoint(f"{receiver.url}/status/503")
    happen(endpoint.tenant_id)
    attempts = 0
    while deliveries_of(endpoint)[:1] == [] or deliveries_of(endpoint)[0].state == "queued":
        make_due(endpoint)
        attempts += send()
        assert attempts < 50

    assert attempts == len(deliveries.RETRY_AFTER_S) + 1
    assert deliveries_of(endpoint)[0].state == "failed"


def test_sweep_ends_what_is_overdue_and_forgets_what_is_old() -> None:
    endpoint, _ = make_endpoint("https://example.com/hook")
    happen(endpoint.tenant_id, 2)
    spread_events()
    overdue, old = deliveries_of(endpoint)
    with tenant_tx(endpoint.tenant_id):
        WebhookDelivery.objects.filter(id=overdue.id).update(deadline_at=timezone.now())
        WebhookEvent.objects.filter(id=old.event_id).update(created_at=timezone.now() - timedelta(days=31))

    assert deliveries.give_up_overdue() == 1
    deliveries.forget_old()

    assert [(row.id, row.state) for row in deliveries_of(endpoint)] == [(overdue.id, "failed")]


def test_delivery_of_one_tenant_cannot_point_at_the_endpoint_of_another() -> None:
    mine, _ = make_endpoint("https://example.com/hook")
    theirs, _ = make_endpoint("https://example.com/hook")
    (event,) = happen(mine.tenant_id)

    row = webhooks.make_delivery(theirs, event)
    row.tenant_id = mine.tenant_id
    with pytest.raises(IntegrityError), colony_tx("tests"):
        row.save(force_insert=True)
    with tenant_tx(mine.tenant_id):
        assert [found.id for found in WebhookEndpoint._base_manager.all()] == [mine.id]
        assert WebhookDelivery._base_manager.filter(endpoint=theirs.id).count() == 0


def test_operator_cannot_be_overheard() -> None:
    endpoint, _ = make_operator_endpoint("https://example.com/hook")
    tenant = make_tenant()

    with tenant_tx(tenant.id):
        assert WebhookEndpoint._base_manager.count() == 0
    assert again(endpoint).id == endpoint.id


@given(st.integers(0, 100_000))
def test_schedule_ends_within_three_days_and_waits_as_asked(retry_after_s: int) -> None:
    waits = [retry_delay_s(attempt) for attempt in range(1, len(deliveries.RETRY_AFTER_S) + 1)]

    assert all(waits)
    assert sum(wait for wait in waits if wait) <= 72 * 3600
    assert retry_delay_s(len(waits) + 1, retry_after_s) is None
    assert (retry_delay_s(1, retry_after_s) or 0) >= retry_after_s


def outcome(status: int) -> Outcome:
    return Outcome(at=datetime.now(UTC), status=status, latency_ms=1)


def in_own_connection(work):  # type: ignore[no-untyped-def]
    try:
        return work()
    finally:
        connection.close()
