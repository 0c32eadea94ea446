"""What home mode lets in without a key: this machine, and no web page or proxy on it."""

import socket

import httpx
import pytest

from tests.system import System

REFUSED = {
    "DNS rebinding": {"host": "evil.example:{port}"},
    "a name that ends in ours": {"host": "localhost.evil.example"},
    "foreign origin": {"origin": "https://evil.example"},
    "null origin": {"origin": "null"},
    "another port of this machine": {"origin": "http://localhost:1"},
    "reverse proxy": {"x-forwarded-for": "127.0.0.1"},
    "reverse proxy, standard form": {"forwarded": "for=127.0.0.1"},
    "reverse proxy, nginx": {"x-real-ip": "127.0.0.1"},
    "proxy": {"via": "1.1 proxy"},
}


@pytest.mark.parametrize("path", ["/v1/models", "/api/v1/keys", "/api/v1/status"])
@pytest.mark.parametrize("case", REFUSED)
def test_keyless_call_is_refused(home: System, case: str, path: str) -> None:
    headers = {name: value.format(port=home.port) for name, value in REFUSED[case].items()}

    answer = httpx.get(home.url + path, headers=headers)

    assert answer.status_code in {401, 403}
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
def test_keyless_call_from_this_machine_passes(home: System, host: str) -> None:
    answer = httpx.get(f"{home.url}/v1/models", headers={"host": host.format(port=home.port)})

    assert answer.status_code == 200


def test_two_hosts_in_one_request_are_refused(home: System) -> None:
    request = f"GET /v1/models HTTP/1.1\r\nHost: localhost:{home.port}\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", home.port), timeout=10) as connection:
        connection.sendall(request.encode())
        status = int(connection.recv(4096).split()[1])

    assert status in {400, 401, 403}


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/chat/completions", "/api/v1/keys", "/api/v1/hives", "/api/v1/status"]
)
def test_business_mode_has_nothing_keyless(business: System, path: str) -> None:
    method = "POST" if path.endswith("completions") else "GET"

    answer = httpx.request(method, business.url + path)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_operator_key_is_no_inference_key_and_the_other_way_round(business: System) -> None:
    inference = business.run_json("key", "create", "--name", "app")["key"]
    as_operator = {"authorization": f"Bearer {business.operator_key}"}
    as_app = {"authorization": f"Bearer {inference}"}

    assert httpx.get(f"{business.url}/api/v1/keys", headers=as_operator).status_code == 200
    assert httpx.get(f"{business.url}/v1/models", headers=as_app).status_code == 200
    assert httpx.get(f"{business.url}/api/v1/keys", headers=as_app).status_code == 403
    assert httpx.get(f"{business.url}/v1/models", headers=as_operator).status_code == 403


def test_key_that_was_brought_along_works_and_is_never_echoed(business: System) -> None:
    value = "customer-key-123 with any printable ✓ text"
    business.run("key", "create", "--name", "brought", "--value", value)

    accepted = httpx.get(f"{business.url}/v1/models", headers={"authorization": f"Bearer {value}".encode()})
    refused = httpx.get(f"{business.url}/v1/models", headers={"authorization": f"Bearer {value}?".encode()})

    assert accepted.status_code == 200
    assert refused.status_code == 401
    assert "customer-key" not in refused.text
    assert value not in business.run("key", "list", "--json").stdout


def test_operator_key_file_is_private(business: System) -> None:
    assert (business.data_dir / "operator.key").stat().st_mode & 0o777 == 0o600
    assert business.operator_key in business.output
