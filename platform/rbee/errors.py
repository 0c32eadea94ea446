"""Errors of Django's side in OpenAI's envelope: `{"error": {"message", "type", "param", "code"}}`, whatever went wrong.

What the views raise carries its own words (`ColonyError`, and those of the framework); refusals of the books and the
keys are the caller's fault; a database that is away is 503; everything else is 500 and says nothing about why.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, NamedTuple

import redis
from django.core.exceptions import PermissionDenied
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import set_rollback

from billing.domain.accounts import AccountRefused
from billing.domain.issuing import InvoiceRefused
from billing.domain.payments import PaymentRefused
from billing.domain.sellers import SellerIncomplete, SellerRefused
from billing.domain.units import PriceRefused
from billing.stripe_types import StripeFailure, StripeNotSetUp, StripeUnavailable
from gdpr.domain.requests import RequestRefused
from gdpr.keys.base import KeysUnavailable
from inference.api.errors import envelope
from inference.domain.errors import ColonyError
from inference.rest.authentication import AddressNotAllowed
from inference.rest.refusals import REFUSED, hand_over
from rbee.pages import is_page, problem
from tenants.domain.keys import KeyIsOver, KeyRefused
from tenants.domain.tenancy import StateRefused, TenantRefused, TenantTaken

JSON = "application/json"
NO_RETRY = {"x-should-retry": "false"}  # official clients repeat what is answered by 409
INVALID, PERMISSION, CONFLICT = "invalid_request_error", "permission_error", "conflict_error"
UNAVAILABLE, SERVER, RATE = "service_unavailable", "server_error", "rate_limit_error"


class Refusal(NamedTuple):
    """What the domain refuses, and how that is said. `field` of the error is the parameter."""

    error: type[Exception]
    status: int
    type: str
    code: str


REFUSALS: Final = (
    Refusal(KeyRefused, 400, INVALID, "invalid_value"),
    Refusal(PriceRefused, 400, INVALID, "invalid_value"),
    Refusal(PaymentRefused, 400, INVALID, "invalid_value"),
    Refusal(AccountRefused, 400, INVALID, "invalid_value"),
    Refusal(SellerRefused, 400, INVALID, "invalid_value"),
    Refusal(KeyIsOver, 409, CONFLICT, "state_conflict"),
    Refusal(InvoiceRefused, 409, CONFLICT, "state_conflict"),
    Refusal(RequestRefused, 409, CONFLICT, "state_conflict"),
    Refusal(SellerIncomplete, 409, CONFLICT, "seller_incomplete"),
    # Kinds of TenantRefused come before it.
    Refusal(TenantTaken, 409, CONFLICT, "name_taken"),
    Refusal(StateRefused, 409, CONFLICT, "state_conflict"),
    Refusal(TenantRefused, 400, INVALID, "invalid_value"),
)

logger = logging.getLogger(__name__)


class ErrorResponse(Response):
    """DRF renders `data`; the envelope is written by the same function as on the lane."""

    def __init__(
        self, status: int, kind: str, code: str | None, message: str, param: str | None = None, **headers: str
    ) -> None:
        super().__init__(
            {"error": {"message": message, "type": kind, "param": param, "code": code}},
            status=status,
            headers=headers,
        )


def rest_exception_handler(error: Exception, context: dict[str, Any]) -> Response:
    set_rollback()
    answer = _answer_to(error)
    if answer.status_code in REFUSED:
        hand_over(error, context["request"], answer.status_code, answer.data["error"]["code"] or "")
    return answer


def _stripe_error(error: StripeFailure) -> Response:
    if isinstance(error, StripeUnavailable):
        retry = {"Retry-After": str(error.retry_after_s or 5)}
        return ErrorResponse(503, UNAVAILABLE, "stripe_unavailable", str(error), **retry)
    if isinstance(error, StripeNotSetUp):
        return ErrorResponse(409, CONFLICT, "stripe_not_set_up", str(error), **NO_RETRY)
    return ErrorResponse(400, INVALID, "stripe_refused", str(error))


def _answer_to(error: Exception) -> Response:
    if isinstance(error, ColonyError):
        retry = {"Retry-After": "1"} if error.status == 503 else {}
        return ErrorResponse(error.status, error.type, error.code, error.message, error.param, **retry)
    if isinstance(error, StripeFailure):
        return _stripe_error(error)
    if isinstance(error, KeysUnavailable):
        logger.error("the keys are away: %s", error)
        return ErrorResponse(
            503,
            UNAVAILABLE,
            "keys_unavailable",
            "The keys of personal details are away.",
            **{"Retry-After": "5"},
        )
    if refusal := next((each for each in REFUSALS if isinstance(error, each.error)), None):
        headers = NO_RETRY if refusal.status == 409 else {}
        return ErrorResponse(
            refusal.status, refusal.type, refusal.code, str(error), getattr(error, "field", None), **headers
        )
    if isinstance(error, Http404 | exceptions.NotFound):
        return ErrorResponse(
            404, INVALID, "not_found", _detail(error) or "There is nothing here by that name."
        )
    if isinstance(error, PermissionDenied):
        return ErrorResponse(403, PERMISSION, "permission_denied", "This is not yours to do.")
    if isinstance(error, exceptions.APIException):
        return _api_error(error)
    if isinstance(error, OperationalError | InterfaceError):
        return _unavailable(error)
    logger.error("a request failed", exc_info=error)
    return ErrorResponse(
        500, SERVER, "internal_error", "The server had an error while processing your request."
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_page(request):
        return problem(request, 400, "That makes no sense", "The request is not one that a browser sends.")
    return _plain(400, INVALID, "invalid_request", "The request makes no sense.")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _plain(403, PERMISSION, "permission_denied", "This is not yours to do.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    if is_page(request):
        return problem(
            request, 403, "This form is too old", "Go back, load the page again, and send it from there."
        )
    return _plain(
        403,
        PERMISSION,
        "csrf_failed",
        "Send the cookie rbee_csrf back as the header X-CSRFToken, from our own pages.",
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_page(request):
        return problem(request, 404, "There is nothing here", "There is nothing here by that name.")
    path = "".join(char if char.isprintable() else "?" for char in request.path[:200])
    return _plain(404, INVALID, "unknown_url", f"Unknown request URL: {request.method} {path}.")


def server_error(request: HttpRequest) -> HttpResponse:
    if isinstance(sys.exception(), redis.RedisError):  # attempts to log in are counted there
        return _plain(503, UNAVAILABLE, "redis_unavailable", "Redis does not answer; try again.")
    return _plain(500, SERVER, "internal_error", "The server had an error while processing your request.")


def _api_error(error: exceptions.APIException) -> Response:
    message, param = _first(error.detail)
    headers: dict[str, str] = {}
    if error.status_code == 401:
        headers["WWW-Authenticate"] = getattr(error, "auth_header", "Bearer")
        code = error.default_code if isinstance(error, AddressNotAllowed) else "invalid_api_key"
        return ErrorResponse(401, INVALID, code, message, **headers)
    if wait_s := getattr(error, "wait", None):  # Throttled
        headers["Retry-After"] = str(int(wait_s) + 1)
    kinds = {403: PERMISSION, 409: CONFLICT, 429: RATE, 503: UNAVAILABLE}
    kind = kinds.get(error.status_code, SERVER if error.status_code >= 500 else INVALID)
    code = "invalid_value" if isinstance(error, exceptions.ValidationError) else error.default_code
    return ErrorResponse(error.status_code, kind, code, message, param, **headers)


def _first(detail: Any, param: str | None = None) -> tuple[str, str | None]:
    """The first message of what a serializer found, and the path of its field: `limits.tokens_per_day`."""
    if isinstance(detail, dict) and detail:
        name, inner = next(iter(detail.items()))
        here = param if name == "non_field_errors" else f"{param}.{name}" if param else str(name)
        return _first(inner, here)
    if isinstance(detail, list) and detail:
        return _first(next((item for item in detail if item), detail[0]), param)
    message = str(detail)
    return (f"{param}: {message}" if param else message), param


def _detail(error: Exception) -> str:
    return str(error.detail) if isinstance(error, exceptions.NotFound) else ""


def _unavailable(error: Exception) -> Response:
    logger.warning("the database did not answer: %s", type(error).__name__)
    return ErrorResponse(
        503,
        UNAVAILABLE,
        "database_unavailable",
        "The database does not answer; try again.",
        **{"Retry-After": "1"},
    )


def _plain(status: int, kind: str, code: str, message: str) -> HttpResponse:
    return HttpResponse(envelope(message, kind, code), status=status, content_type=JSON)
