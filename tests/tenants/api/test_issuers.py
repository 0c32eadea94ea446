"""Issuers that are away or answer nonsense, as real servers."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
from django.http import HttpResponse
from django.test import Client

from tenants import issuers
from tenants.models import User
from tests.factories.tenants import make_project, unique
from tests.inference.conftest import Api
from tests.tenants.api.people import some_address

Said = tuple[int, bytes]


class Issuer(ThreadingHTTPServer):
    """Answers by path what a test tells it to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.domain = f"{unique('acme')}.example"
        token = jwt.encode({"iss": self.url, "aud": "rbee", "exp": 2**33, "sub": "ann"}, "k" * 32, "HS256")
        person = {"sub": "ann", "email": f"ann@{self.domain}", "email_verified": True}
        self.said: dict[str, Said] = {
            issuers.DISCOVERY: _json(
                {
                    "issuer": self.url,
                    "jwks_uri": f"{self.url}/keys",
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                    **{
                        f"{each}_endpoint": f"{self.url}/{each}"
                        for each in ("authorization", "token", "userinfo")
                    },
                }
            ),
            "/token": _json({"access_token": "a", "expires_in": "60", "id_token": token}),
            "/userinfo": _json(person),
        }


class _Handler(BaseHTTPRequestHandler):
    server: Issuer

    def do_GET(self) -> None:
        status, body = self.server.said[urlsplit(self.path).path]
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


def _json(body: Any) -> Said:
    return 200, json.dumps(body).encode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def slug(operator: Api, issuer: Issuer) -> str:
    tenant = make_project().tenant
    body = {
        "issuer": issuer.url, "client_id": "rbee", "client_secret": "s3cret", "domains": [issuer.domain],
    }  # fmt: skip
    assert operator.put(f"tenants/{tenant.slug}/sso", body).status_code == 200
    return tenant.slug


def leave(slug: str) -> tuple[Client, HttpResponse]:
    browser = Client(headers={"host": "localhost:7833"}, REMOTE_ADDR=some_address())
    return browser, browser.post(f"/accounts/oidc/{slug}/login/")


def log_in(slug: str) -> HttpResponse:
    browser, left = leave(slug)
    assert left.status_code == 302, left.content
    (state,) = parse_qs(urlsplit(left["Location"]).query)["state"]
    return browser.get(f"/accounts/oidc/{slug}/login/callback/", {"code": "c", "state": state})


def assert_told(answer: HttpResponse, log: pytest.LogCaptureFixture) -> None:
    assert (answer.status_code, answer["Retry-After"]) == (503, "60")
    assert answer.content.decode() == issuers.AWAY
    said = [each for each in log.records if each.levelno >= logging.WARNING and each.name != "django.request"]
    assert [(each.name, each.exc_info) for each in said] == [("tenants.issuers", None)]
    assert not any(each.exc_info for each in log.records)


def test_issuer_that_makes_sense_lets_people_in(issuer: Issuer, slug: str) -> None:
    assert log_in(slug).status_code == 302
    assert User.objects.filter(email=f"ann@{issuer.domain}").exists()


def test_issuer_that_is_away_is_told_to_who_logs_in(
    issuer: Issuer, slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    issuer.shutdown()
    issuer.server_close()

    assert_told(leave(slug)[1], caplog)


def test_issuer_that_says_nothing_is_not_waited_for(
    issuer: Issuer, slug: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "TIMEOUT_S", 0.3)
    answered = threading.Event()
    monkeypatch.setattr(_Handler, "do_GET", lambda _: answered.wait(10))

    answer = leave(slug)[1]
    answered.set()

    assert_told(answer, caplog)


NONSENSE: list[Said] = [
    (500, b"{}"), (404, b""), (200, b""), (200, b"<html>"), (200, b"[]"), (200, b"null"), (200, b"{}"), (200, b"\xff"),
]  # fmt: skip


@pytest.mark.parametrize("said", NONSENSE)
@pytest.mark.parametrize("path", [issuers.DISCOVERY, "/token", "/userinfo"])
def test_nonsense_is_told_to_who_logs_in(
    issuer: Issuer, slug: str, caplog: pytest.LogCaptureFixture, path: str, said: Said
) -> None:
    if path == "/token" and said[0] == 404:
        said = (502, b"")
    issuer.said[path] = said

    assert_told(leave(slug)[1] if path == issuers.DISCOVERY else log_in(slug), caplog)


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (issuers.DISCOVERY, {"authorization_endpoint": None}),
        (issuers.DISCOVERY, {"authorization_endpoint": "javascript:alert(1)"}),
        (issuers.DISCOVERY, {"token_endpoint_auth_methods_supported": 1}),
        ("/token", {"access_token": 1}),
        ("/token", {"expires_in": "soon"}),
        ("/token", {"id_token": {}}),
        ("/userinfo", {"sub": None}),
        ("/userinfo", {"sub": "x" * 192}),
        ("/userinfo", {"email": ["ann@example.org"]}),
        ("/userinfo", {"email": "@"}),
        ("/userinfo", {"name": {"first": "Ann"}}),
        ("/userinfo", {"name": "Ann\x00"}),
    ],
)
def test_field_that_makes_no_sense_is_told_to_who_logs_in(
    issuer: Issuer, slug: str, caplog: pytest.LogCaptureFixture, path: str, fields: dict[str, Any]
) -> None:
    issuer.said[path] = _json({**json.loads(issuer.said[path][1]), **fields})

    assert_told(leave(slug)[1] if path == issuers.DISCOVERY else log_in(slug), caplog)
    assert not User.objects.filter(email=f"ann@{issuer.domain}").exists()


@pytest.mark.parametrize("said", [(400, b'{"error": "invalid_grant"}'), (401, b"")])
def test_code_that_the_issuer_refuses_is_no_trouble_of_the_issuer(
    issuer: Issuer, slug: str, said: Said
) -> None:
    issuer.said["/token"] = said

    assert log_in(slug).status_code == 401


def test_answer_without_an_end_is_not_read_to_it(
    issuer: Issuer, slug: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It makes sense but for its size."""
    issuer.said["/userinfo"] = (200, issuer.said["/userinfo"][1] + b" " * issuers.ANSWER_BYTES_MAX)

    assert_told(log_in(slug), caplog)


def test_answer_that_drips_is_not_waited_for(
    issuer: Issuer, slug: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "TIMEOUT_S", 0.3)
    body = issuer.said[issuers.DISCOVERY][1]

    def drip(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        with contextlib.suppress(OSError):
            for byte in body:
                handler.wfile.write(b"1\r\n%c\r\n" % byte)
                time.sleep(0.05)

    monkeypatch.setattr(_Handler, "do_GET", drip)
    began = time.monotonic()

    assert_told(leave(slug)[1], caplog)
    assert time.monotonic() - began < 0.05 * len(body)
