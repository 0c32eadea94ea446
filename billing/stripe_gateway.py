"""Everything that is said to Stripe, by its official client; nothing else imports it.

Amounts are integers in minor units. Each call that changes something carries a key made of what it is about, so the same
call twice is one. None of these is called inside a transaction of the database.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
from django.conf import settings

from billing.stripe_types import (
    Card,
    CardRefused,
    Connected,
    Disputed,
    EventHead,
    Page,
    Paid,
    Refunded,
    StripeNotSetUp,
    StripeRefused,
    StripeUnavailable,
    Subscribed,
    WebhookForged,
)

if TYPE_CHECKING:
    from stripe import StripeClient

API_VERSION: Final = "2026-10-28.endive"
TIMEOUT_S: Final = 10.0
TOLERANCE_S: Final = 300  # of a webhook's age, in both directions
PAGE: Final = 100


def is_set_up() -> bool:
    return bool(settings.RBEE.stripe_secret_key)


# Customers and the pages that they go to


def create_customer(*, name: str, email: str, metadata: Mapping[str, str], key: str) -> str:
    made = _post("customers.create", {"name": name, "metadata": dict(metadata), **_given(email=email)}, key)
    return str(made["id"])


def open_topup(
    *,
    customer_id: str,
    amount: int,
    currency: str,
    name: str,
    saves_card: bool,
    metadata: Mapping[str, str],
    success_url: str,
    cancel_url: str,
    key: str,
    destination: str = "",
    fee_basis_points: int = 0,
    is_taxed: bool = True,
) -> Page:
    """`is_taxed`: where Stripe works out taxes; not of who finds them on invoices."""
    intent: dict[str, Any] = {"metadata": dict(metadata)}
    if saves_card:
        intent["setup_future_usage"] = "off_session"
    if destination:
        intent |= _shared(amount, destination, fee_basis_points)
    price = {"currency": currency.lower(), "unit_amount": amount, "product_data": {"name": name}}
    if settings.RBEE.stripe_tax and is_taxed:
        price["tax_behavior"] = "exclusive"
    return _page(
        _post(
            "checkout.sessions.create",
            {
                "mode": "payment",
                "customer": customer_id,
                "line_items": [{"price_data": price, "quantity": 1}],
                "payment_intent_data": intent,
                "metadata": dict(metadata),
                "success_url": success_url,
                "cancel_url": cancel_url,
                **(_tax() if is_taxed else {}),
            },
            key,
        )
    )


def open_subscription(
    *,
    customer_id: str,
    price_id: str,
    metadata: Mapping[str, str],
    success_url: str,
    cancel_url: str,
    key: str,
) -> Page:
    return _page(
        _post(
            "checkout.sessions.create",
            {
                "mode": "subscription",
                "customer": customer_id,
                "line_items": [{"price": price_id, "quantity": 1}],
                "subscription_data": {"metadata": dict(metadata)},
                "metadata": dict(metadata),
                "success_url": success_url,
                "cancel_url": cancel_url,
                **_tax(),
            },
            key,
        )
    )


def open_portal(*, customer_id: str, return_url: str, key: str) -> Page:
    body = {"customer": customer_id, "return_url": return_url}
    return _page(_post("billing_portal.sessions.create", body, key))


def list_cards(customer_id: str) -> list[Card]:
    found = _get("customers.payment_methods.list", customer_id, {"type": "card", "limit": PAGE})
    return [
        Card(
            id=one["id"],
            brand=card.get("brand") or "",
            last4=card.get("last4") or "",
            expires=f"{card.get('exp_year')}-{card.get('exp_month') or 0:02}",
        )
        for one in found["data"]
        if (card := one.get("card") or {})
    ]


# Payments


def charge(
    *,
    customer_id: str,
    payment_method_id: str,
    amount: int,
    currency: str,
    metadata: Mapping[str, str],
    key: str,
    destination: str = "",
    fee_basis_points: int = 0,
    is_taxed: bool = True,
) -> Paid:
    """Of a saved card, while its owner is away. Raises CardRefused when that does not work without them."""
    is_taxed = is_taxed and settings.RBEE.stripe_tax
    tax = _calculate_tax(customer_id, amount, currency, key) if is_taxed else None
    body: dict[str, Any] = {
        "amount": tax["amount_total"] if tax else amount,
        "currency": currency.lower(),
        "customer": customer_id,
        "payment_method": payment_method_id,
        "payment_method_types": ["card"],
        "confirm": True,
        "off_session": True,
        "metadata": {**metadata, "rbee_key": key, "rbee_tax": str(tax["tax_amount_exclusive"] if tax else 0)},
    }
    if tax:
        body["hooks"] = {"inputs": {"tax": {"calculation": tax["id"]}}}
    if destination:
        body |= _shared(amount, destination, fee_basis_points)
    return _paid(_post("payment_intents.create", body, key))


def find_charge(*, customer_id: str, key: str, since: datetime) -> Paid | None:
    """The one that was made by `charge` with this key, if it was."""
    query = {"customer": customer_id, "created": {"gte": int(since.timestamp())}}
    for intent in _all("payment_intents.list", query):
        if (intent.get("metadata") or {}).get("rbee_key") == key:
            return _paid(intent)
    return None


def read_payment(intent_id: str) -> Paid:
    """What came of a payment. Taxes are known to the session of its Checkout, or the invoice of its subscription."""
    intent = _get("payment_intents.retrieve", intent_id)
    kind = (intent.get("metadata") or {}).get("rbee_kind")
    if kind == "topup":
        query = {"payment_intent": intent_id, "limit": 1}
        found = _get("checkout.sessions.list", query)["data"]
        return _session(found[0], intent) if found else _paid(intent)
    if not kind:
        by = {"type": "payment_intent", "payment_intent": intent_id}
        found = _get("invoice_payments.list", {"payment": by, "limit": 1})["data"]
        return read_invoice(_id(found[0]["invoice"])) if found else _paid(intent)
    return _paid(intent)


def list_payments(*, since: datetime, until: datetime) -> Iterator[Paid]:
    """Begun in that time, whatever came of them, and without what only the page or the subscription of one knows."""
    return (_paid(intent) for intent in _all("payment_intents.list", _made(since, until)))


def read_session(session_id: str) -> Paid:
    """Of Checkout. `status` is succeeded once it is paid."""
    session = _get("checkout.sessions.retrieve", session_id, {"expand": ["payment_intent"]})
    intent = session.get("payment_intent")
    return _session(session, intent if isinstance(intent, dict) else {"id": intent})


def read_invoice(invoice_id: str) -> Paid:
    """Of a subscription. Its reference is that of the payment, as of any other."""
    invoice = _get("invoices.retrieve", invoice_id, {"expand": ["payments"]})
    parent = (invoice.get("parent") or {}).get("subscription_details") or {}
    payments = (invoice.get("payments") or {}).get("data") or [{}]
    return Paid(
        reference=_id((payments[0].get("payment") or {}).get("payment_intent")) or invoice["id"],
        status="succeeded" if invoice.get("status") == "paid" else str(invoice.get("status")),
        amount=invoice.get("amount_paid") or 0,
        tax=sum(one.get("amount") or 0 for one in invoice.get("total_taxes") or []),
        currency=str(invoice["currency"]).upper(),
        customer_id=_id(invoice.get("customer")),
        metadata=dict(invoice.get("metadata") or {}),
        subscription_id=_id(parent.get("subscription") or invoice.get("subscription")),
    )


def refund(
    *, payment_reference: str, amount: int, is_shared: bool, metadata: Mapping[str, str], key: str
) -> Refunded:
    """`is_shared`: what a seller and the platform got of it is taken back in the same parts."""
    body = {"payment_intent": payment_reference, "amount": amount, "metadata": dict(metadata)}
    if is_shared:
        body |= {"reverse_transfer": True, "refund_application_fee": True}
    return _refunded(_post("refunds.create", body, key))


def list_refunds(payment_reference: str) -> list[Refunded]:
    return [_refunded(one) for one in _all("refunds.list", {"payment_intent": payment_reference})]


def list_refunds_made(*, since: datetime, until: datetime) -> Iterator[Refunded]:
    return (_refunded(one) for one in _all("refunds.list", _made(since, until)))


def read_dispute(dispute_id: str) -> Disputed:
    dispute = _get("disputes.retrieve", dispute_id)
    return Disputed(
        id=dispute["id"],
        status=dispute["status"],
        amount=dispute["amount"],
        currency=str(dispute["currency"]).upper(),
        payment_reference=_id(dispute.get("payment_intent")),
        reason=str(dispute.get("reason") or ""),
    )


# Subscriptions


def read_subscription(subscription_id: str) -> Subscribed:
    found = _get("subscriptions.retrieve", subscription_id)
    item = ((found.get("items") or {}).get("data") or [{}])[0]
    ends = item.get("current_period_end") or found.get("current_period_end")
    return Subscribed(
        id=found["id"],
        status=found["status"],
        customer_id=_id(found.get("customer")),
        price_id=_id(item.get("price")),
        period_ends_at=_moment(ends) if ends else None,
        ends_at_period=bool(found.get("cancel_at_period_end")),
        created_at=_moment(found["created"]),
    )


def end_subscription(subscription_id: str, *, key: str) -> None:
    """When what is paid for is over."""
    _post("subscriptions.update", {"cancel_at_period_end": True}, key, subscription_id)


# Meters


def report_usage(*, event_name: str, customer_id: str, value: int, at: datetime, identifier: str) -> None:
    """An identifier that Stripe has counted already is delivered."""
    body = {
        "event_name": event_name,
        "identifier": identifier,
        "timestamp": int(at.timestamp()),
        "payload": {"stripe_customer_id": customer_id, "value": str(value)},
    }
    try:
        _post("billing.meter_events.create", body, identifier)
    except StripeRefused as error:
        if not _is_known_identifier(error):
            raise


def reported_usage(*, meter_id: str, customer_id: str, minute: datetime) -> int:
    """What Stripe has counted in one minute."""
    start = int(minute.timestamp())
    query = {"customer": customer_id, "start_time": start, "end_time": start + 60}
    found = _get("billing.meters.event_summaries.list", meter_id, query)
    return sum(int(one["aggregated_value"]) for one in found["data"])


# Those who sell through the platform


def create_seller(*, email: str, country: str, metadata: Mapping[str, str], key: str) -> Connected:
    body = {
        "type": "express",
        "metadata": dict(metadata),
        "capabilities": {"transfers": {"requested": True}},
        **_given(email=email, country=country),
    }
    return _connected(_post("accounts.create", body, key))


def open_onboarding(*, account_id: str, return_url: str, key: str) -> Page:
    body = {
        "account": account_id,
        "type": "account_onboarding",
        "return_url": return_url,
        "refresh_url": return_url,
    }
    link = _post("account_links.create", body, key)
    return Page(id=account_id, url=link["url"])


def read_seller(account_id: str) -> Connected:
    return _connected(_get("accounts.retrieve", account_id))


# What Stripe tells


def read_webhook(body: bytes, signature: str) -> EventHead:
    """Verified by the official client against each secret, and by us where it leaves gaps: a time to come, two times, and
    whether the mode is that of our key. Raises WebhookForged, StripeNotSetUp."""
    from stripe import SignatureVerificationError, WebhookSignature

    secrets = settings.RBEE.stripe_webhook_secret
    if not secrets:
        raise StripeNotSetUp
    times = [part[2:] for part in signature.split(",") if part.startswith("t=")]
    # A time of any other shape is read by `int` in more ways than one.
    if len(times) != 1 or not (times[0].isascii() and times[0].isdigit() and len(times[0]) < 13):
        raise WebhookForged("the signature has no time")
    if abs(time.time() - int(times[0])) > TOLERANCE_S:
        raise WebhookForged("it was signed at another time")
    for secret in secrets:
        try:
            WebhookSignature.verify_header(body, signature, secret, TOLERANCE_S)
            break
        except (SignatureVerificationError, UnicodeDecodeError):
            continue
    else:
        raise WebhookForged("Stripe did not sign this")
    try:
        return event_head(msgspec.json.decode(body))
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WebhookForged("this is no event of Stripe's") from error


def list_events(*, since: datetime, types: list[str]) -> Iterator[EventHead]:
    """Newest first."""
    for event in _all("events.list", {"created": {"gte": int(since.timestamp())}, "types": types}):
        yield event_head(event)


def event_head(event: Mapping[str, Any]) -> EventHead:
    if event.get("object") == "v2.core.event":  # thin: it names its object, and holds nothing of it
        related = str((event.get("related_object") or {}).get("id") or "")
        return EventHead(
            event["id"], event["type"], related, related, datetime.fromisoformat(event["created"])
        )
    if event.get("object") != "event":
        raise ValueError("no event")
    if bool(event.get("livemode")) != settings.RBEE.stripe_secret_key.startswith(("sk_live", "rk_live")):
        raise ValueError("of another mode")
    found = event["data"]["object"]
    object_id = str(found["id"])
    parent = (found.get("parent") or {}).get("subscription_details") or {}
    subject = (
        found.get("payment_intent") or found.get("subscription") or parent.get("subscription") or object_id
    )
    return EventHead(
        str(event["id"]), str(event["type"]), object_id, _id(subject) or object_id, _moment(event["created"])
    )


def _shared(amount: int, destination: str, fee_basis_points: int) -> dict[str, Any]:
    return {
        "application_fee_amount": amount * fee_basis_points // 10_000,
        "transfer_data": {"destination": destination},
    }


def _tax() -> dict[str, Any]:
    if not settings.RBEE.stripe_tax:
        return {}
    return {
        "automatic_tax": {"enabled": True},
        "tax_id_collection": {"enabled": True},
        "customer_update": {"address": "auto", "name": "auto"},
        "billing_address_collection": "required",
    }


def _calculate_tax(customer_id: str, amount: int, currency: str, key: str) -> dict[str, Any]:
    line = {"amount": amount, "reference": "balance", "tax_behavior": "exclusive"}
    body = {"currency": currency.lower(), "customer": customer_id, "line_items": [line]}
    return _post("tax.calculations.create", body, f"{key}:tax")


def _page(made: dict[str, Any]) -> Page:
    return Page(id=made["id"], url=made.get("url") or "")


def _session(session: Mapping[str, Any], intent: Mapping[str, Any]) -> Paid:
    """A subscription's is paid by its invoice."""
    details = session.get("total_details") or {}
    is_paid = session.get("payment_status") == "paid"
    return Paid(
        reference=_id(intent) or session["id"],
        status="succeeded" if is_paid else "open" if session.get("status") == "open" else "unpaid",
        amount=session.get("amount_total") or 0,
        tax=details.get("amount_tax") or 0,
        currency=str(session.get("currency") or "").upper(),
        customer_id=_id(session.get("customer")),
        metadata=dict(session.get("metadata") or {}),
        payment_method_id=_id(intent.get("payment_method")) if intent.get("setup_future_usage") else "",
        subscription_id=_id(session.get("subscription")),
    )


def _paid(intent: Mapping[str, Any]) -> Paid:
    metadata = dict(intent.get("metadata") or {})
    tax = metadata.get("rbee_tax", "0")
    failure = intent.get("last_payment_error") or {}
    return Paid(
        reference=intent["id"],
        status=intent["status"],
        amount=intent.get("amount_received") or intent["amount"],
        tax=int(tax) if tax.isdigit() else 0,
        currency=str(intent["currency"]).upper(),
        customer_id=_id(intent.get("customer")),
        metadata=metadata,
        payment_method_id=_id(intent.get("payment_method")) if intent.get("setup_future_usage") else "",
        failure=str(failure.get("decline_code") or failure.get("code") or ""),
    )


def _refunded(made: Mapping[str, Any]) -> Refunded:
    return Refunded(
        id=made["id"],
        status=str(made.get("status") or "pending"),
        amount=made["amount"],
        currency=str(made["currency"]).upper(),
        metadata=dict(made.get("metadata") or {}),
        payment_reference=_id(made.get("payment_intent")),
    )


def _connected(account: Mapping[str, Any]) -> Connected:
    transfers = (account.get("capabilities") or {}).get("transfers")
    return Connected(id=account["id"], may_charge=transfers == "active")


def _is_known_identifier(error: StripeRefused) -> bool:
    return "identifier" in str(error) and "already exists" in str(error)


def _id(value: Any) -> str:
    """Of what Stripe gives whole or by its name."""
    return str(value.get("id") or "") if isinstance(value, Mapping) else str(value or "")


def _made(since: datetime, until: datetime) -> dict[str, Any]:
    return {"created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())}}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _given(**fields: str) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def _all(method: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    after: dict[str, Any] = {}
    while True:
        page = _get(method, {**query, "limit": PAGE, **after})
        yield from page["data"]
        if not page.get("has_more") or not page["data"]:
            return
        after = {"starting_after": page["data"][-1]["id"]}


def _get(method: str, *arguments: Any) -> dict[str, Any]:
    *path, query = arguments if arguments and isinstance(arguments[-1], dict) else (*arguments, {})
    return _call(method, *path, query)


def _post(method: str, body: dict[str, Any], key: str, *path: str) -> dict[str, Any]:
    return _call(method, *path, body, {"idempotency_key": key[:255]})


def _call(method: str, *arguments: Any) -> dict[str, Any]:
    target: Any = _client().v1
    for name in method.split("."):
        target = getattr(target, name)
    with _failures():
        answer: dict[str, Any] = target(*arguments).to_dict()
    return answer


@contextmanager
def _failures() -> Iterator[None]:
    import stripe

    try:
        yield
    except stripe.CardError as error:
        raise CardRefused(_words(error), str(error.code or "card_declined"), 402) from None
    except stripe.RateLimitError as error:
        raise StripeUnavailable("Stripe is busy; try again.", _retry_after(error)) from None
    except (stripe.APIConnectionError, stripe.APIError) as error:
        raise StripeUnavailable("Stripe does not answer; try again.", _retry_after(error)) from None
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        # The operator mends it; until then nothing that is to be sent is lost.
        raise StripeUnavailable("Stripe does not take the operator's key.") from error
    except stripe.StripeError as error:
        status = error.http_status or 500
        if status in (409, 429) or status >= 500:
            raise StripeUnavailable("Stripe is busy; try again.", _retry_after(error)) from None
        raise StripeRefused(_words(error), str(error.code or ""), status) from None


def _words(error: Any) -> str:
    return str(error.user_message or "Stripe refused this.")[:300]


def _retry_after(error: Any) -> int:
    text = str((error.headers or {}).get("retry-after", ""))
    return min(int(text), 3600) if text.isascii() and text.isdigit() else 0


def _client() -> StripeClient:
    if not is_set_up():
        raise StripeNotSetUp
    return _client_of(settings.RBEE.stripe_secret_key, settings.RBEE.stripe_api_url)


@lru_cache(maxsize=4)
def _client_of(secret_key: str, url: str) -> StripeClient:
    import stripe

    stripe.enable_telemetry = False
    stripe.set_app_info("rbee")
    return stripe.StripeClient(
        secret_key,
        stripe_version=API_VERSION,
        base_addresses={"api": url.rstrip("/"), "connect": url.rstrip("/"), "meter_events": url.rstrip("/")}
        if url
        else None,
        max_network_retries=0,  # whoever calls knows whether there is time for another try
        http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
    )
