"""At home this machine needs no key, and nobody else is taken for it."""

import socket

import httpx

from tests.inference.api.conftest import Colony
from tests.inference.api.test_answers import error


def test_home_needs_no_key_on_this_machine(home: Colony) -> None:
    for headers in ({}, {"authorization": "Bearer unused"}, {"host": f"localhost:{home.port}"}):
        assert httpx.get(f"{home.url}/v1/models", headers=headers).status_code == 200


def test_home_asks_everybody_else_for_one(home: Colony) -> None:
    key = home.key_of()
    for headers in (
        {"x-forwarded-for": "127.0.0.1"},
        {"host": "evil.example"},
        {"origin": "https://evil.example"},
        {"sec-fetch-site": "cross-site"},
    ):
        refused = httpx.get(f"{home.url}/v1/models", headers=headers)
        accepted = httpx.get(f"{home.url}/v1/models", headers={**headers, "authorization": f"Bearer {key}"})

        assert (refused.status_code, error(refused)["code"]) == (401, "invalid_api_key")
        assert refused.headers["www-authenticate"] == "Bearer"
        assert accepted.status_code == 200
        assert "access-control-allow-origin" not in accepted.headers


def test_two_hosts_open_no_door(home: Colony) -> None:
    request = f"GET /v1/models HTTP/1.1\r\nHost: localhost:{home.port}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", home.port), timeout=10) as connection:
        connection.sendall(request.encode())
        status = int(connection.recv(4096).split()[1])

    assert status in {400, 401}


def test_pages_get_no_leave_at_home(home: Colony) -> None:
    asks = {"origin": "https://evil.example", "access-control-request-method": "POST"}

    preflight = httpx.options(f"{home.url}/v1/chat/completions", headers=asks)

    assert preflight.status_code == 405
    assert "access-control-allow-origin" not in preflight.headers
