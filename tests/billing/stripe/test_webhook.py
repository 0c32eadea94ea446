"""POST /stripe/webhook, by who is Stripe and who is not."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from stripe import WebhookSignature

from billing.enums import EventState
from billing.stripe_models import StripeEvent
from gdpr.scope import colony_tx
from tests.billing.stripe.conftest import stripe_at
from tests.billing.stripe.standins import SECRET_KEY, WEBHOOK_SECRET
from tests.factories.stripe import event, signed
from tests.factories.tenants import unique

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("stripe_on")]


def post(body: str | bytes, signature: str = "", **headers: str) -> HttpResponse:
    return Client().post("/stripe/webhook", body, "application/json",
                         headers={"stripe-signature": signature, "host": "localhost:7833", **headers})  # fmt: skip


def payment(**fields: Any) -> dict[str, Any]:
    return event("payment_intent.succeeded", {"id": "pi_1", "object": "payment_intent"}, **fields)


def kept(found: dict[str, Any]) -> StripeEvent | None:
    with colony_tx("tests"):
        return StripeEvent.objects.filter(event_id=found["id"]).first()


def test_event_is_kept_once_and_without_what_it_holds() -> None:
    told = payment(data={"object": {"id": "ch_1", "payment_intent": "pi_7", "secret": "someone@example.org"}})

    assert [post(*signed(told)).status_code for _ in range(3)] == [200, 200, 200]
    row = kept(told)
    assert row is not None
    assert (row.type, row.object_id, row.subject, row.state) == (told["type"], "ch_1", "pi_7", "received")
    assert "someone@example.org" not in str(vars(row))


def test_event_of_no_interest_is_kept_and_never_asked_about() -> None:
    told = event("product.created", {"id": "prod_1"})

    assert post(*signed(told)).status_code == 200
    row = kept(told)
    assert row is not None
    assert row.state == EventState.IGNORED


def test_secret_is_rotated_without_a_gap() -> None:
    with stripe_at(stripe_webhook_secret=("whsec_new", WEBHOOK_SECRET)):
        assert post(*signed(payment())).status_code == 200
        assert post(*signed(payment(), secret="whsec_new")).status_code == 200
        assert post(*signed(payment(), secret="whsec_other")).status_code == 400


@pytest.mark.parametrize("age_s", [301, 3600, -301, -86_400])
def test_event_of_another_time_is_refused(age_s: int) -> None:
    told = payment()

    assert post(*signed(told, age_s=age_s)).status_code == 400
    assert kept(told) is None


@pytest.mark.parametrize("age_s", [0, 290, -290])
def test_event_of_about_now_is_taken(age_s: int) -> None:
    assert post(*signed(payment(), age_s=age_s)).status_code == 200


def forgeries() -> dict[str, tuple[str, str]]:
    body, header = signed(payment())
    at, signature = header.split(",")
    later = f"t={int(time.time()) + 4000}"
    unsigned = json.dumps(payment())
    return {
        "no signature": (body, ""),
        "another secret": signed(payment(), secret="whsec_forged"),
        "an empty secret": (body, f"{at},v1={WebhookSignature._compute_signature(f'{at[2:]}.{body}', '')}"),
        "another body": (body.replace("pi_1", "pi_2"), header),
        "a space more": (body + " ", header),
        "two times": (body, f"{later},{header}"),
        "no time": (body, signature),
        "another scheme": (body, header.replace("v1=", "v0=")),
        "nothing that parses": (body, "t=,v1=,,=="),
        "a time in other digits": (body, header.replace("t=", "t=+")),
        "signed by us for another mode": signed(payment(livemode=True)),
        "no event": signed({"id": "x"}),
        "a list": signed("[]"),
        "no JSON": signed("{"),
        "deep": signed("[" * 100_000),
        "unsigned": (unsigned, f"t={int(time.time())},v1={'0' * 64}"),
    }  # fmt: skip


@pytest.mark.parametrize("how", forgeries())
def test_forgery_is_refused(how: str) -> None:
    body, header = forgeries()[how]
    answer = post(body, header)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_signature")
    with colony_tx("tests"):
        assert not StripeEvent.objects.filter(object_id__in=["pi_2"]).exists()


def test_bytes_that_are_no_text_are_refused() -> None:
    assert post(b"\xff\xfe", f"t={int(time.time())},v1=00").status_code == 400


def test_body_that_is_too_large_is_not_read() -> None:
    assert post("x" * 600_000).status_code == 413


def test_other_methods_and_missing_settings() -> None:
    assert Client().get("/stripe/webhook").status_code == 405
    with stripe_at(stripe_webhook_secret=()):
        answer = post(*signed(payment()))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "stripe_not_set_up")


def test_thin_event_names_what_it_is_about() -> None:
    thin = {"id": unique("evt"), "object": "v2.core.event", "type": "v1.billing.meter.error_report_triggered",
            "created": "2026-11-26T02:00:00.000Z", "related_object": {"id": "mtr_1", "type": "billing.meter"}}  # fmt: skip
    assert post(*signed(thin)).status_code == 200
    row = kept(thin)
    assert row is not None
    assert (row.object_id, row.state) == ("mtr_1", "received")


def test_key_of_tests_takes_no_events_that_are_live() -> None:
    assert SECRET_KEY.startswith("sk_test")
    assert post(*signed(payment(livemode=True))).status_code == 400
