"""Where Stripe tells what happened: verified on the bytes that came, written down once, answered; what it means is worked out
afterwards."""

from __future__ import annotations

import logging

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse, UnreadablePostError
from django.http.request import RawPostDataException
from django.views.decorators.csrf import csrf_exempt

from billing import stripe_gateway as gateway
from billing.domain.stripe_events import receive_event
from billing.stripe_types import StripeNotSetUp, WebhookForged
from gdpr.duties import owes, unrecorded

BODY_BYTES_MAX = 512 * 1024  # an event of Stripe's has a tenth of that

logger = logging.getLogger(__name__)


@owes(POST=unrecorded("what Stripe says is only noted; billing.stripe_work records what comes of it"))
@csrf_exempt
def receive(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        answer = _refusal(405, "method_not_allowed", "Stripe posts here.")
        answer["Allow"] = "POST"
        return answer
    length = request.headers.get("Content-Length", "0")
    if not length.isdigit() or int(length) > BODY_BYTES_MAX:
        return _refusal(413, "body_too_large", f"An event has at most {BODY_BYTES_MAX} bytes.")
    try:
        body = request.read(BODY_BYTES_MAX + 1)
    except (UnreadablePostError, RawPostDataException):
        return _refusal(400, "invalid_request", "The body did not arrive.")
    if len(body) > BODY_BYTES_MAX:
        return _refusal(413, "body_too_large", f"An event has at most {BODY_BYTES_MAX} bytes.")
    try:
        head = gateway.read_webhook(body, request.headers.get("Stripe-Signature", ""))
    except StripeNotSetUp:
        return _refusal(
            404, "stripe_not_set_up", "Stripe is not set up: RBEE_STRIPE_WEBHOOK_SECRET is not set."
        )
    except WebhookForged as error:
        logger.warning("a webhook was refused: %s", error)
        return _refusal(400, "invalid_signature", "This is not signed by Stripe at this time.")
    try:
        receive_event(head)
    except (OperationalError, InterfaceError):
        return _refusal(503, "database_unavailable", "Try again.")
    return JsonResponse({"received": True})


def _refusal(status: int, code: str, message: str) -> HttpResponse:
    kind = "service_unavailable" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JsonResponse({"error": error}, status=status)
