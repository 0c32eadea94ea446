import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.http import Http404
from django.test import Client, RequestFactory
from django.urls import path
from rest_framework import exceptions, serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from billing.domain.prices import NoPrice
from inference.domain.errors import NameTaken, RedisUnreachable
from rbee import errors
from rbee.logs import QuietFormatter
from tenants.domain.keys import KeyRefused


class Limits(serializers.Serializer[Any]):
    tokens = serializers.IntegerField(min_value=1)


class Body(serializers.Serializer[Any]):
    limits = Limits()


RAISED: dict[str, Exception] = {
    "taken": NameTaken("gpu-1 is taken", param="name"),
    "redis": RedisUnreachable("Redis is away"),
    "key": KeyRefused("name", "a key's name is 1 to 200 characters"),
    "price": NoPrice("m has no price"),
    "http404": Http404(),
    "rest404": exceptions.NotFound(),
    "auth": exceptions.AuthenticationFailed("This key is not valid."),
    "missing": exceptions.NotAuthenticated(),
    "scope": exceptions.PermissionDenied("This key is for inference."),
    "parse": exceptions.ParseError("The body is not JSON."),
    "throttled": exceptions.Throttled(wait=4.2),
    "database": OperationalError("server closed the connection; password=hunter2"),
    "bug": ZeroDivisionError("prompt: hunter2"),
}


class Raise(APIView):
    permission_classes = [AllowAny]

    def get(self, request: Request, name: str) -> Response:
        raise RAISED[name]

    def post(self, request: Request, name: str) -> Response:
        Body(data=request.data).is_valid(raise_exception=True)
        return Response({})


def crash(request: Any) -> None:
    raise ZeroDivisionError("hunter2")


urlpatterns = [path("raise/<str:name>", Raise.as_view()), path("crash", crash)]
handler404, handler500 = errors.not_found, errors.server_error


@pytest.fixture
def client(settings: Any) -> Iterator[Client]:
    settings.ROOT_URLCONF = __name__
    return Client(raise_request_exception=False)


@pytest.mark.parametrize(
    ("name", "status", "kind", "code", "param"),
    [
        ("taken", 409, "conflict_error", "name_taken", "name"),
        ("redis", 503, "service_unavailable", "redis_unreachable", None),
        ("key", 400, "invalid_request_error", "invalid_value", "name"),
        ("price", 400, "invalid_request_error", "invalid_value", None),
        ("http404", 404, "invalid_request_error", "not_found", None),
        ("rest404", 404, "invalid_request_error", "not_found", None),
        ("scope", 403, "permission_error", "permission_denied", None),
        ("parse", 400, "invalid_request_error", "parse_error", None),
        ("throttled", 429, "rate_limit_error", "throttled", None),
        ("database", 503, "service_unavailable", "database_unavailable", None),
        ("bug", 500, "server_error", "internal_error", None),
    ],
)
def test_error_has_the_envelope(
    client: Client, name: str, status: int, kind: str, code: str, param: str | None
) -> None:
    answer = client.get(f"/raise/{name}")

    assert answer.status_code == status
    assert answer["content-type"] == "application/json"
    error = envelope_of(answer)
    assert (error["type"], error["code"], error["param"]) == (kind, code, param)
    assert error["message"]
    assert "hunter2" not in answer.content.decode()


def test_errors_that_pass_say_when_to_try_again(client: Client) -> None:
    assert [client.get(f"/raise/{name}").get("retry-after") for name in ("redis", "database", "throttled", "bug")] == [
        "1", "1", "6", None,
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["auth", "missing"])
def test_missing_or_wrong_key_is_401_and_says_how(client: Client, name: str) -> None:
    """DRF makes them 403 where a view names no way to authenticate; rbee's views do."""
    error = RAISED[name]
    error.auth_header = "Bearer"  # type: ignore[attr-defined]
    answer = errors.rest_exception_handler(error, {"request": Request(RequestFactory().get("/"))})

    assert answer is not None
    assert (answer.status_code, answer["www-authenticate"]) == (401, "Bearer")
    assert answer.data["error"]["code"] == "invalid_api_key"


def test_first_field_at_fault_is_named_by_its_path(client: Client) -> None:
    answer = client.post("/raise/x", json.dumps({"limits": {"tokens": 0}}), content_type="application/json")

    assert answer.status_code == 400
    assert envelope_of(answer) == {
        "message": "limits.tokens: Ensure this value is greater than or equal to 1.",
        "type": "invalid_request_error",
        "param": "limits.tokens",
        "code": "invalid_value",
    }


def test_log_tells_where_and_not_what(client: Client) -> None:
    """The message of an error may quote what a customer sent."""
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    handler.setFormatter(QuietFormatter("%(message)s"))
    logging.getLogger().addHandler(handler)
    try:
        client.get("/raise/bug")
        client.get("/crash")
    finally:
        logging.getLogger().removeHandler(handler)

    assert log.getvalue().splitlines().count("ZeroDivisionError") == 2
    assert "in crash" in log.getvalue()
    assert "hunter2" not in log.getvalue().replace('raise ZeroDivisionError("hunter2")', "")


def test_wrong_method_has_the_envelope(client: Client) -> None:
    answer = client.delete("/raise/x")

    assert (answer.status_code, envelope_of(answer)["code"]) == (405, "method_not_allowed")


def test_unknown_url_has_the_envelope(client: Client) -> None:
    answer = client.get("/nothing")

    assert (answer.status_code, envelope_of(answer)["code"]) == (404, "unknown_url")


def test_crash_outside_of_the_api_has_the_envelope(client: Client) -> None:
    answer = client.get("/crash")

    assert (answer.status_code, envelope_of(answer)["code"]) == (500, "internal_error")
    assert "hunter2" not in answer.content.decode()


def test_bad_requests_of_django_itself_have_the_envelope() -> None:
    request = RequestFactory().get("/x")
    answers = [errors.bad_request(request, Exception()), errors.permission_denied(request, Exception())]

    assert [(answer.status_code, json.loads(answer.content)["error"]["code"]) for answer in answers] == [
        (400, "invalid_request"), (403, "permission_denied"),
    ]  # fmt: skip


def envelope_of(answer: Any) -> dict[str, Any]:
    body = answer.json()
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["code", "message", "param", "type"]
    return dict(body["error"])
