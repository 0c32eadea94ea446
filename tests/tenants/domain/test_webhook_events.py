"""The catalogue, what is published by it, and the table in the docs."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from gdpr.scope import tenant_tx
from tenants.domain.outbox import publish
from tenants.domain.webhook_events import EVENTS, PATTERNS, wants
from tenants.domain.webhook_signatures import headers_of, make_secret, shown
from tenants.models import WebhookEvent
from tests.factories.tenants import make_key, make_tenant

ROOT = Path(__file__).parents[3]
PUBLISHED = re.compile(r"\b(?:publish|make_event)\(\s*\"([a-z_.]+)\"")


def test_every_event_is_published_and_every_published_one_is_in_the_catalogue() -> None:
    published = {
        name
        for app in ("tenants", "billing", "inference", "gdpr")
        for path in (ROOT / app).rglob("*.py")
        for name in PUBLISHED.findall(path.read_text())
    }

    assert published == set(EVENTS)


def test_docs_have_every_event_with_its_example() -> None:
    docs = (ROOT / "platform/docs/webhooks.md").read_text()
    rows = [
        f"| `{event.name}` | {event.when} | {event.version} | `{json.dumps(event.example)}` |"
        for event in EVENTS.values()
    ]

    assert [row for row in rows if row not in docs] == []
    assert set(re.findall(r"^\| `([a-z]+\.[a-z_]+)` \|", docs, re.MULTILINE)) == set(EVENTS)


def test_receiver_of_the_docs_verifies_what_rbee_sends() -> None:
    docs = (ROOT / "platform/docs/webhooks.md").read_text()
    (source,) = re.findall(r"^```python\n(.*?)^```", docs, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(source, names)
    old, new, now = make_secret(), make_secret(), int(time.time())

    headers = headers_of("evt_1", now, b"{}", [new, old])

    for secret in (old, new):
        assert names["verify"](shown(secret), headers, b"{}")
    assert not names["verify"](shown(make_secret()), headers, b"{}")
    assert not names["verify"](shown(new), headers, b"{ }")
    assert not names["verify"](shown(new), headers_of("evt_1", now - 600, b"{}", [new]), b"{}")


def test_examples_hold_nothing_about_a_person() -> None:
    for event in EVENTS.values():
        assert not {"name", "email", "ip", "url", "message", "prompt"} & set(event.example), event.name
        assert all(isinstance(value, str | int) for value in event.example.values())


@pytest.mark.parametrize(
    ("patterns", "name", "expected"),
    [
        (["*"], "key.created", True),
        (["key.*"], "key.created", True),
        (["key.created"], "key.created", True),
        (["key.created"], "key.revoked", False),
        (["tenant.*", "key.revoked"], "key.revoked", True),
        ([], "key.revoked", False),
    ],
)
def test_patterns(patterns: list[str], name: str, expected: bool) -> None:
    assert wants(patterns, name) is expected
    assert PATTERNS.issuperset(patterns)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("key.stolen", {}),
        ("key.created", {"key": "x"}),
        ("webhook.ping", {"endpoint": "x", "email": "a@b.c"}),
    ],
)
def test_what_the_catalogue_does_not_know_is_refused(event: str, data: dict[str, str]) -> None:
    tenant = make_tenant()

    with pytest.raises(ValueError, match=event), tenant_tx(tenant.id):
        publish(event, tenant.id, data)


@pytest.mark.django_db
def test_event_is_there_exactly_when_the_change_is() -> None:
    key, _ = make_key()
    with tenant_tx(key.tenant_id):
        publish("webhook.ping", key.tenant_id, {"endpoint": "x"})
        transaction.set_rollback(True)

    with tenant_tx(key.tenant_id):
        (event,) = WebhookEvent.objects.all()
    assert event.type == "key.created"
    assert event.data == {"key": str(key.id), "kid": key.kid, "project": str(key.project_id)}
