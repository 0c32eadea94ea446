"""Every call of the gateway, with arguments of the shape that they have. One that is missing here fails the test."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from billing import stripe_gateway as gateway

NOW = datetime.now(UTC)
MONEY = {"amount": 2500, "currency": "EUR"}
TAGS = {"metadata": {"rbee_tenant": "x", "rbee_kind": "topup"}}
URLS = {"success_url": "https://example.org/done", "cancel_url": "https://example.org/back"}
SHARED = {"destination": "acct_1", "fee_basis_points": 3000}

CALLS: dict[str, tuple[Callable[[], Any], ...]] = {
    "create_customer": (
        lambda: gateway.create_customer(name="Acme", email="pay@example.org", key="k1", **TAGS),
        lambda: gateway.create_customer(name="Acme", email="", key="k2", **TAGS),
    ),
    "open_topup": (
        lambda: gateway.open_topup(customer_id="cus_1", name="Balance", saves_card=False, key="k3", **MONEY, **TAGS, **URLS),
        lambda: gateway.open_topup(
            customer_id="cus_1", name="Balance", saves_card=True, key="k4", **MONEY, **TAGS, **URLS, **SHARED
        ),
    ),
    "open_subscription": (
        lambda: gateway.open_subscription(customer_id="cus_1", price_id="price_1", key="k5", **TAGS, **URLS),
    ),
    "open_portal": (
        lambda: gateway.open_portal(customer_id="cus_1", return_url="https://example.org", key="k6"),
    ),
    "list_cards": (lambda: gateway.list_cards("cus_1"),),
    "charge": (
        lambda: gateway.charge(customer_id="cus_1", payment_method_id="pm_1", key="k7", **MONEY, **TAGS),
        lambda: gateway.charge(customer_id="cus_1", payment_method_id="pm_1", key="k8", **MONEY, **TAGS, **SHARED),
    ),
    "find_charge": (lambda: gateway.find_charge(customer_id="cus_1", key="k7", since=NOW - timedelta(days=3)),),
    "read_payment": (lambda: gateway.read_payment("pi_1"),),
    "list_payments": (
        lambda: list(gateway.list_payments(since=NOW - timedelta(days=1), until=NOW)),
    ),
    "read_session": (lambda: gateway.read_session("cs_1"),),
    "read_invoice": (lambda: gateway.read_invoice("in_1"),),
    "refund": tuple(
        lambda shared=shared: gateway.refund(payment_reference="pi_1", amount=100, is_shared=shared, key="k9", **TAGS)
        for shared in (False, True)
    ),
    "list_refunds": (lambda: gateway.list_refunds("pi_1"),),
    "list_refunds_made": (
        lambda: list(gateway.list_refunds_made(since=NOW - timedelta(days=1), until=NOW)),
    ),
    "read_dispute": (lambda: gateway.read_dispute("dp_1"),),
    "read_subscription": (lambda: gateway.read_subscription("sub_1"),),
    "end_subscription": (lambda: gateway.end_subscription("sub_1", key="k12"),),
    "report_usage": (
        lambda: gateway.report_usage(event_name="tokens", customer_id="cus_1", value=7, at=NOW, identifier="i1"),
    ),
    "reported_usage": (
        lambda: gateway.reported_usage(meter_id="mtr_1", customer_id="cus_1", minute=NOW.replace(second=0)),
    ),
    "create_seller": (
        lambda: gateway.create_seller(email="gpu@example.org", country="NL", key="k13", **TAGS),
        lambda: gateway.create_seller(email="", country="", key="k14", **TAGS),
    ),
    "open_onboarding": (
        lambda: gateway.open_onboarding(account_id="acct_1", return_url="https://example.org", key="k15"),
    ),
    "read_seller": (lambda: gateway.read_seller("acct_1"),),
    "list_events": (lambda: list(gateway.list_events(since=NOW, types=["charge.refunded", "invoice.paid"])),),
}  # fmt: skip

NO_CALL = {"is_set_up", "read_webhook", "event_head"}


def uncovered() -> set[str]:
    functions = inspect.getmembers(gateway, inspect.isfunction)
    public = {
        name for name, one in functions if one.__module__ == gateway.__name__ and not name.startswith("_")
    }
    return public - set(CALLS) - NO_CALL
