from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterator

import pytest
from django.conf import settings

from gdpr.scope import colony_tx
from tenants.models import WebhookEndpoint, WebhookEvent
from tests.tenants.receiver import Receiver
from tests.tenants.receiver import receiver as run_receiver


@pytest.fixture
def outbound() -> Iterator[None]:
    """An operator who lets customers call this machine."""
    before = settings.RBEE
    settings.RBEE = dataclasses.replace(
        before,
        outbound_http=True,
        outbound_allow=(ipaddress.ip_network("127.0.0.1/32"),),
        outbound_ports=((1, 65535),),
    )
    yield
    settings.RBEE = before


@pytest.fixture
def receiver(outbound: None) -> Iterator[Receiver]:
    with run_receiver() as found:
        yield found


@pytest.fixture
def no_webhooks(committed_db: None) -> Iterator[None]:
    """Those of tests that committed are gone, before and after."""
    forget_webhooks()
    yield
    forget_webhooks()


def forget_webhooks() -> None:
    with colony_tx("tests"):
        WebhookEndpoint.objects.all().delete()
        WebhookEvent.objects.all().delete()
