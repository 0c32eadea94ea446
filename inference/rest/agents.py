"""What hives ask the queen, beside their receipts: to join, and what to run."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from uuid import UUID

import msgspec
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from gdpr.domain.requests import go_on
from gdpr.duties import Duty, owes, unrecorded
from hive_agent import protocol
from inference.api.errors import envelope
from inference.domain.erasures import note_forgotten
from inference.domain.errors import ColonyError, InvalidInput
from inference.domain.hives import hive_by_credential, join_hive
from inference.domain.placements import placements_of
from inference.models import Hive

JSON = "application/json"

View = Callable[[HttpRequest], HttpResponse]
_decode_forgotten = msgspec.json.Decoder(protocol.Forgotten).decode
_decode_join = msgspec.json.Decoder(protocol.JoinRequest).decode


def in_envelope(method: str, audits: Duty | None = None) -> Callable[[View], View]:
    """Refusals in the words of the API. `method` is the only one that is taken."""

    def decorate(view: View) -> View:
        @owes(**({} if method == "GET" else {method: audits}))
        @csrf_exempt  # hives send no cookies
        @wraps(view)
        def guarded(request: HttpRequest) -> HttpResponse:
            if request.method != method:
                answer = _refusal(
                    405, "invalid_request_error", "method_not_allowed", f"Use {method} on this URL."
                )
                answer["Allow"] = method
                return answer
            try:
                return view(request)
            except ColonyError as error:
                return _refusal(error.status, error.type, error.code, error.message, error.param)
            except (OperationalError, InterfaceError):
                return _refusal(
                    503, "service_unavailable", "database_unavailable", "The database does not answer."
                )

        return guarded

    return decorate


@in_envelope("POST", audits=("hive.joined", "hive.rejoined"))
def join(request: HttpRequest) -> HttpResponse:
    try:
        asked = _decode_join(request.body)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise InvalidInput(f"This is no request to join: {error}", code="invalid_request") from None
    return _answer(join_hive(asked))


@in_envelope("GET")
def placements(request: HttpRequest) -> HttpResponse:
    hive = _hive_of(request)
    return _unknown_hive() if hive is None else _answer(placements_of(hive))


@in_envelope("POST", unrecorded("the erasure that it is part of has its own entries"))
def forgotten(request: HttpRequest) -> HttpResponse:
    hive = _hive_of(request)
    if hive is None:
        return _unknown_hive()
    try:
        said = _decode_forgotten(request.body)
        ids = [UUID(each) for each in said.ids]
    except (msgspec.MsgspecError, RecursionError, UnicodeError, ValueError) as error:
        raise InvalidInput(
            f"This names nothing that was asked for: {error}", code="invalid_request"
        ) from None
    for request_id in note_forgotten(hive, ids):
        go_on(request_id)
    return HttpResponse(status=204)


def _hive_of(request: HttpRequest) -> Hive | None:
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    return hive_by_credential(credential.strip()) if scheme.lower() == "bearer" else None


def _unknown_hive() -> HttpResponse:
    return _refusal(
        401,
        "invalid_request_error",
        "invalid_hive_credential",
        "This hive is not known here, or was removed; let it join again: rbee hive token",
    )


def _answer(message: msgspec.Struct) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(message), content_type=JSON)


def _refusal(
    status: int, kind: str, code: str | None, message: str, param: str | None = None
) -> HttpResponse:
    answer = HttpResponse(envelope(message, kind, code, param), status=status, content_type=JSON)
    if status == 401:
        answer["WWW-Authenticate"] = "Bearer"
    if status == 503:
        answer["Retry-After"] = "1"
    return answer
