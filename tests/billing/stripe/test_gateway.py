"""Every request of the gateway, checked by Stripe's own mock against Stripe's own description of its API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billing import stripe_gateway as gateway
from billing.stripe_types import StripeNotSetUp, StripeRefused, StripeUnavailable
from tests.billing.stripe.calls import CALLS, uncovered
from tests.billing.stripe.conftest import stripe_at
from tests.billing.stripe.standins import stripe_mock


@pytest.fixture(scope="module")
def mock() -> Iterator[str]:
    with stripe_mock() as url:
        yield url


def each() -> list[Any]:
    return [
        pytest.param(call, id=f"{name}-{place}") for name, calls in CALLS.items() for place, call in enumerate(calls)
    ]  # fmt: skip


def test_no_call_is_forgotten() -> None:
    assert uncovered() == set()


@pytest.mark.parametrize("tax", [False, True], ids=["without tax", "with tax"])
@pytest.mark.parametrize("call", each())
def test_request_is_one_that_stripe_takes(mock: str, call: Callable[[], Any], *, tax: bool) -> None:
    with stripe_at(mock, stripe_tax=tax):
        call()


def test_request_that_stripe_does_not_take_is_told(mock: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the tests above would prove nothing."""
    post = gateway._post

    def mistaken(method: str, body: dict[str, Any], key: str, *path: str) -> dict[str, Any]:
        return post(method, {**body, "no_such_field": "x"}, key, *path)

    monkeypatch.setattr(gateway, "_post", mistaken)
    with stripe_at(mock), pytest.raises(StripeRefused, match="additional properties"):
        CALLS["create_customer"][0]()


@pytest.mark.parametrize("call", each())
def test_without_a_key_every_call_says_that_it_is_missing(call: Callable[[], Any]) -> None:
    with stripe_at(stripe_secret_key=""), pytest.raises(StripeNotSetUp, match="RBEE_STRIPE_SECRET_KEY"):
        call()


def test_silence_is_no_refusal() -> None:
    with stripe_at("http://127.0.0.1:9"), pytest.raises(StripeUnavailable):
        CALLS["charge"][0]()
