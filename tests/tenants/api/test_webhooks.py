from __future__ import annotations

from uuid import UUID

import pytest

from gdpr.scope import colony_tx
from gdpr.threads import in_thread
from tenants.domain.courier import send_due
from tenants.domain.webhook_events import EVENTS
from tenants.models import WebhookDelivery, WebhookEndpoint
from tests.factories.tenants import make_key, make_project
from tests.factories.webhooks import deliveries_of, happen, make_endpoint, make_operator_endpoint
from tests.inference.conftest import Api, audit_events
from tests.tenants.receiver import Receiver

URL = "https://example.com/hook"


@pytest.fixture
def customer(operator: Api) -> Api:
    return Api(make_key(make_project(), scopes=["manage"])[1])


def test_secret_is_shown_once_and_kept_sealed(customer: Api) -> None:
    made = customer.post("webhooks", {"url": URL, "events": ["key.*"], "description": "for the pager"}).json()

    assert made["secret"].startswith("whsec_")
    assert (made["status"], made["events"], made["max_in_flight"], made["keeps_responses"]) == (
        "active", ["key.*"], 4, False,
    )  # fmt: skip
    for path in ("webhooks", f"webhooks/{made['id']}"):
        assert made["secret"] not in customer.get(path).content.decode()
    rotated = customer.post(f"webhooks/{made['id']}/rotate", {"overlap_hours": 1}).json()
    assert rotated["secret"] not in ("", made["secret"])
    assert rotated["old_secret_until"] is not None
    with colony_tx("tests"):
        row = WebhookEndpoint.objects.get(id=made["id"])
    assert rotated["secret"][6:] not in str(vars(row))
    assert audit_events("webhook.") == ["webhook.created", "webhook.rotated"]


def test_endpoint_is_paused_resumed_and_deleted(customer: Api) -> None:
    webhook = customer.post("webhooks", {"url": URL}).json()["id"]

    assert customer.post(f"webhooks/{webhook}/pause").json()["status"] == "paused"
    refused = customer.post(f"webhooks/{webhook}/test")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "wrong_state")
    assert customer.post(f"webhooks/{webhook}/resume").json()["status"] == "active"
    assert customer.post(f"webhooks/{webhook}/test").status_code == 202
    assert customer.delete(f"webhooks/{webhook}").json() == {
        "id": webhook,
        "object": "webhook",
        "deleted": True,
    }
    assert customer.get(f"webhooks/{webhook}").status_code == 404
    assert audit_events("webhook.") == [
        "webhook.created", "webhook.paused", "webhook.resumed", "webhook.pinged", "webhook.deleted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "url"),
        ({"url": "http://example.com/"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "url"),
        ({"url": "https://user:pass@example.com/"}, "url"),
        ({"url": "https://example.com:22/"}, "url"),
        ({"url": "https://example.com/ x"}, "url"),
        ({"url": "https://example.com/\x00"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://" + "a" * 3000}, "url"),
        ({"url": 5}, "url"),
        ({"url": URL, "events": ["key.stolen"]}, "events"),
        ({"url": URL, "events": []}, "events"),
        ({"url": URL, "max_in_flight": 0}, "max_in_flight"),
        ({"url": URL, "max_in_flight": 1000}, "max_in_flight"),
        ({"url": URL, "description": "x" * 201}, "description"),
        ({"url": URL, "secret": "whsec_mine"}, "secret"),
    ],
)
def test_endpoint_that_makes_no_sense_is_refused_by_name(
    customer: Api, body: dict[str, object], param: str
) -> None:
    answer = customer.post("webhooks", body)

    assert answer.status_code == 400, answer.content
    assert answer.json()["error"]["param"].partition(".")[0] == param
    assert customer.get("webhooks").json()["data"] == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("rotate", {"overlap_hours": -1}, "overlap_hours"),
        ("rotate", {"overlap_hours": 10**30}, "overlap_hours"),
        ("replay", {}, "since"),
        ("replay", {"since": "yesterday"}, "since"),
        ("replay", {"since": "2027-01-01T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
    ],
)
def test_action_that_makes_no_sense_is_refused(
    customer: Api, path: str, body: dict[str, object], param: str
) -> None:
    webhook = customer.post("webhooks", {"url": URL}).json()["id"]

    answer = customer.post(f"webhooks/{webhook}/{path}", body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_owner_has_only_so_many(customer: Api) -> None:
    statuses = [customer.post("webhooks", {"url": URL}).status_code for _ in range(51)]

    assert statuses == [201] * 50 + [400]
    page = customer.get("webhooks", limit=30).json()
    rest = customer.get("webhooks", limit=30, cursor=page["next_cursor"]).json()
    assert len({row["id"] for row in page["data"] + rest["data"]}) == 50


def test_foreign_webhook_is_as_absent_as_none(customer: Api) -> None:
    nobody = UUID(int=7)
    foreign, _ = make_endpoint(URL)
    operators, _ = make_operator_endpoint(URL)
    own = customer.post("webhooks", {"url": URL}).json()["id"]
    with colony_tx("tests"):
        event = happen(foreign.tenant_id)[0]
        delivery = WebhookDelivery(
            endpoint=foreign, event=event, tenant_id=foreign.tenant_id, deadline_at=event.created_at
        )
        delivery.save(force_insert=True)

    def every(webhook: object, delivery: object) -> list[tuple[int, bytes]]:
        replay = {"since": "2026-01-01T00:00:00Z"}
        answers = [
            customer.get(f"webhooks/{webhook}"),
            customer.get(f"webhooks/{webhook}/deliveries"),
            customer.get(f"webhooks/{webhook}/deliveries/{delivery}"),
            customer.post(f"webhooks/{webhook}/deliveries/{delivery}/replay"),
            customer.post(f"webhooks/{webhook}/replay", replay),
            *(customer.post(f"webhooks/{webhook}/{verb}") for verb in ("test", "rotate", "pause", "resume")),
            customer.delete(f"webhooks/{webhook}"),
        ]
        return [(answer.status_code, answer.content) for answer in answers]

    absent = every(nobody, nobody)
    assert {status for status, _ in absent} == {404}
    assert every(foreign.id, delivery.id) == absent
    assert every(operators.id, delivery.id) == absent
    assert customer.get(f"webhooks/{own}/deliveries/{delivery.id}").status_code == 404
    assert [row["id"] for row in customer.get("webhooks").json()["data"]] == [own]
    assert customer.post("webhooks", {"url": URL, "tenant": "no-such"}).status_code == 404


def test_operator_has_its_own_and_sees_those_of_a_tenant(operator: Api) -> None:
    project = make_project()
    own = operator.post("webhooks", {"url": URL}).json()
    theirs = operator.post("webhooks", {"url": URL, "tenant": project.tenant.slug}).json()

    assert (own["tenant"], theirs["tenant"]) == (None, project.tenant.slug)
    assert [row["id"] for row in operator.get("webhooks").json()["data"]] == [own["id"]]
    assert [row["id"] for row in operator.get("webhooks", tenant=project.tenant.slug).json()["data"]] == [
        theirs["id"]
    ]
    customer = Api(make_key(project, scopes=["manage"])[1])
    assert [row["id"] for row in customer.get("webhooks").json()["data"]] == [theirs["id"]]


def test_inference_key_and_no_key_do_nothing(operator: Api) -> None:
    inference = Api(make_key()[1])

    for path in ("webhooks", "webhooks/events", f"webhooks/{UUID(int=7)}/deliveries"):
        assert inference.get(path).status_code == 403
        assert Api().get(path).status_code == 401
    assert inference.post("webhooks", {"url": URL}).status_code == 403


def test_catalogue_is_listed(customer: Api) -> None:
    rows = customer.get("webhooks/events").json()["data"]

    assert [row["name"] for row in rows] == list(EVENTS)
    assert rows[0]["example"] == dict(EVENTS["webhook.ping"].example)


async def test_delivery_is_seen_in_the_log_and_replayed(no_webhooks: None, receiver: Receiver) -> None:
    """Over HTTP to a receiver, and back through the API."""

    def make() -> tuple[WebhookEndpoint, Api]:
        project = make_project()
        endpoint, _ = make_endpoint(
            f"{receiver.url}/flaky", project.tenant, events=["key.*"], max_in_flight=1
        )
        happen(project.tenant_id)
        return endpoint, Api(make_key(project, scopes=["manage"])[1])

    endpoint, customer = await in_thread(make)()
    await send_due()

    def look() -> list[dict[str, object]]:
        return customer.get(f"webhooks/{endpoint.id}/deliveries").json()["data"]

    rows = await in_thread(look)()
    assert {row["type"] for row in rows} == {"key.revoked", "key.created"}
    (failed,) = [row for row in rows if row["status"] == 500]
    assert (failed["state"], failed["attempt"]) == ("queued", 1)
    assert failed["next_at"] is not None

    def replay() -> list[int]:
        done = next(row for row in deliveries_of(endpoint) if row.state == "delivered")
        path = f"webhooks/{endpoint.id}/deliveries/{done.id}"
        return [
            customer.get(path).status_code,
            customer.post(f"{path}/replay").status_code,
            customer.post(f"{path}/replay").status_code,
            len(customer.get(f"webhooks/{endpoint.id}/deliveries", state="failed").json()["data"]),
            customer.post(f"webhooks/{endpoint.id}/replay", {"since": "2026-01-01T00:00:00Z"}).json()[
                "queued"
            ],
        ]

    assert await in_thread(replay)() == [200, 202, 409, 0, 0]
