from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.conf import settings as django_settings

from billing import stripe_gateway as gateway
from tests.billing.stripe.standins import SECRET_KEY, WEBHOOK_SECRET


@contextmanager
def stripe_at(url: str = "http://127.0.0.1:9", **others: object) -> Iterator[None]:
    """As the operator would set it up; by default nothing answers there."""
    before = django_settings.RBEE
    fields = {
        "stripe_secret_key": SECRET_KEY,
        "stripe_webhook_secret": (WEBHOOK_SECRET,),
        "stripe_api_url": url,
    }
    django_settings.RBEE = dataclasses.replace(before, **{**fields, **others})
    try:
        yield
    finally:
        gateway._client_of(SECRET_KEY, url)._requestor._client.close()  # its connections are this thread's
        django_settings.RBEE = before


@pytest.fixture
def stripe_on(django_db_setup: None) -> Iterator[None]:
    with stripe_at():
        yield
