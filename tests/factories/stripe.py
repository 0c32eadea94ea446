"""What Stripe says of tenants of tests, and webhooks that it signed."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

from stripe import WebhookSignature

from billing.domain.accounts import change_account
from billing.domain.stripe_payments import book_payment
from billing.models import Balance, Payment
from billing.stripe_models import StripeCustomer
from billing.stripe_types import Disputed, Paid, Refunded, Subscribed
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Tenant
from tests.billing.stripe.standins import WEBHOOK_SECRET
from tests.factories.tenants import TESTER, make_tenant, unique

MICROS_OF_A_CENT = 10_000


def make_customer(*, prepaid: bool = True, card: str = "", **fields: Any) -> StripeCustomer:
    tenant = fields.pop("tenant", None) or make_tenant(**fields)
    change_account(
        tenant.id, {"mode": "prepaid" if prepaid else "postpaid", "currency": "EUR", "country": "NL"}, actor=TESTER
    )  # fmt: skip
    with tenant_tx(tenant.id):
        return StripeCustomer.objects.create(
            tenant=tenant, customer_id=unique("cus").replace("-", "_"), payment_method_id=card
        )


def paid(customer: StripeCustomer, amount: int = 1000, **fields: Any) -> Paid:
    facts = {
        "reference": unique("pi").replace("-", "_"),
        "status": "succeeded",
        "amount": amount,
        "tax": 0,
        "currency": "EUR",
        "customer_id": customer.customer_id,
        "metadata": {"rbee_kind": "topup"},
    }
    return Paid(**{**facts, **fields})


def make_payment(customer: StripeCustomer, amount: int = 1000, **fields: Any) -> Payment:
    payment = book_payment(paid(customer, amount, **fields))
    assert payment is not None
    return payment


def refunded(amount: int, **fields: Any) -> Refunded:
    facts = {"id": unique("re").replace("-", "_"), "status": "succeeded", "amount": amount, "currency": "EUR",
             "metadata": {}}  # fmt: skip
    return Refunded(**{**facts, **fields})


def disputed(payment: Payment, amount: int, **fields: Any) -> Disputed:
    facts = {"id": unique("dp").replace("-", "_"), "status": "needs_response", "amount": amount, "currency": "EUR",
             "payment_reference": payment.reference, "reason": "fraudulent"}  # fmt: skip
    return Disputed(**{**facts, **fields})


def subscribed(customer: StripeCustomer, **fields: Any) -> Subscribed:
    facts = {"id": unique("sub").replace("-", "_"), "status": "active", "customer_id": customer.customer_id,
             "price_id": "price_1", "period_ends_at": None, "ends_at_period": False, "created_at": datetime.now(UTC)}  # fmt: skip
    return Subscribed(**{**facts, **fields})


def balance_of(tenant: Tenant | Any) -> int:
    """In micro-units."""
    with colony_tx("tests"):
        found = Balance.objects.filter(tenant_id=getattr(tenant, "tenant_id", None) or tenant.id).first()
    return found.balance_micros if found else 0


def event(kind: str, found: dict[str, Any], **fields: Any) -> dict[str, Any]:
    facts = {"id": unique("evt").replace("-", "_"), "object": "event", "type": kind, "created": int(time.time()),
             "livemode": False, "data": {"object": found}}  # fmt: skip
    return {**facts, **fields}


def signed(body: dict[str, Any] | str, *, secret: str = WEBHOOK_SECRET, age_s: int = 0) -> tuple[str, str]:
    """The bytes, and the header."""
    text = body if isinstance(body, str) else json.dumps(body)
    header = WebhookSignature.generate_signature_header(text, secret, int(time.time()) - age_s)
    return text, header
