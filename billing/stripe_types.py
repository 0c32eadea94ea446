"""What the gateway to Stripe gives and takes, and how it fails, in words that need no `stripe`.

StripeFailure
├── StripeNotSetUp      there is no key; everything that is not Stripe's works
├── StripeRefused       Stripe says no, and will say so again; `code` is Stripe's
│   └── CardRefused     the bank says no, or wants to see the card's owner
└── StripeUnavailable   it may have happened or not: 429, 5xx, no answer. The same call, with the same key, is safe
WebhookForged           a webhook that Stripe did not sign, or not now
"""

from __future__ import annotations

from datetime import datetime

import msgspec


class StripeFailure(Exception):
    code = ""


class StripeNotSetUp(StripeFailure):
    def __init__(self) -> None:
        super().__init__("Stripe is not set up: the operator sets RBEE_STRIPE_SECRET_KEY.")


class StripeRefused(StripeFailure):
    def __init__(self, message: str, code: str = "", status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status


class CardRefused(StripeRefused):
    pass


class StripeUnavailable(StripeFailure):
    def __init__(self, message: str, retry_after_s: int = 0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WebhookForged(Exception):
    pass


class EventHead(msgspec.Struct, frozen=True):
    """Of what happened, no more than where to ask about it."""

    event_id: str
    type: str
    object_id: str
    subject: str  # one of these at a time is applied
    created_at: datetime


class Page(msgspec.Struct, frozen=True):
    """Of Stripe's, for the customer to go to."""

    id: str
    url: str


class Paid(msgspec.Struct, frozen=True):
    """A payment as it is at Stripe. `amount` and `tax` are minor units: cents."""

    reference: str
    status: str  # succeeded, processing, failed, …
    amount: int
    tax: int
    currency: str
    customer_id: str
    metadata: dict[str, str]
    payment_method_id: str = ""  # that may be used again
    failure: str = ""
    subscription_id: str = ""


class Refunded(msgspec.Struct, frozen=True):
    id: str
    status: str
    amount: int
    currency: str
    metadata: dict[str, str]
    payment_reference: str = ""


class AtStripe(msgspec.Struct, frozen=True):
    """What Stripe has of a time. `asked`: references and ids of ours that it was asked for too, whenever it made them."""

    payments: dict[str, Paid]
    refunds: dict[str, Refunded]
    asked: frozenset[str] = frozenset()
    failure: str = ""  # why it could not be asked


class Disputed(msgspec.Struct, frozen=True):
    id: str
    status: str
    amount: int
    currency: str
    payment_reference: str
    reason: str


class Subscribed(msgspec.Struct, frozen=True):
    id: str
    status: str
    customer_id: str
    price_id: str
    period_ends_at: datetime | None
    ends_at_period: bool
    created_at: datetime


class Connected(msgspec.Struct, frozen=True):
    id: str
    may_charge: bool


class Card(msgspec.Struct, frozen=True):
    id: str
    brand: str
    last4: str
    expires: str
