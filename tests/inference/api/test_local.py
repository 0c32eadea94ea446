import ipaddress
from dataclasses import dataclass, replace

import pytest

from inference.api.local import LocalRule, Network, is_local


@dataclass(frozen=True)
class Env:
    is_business: bool = False
    host: str = "127.0.0.1"
    port: int = 7833
    lan_ranges: tuple[Network, ...] = ()
    local_hosts: tuple[str, ...] = ()


HOME = Env()
LAN = Env(
    host="0.0.0.0", lan_ranges=(ipaddress.ip_network("192.168.1.0/24"),), local_hosts=("box.lan", "b:80")
)
HERE = {"host": "localhost:7833"}

ALLOWED = {
    "by name": (HOME, "127.0.0.1", HERE),
    "by address": (HOME, "127.0.0.1", {"host": "127.0.0.1:7833"}),
    "another loopback address": (HOME, "127.8.0.1", {"host": "127.0.0.5:7833"}),
    "IPv6": (HOME, "::1", {"host": "[::1]:7833"}),
    "IPv4 in IPv6": (HOME, "::ffff:127.0.0.1", HERE),
    "capitals": (HOME, "127.0.0.1", {"host": "LocalHost:7833"}),
    "our own page": (
        HOME,
        "127.0.0.1",
        {**HERE, "origin": "http://localhost:7833", "sec-fetch-site": "same-origin"},
    ),
    "our page by its other name": (HOME, "127.0.0.1", {**HERE, "origin": "http://127.0.0.1:7833"}),
    "typed into a browser": (HOME, "127.0.0.1", {**HERE, "sec-fetch-site": "none"}),
    "a client's own headers": (HOME, "127.0.0.1", {**HERE, "x-stainless-lang": "python", "x-forest": "1"}),
    "the default port": (replace(HOME, port=80), "127.0.0.1", {"host": "localhost"}),
    "a listed network": (LAN, "192.168.1.7", {"host": "192.168.1.2:7833"}),
    "a listed name": (LAN, "192.168.1.7", {"host": "box.lan:7833"}),
    "a name listed with its port": (LAN, "192.168.1.7", {"host": "b:80"}),
}
REFUSED = {
    "business": (replace(HOME, is_business=True), "127.0.0.1", HERE),
    "no peer": (HOME, None, HERE),
    "no address": (HOME, "testclient", HERE),
    "another machine": (HOME, "192.168.1.7", HERE),
    "another network": (LAN, "192.168.2.7", {"host": "box.lan:7833"}),
    "no host": (HOME, "127.0.0.1", {}),
    "empty host": (HOME, "127.0.0.1", {"host": ""}),
    "only a port": (HOME, "127.0.0.1", {"host": ":7833"}),
    "DNS rebinding": (HOME, "127.0.0.1", {"host": "evil.example:7833"}),
    "a name that begins with ours": (HOME, "127.0.0.1", {"host": "localhost.evil.example:7833"}),
    "a name that ends in ours": (HOME, "127.0.0.1", {"host": "evil.localhost:7833"}),
    "a user before ours": (HOME, "127.0.0.1", {"host": "evil@localhost:7833"}),
    "a path after ours": (HOME, "127.0.0.1", {"host": "localhost:7833/evil"}),
    "another port": (HOME, "127.0.0.1", {"host": "localhost:8080"}),
    "no port": (HOME, "127.0.0.1", {"host": "localhost"}),
    "no number for a port": (HOME, "127.0.0.1", {"host": "localhost:x"}),
    "a port beyond ports": (HOME, "127.0.0.1", {"host": "localhost:99999"}),
    "a wildcard address": (LAN, "127.0.0.1", {"host": "0.0.0.0:7833"}),
    "a public address": (LAN, "127.0.0.1", {"host": "8.8.8.8:7833"}),
    "no ASCII": (HOME, "127.0.0.1", {"host": "löcalhost:7833"}),
    "foreign origin": (HOME, "127.0.0.1", {**HERE, "origin": "https://evil.example"}),
    "null origin": (HOME, "127.0.0.1", {**HERE, "origin": "null"}),
    "empty origin": (HOME, "127.0.0.1", {**HERE, "origin": ""}),
    "origin on another port": (HOME, "127.0.0.1", {**HERE, "origin": "http://localhost:3000"}),
    "origin without a port": (HOME, "127.0.0.1", {**HERE, "origin": "http://localhost"}),
    "origin of an extension": (HOME, "127.0.0.1", {**HERE, "origin": "chrome-extension://localhost:7833"}),
    "a picture on a foreign page": (HOME, "127.0.0.1", {**HERE, "sec-fetch-site": "cross-site"}),
    "a page on another port of this machine": (HOME, "127.0.0.1", {**HERE, "sec-fetch-site": "same-site"}),
} | {
    f"proxy: {name}": (HOME, "127.0.0.1", {**HERE, name: "127.0.0.1"})
    for name in (
        "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded", "x-real-ip", "via",
        "cf-connecting-ip", "cf-ray", "true-client-ip", "x-client-ip", "x-cluster-client-ip", "x-original-host",
        "x-envoy-external-address", "fly-client-ip", "fastly-client-ip", "cdn-loop",
    )
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_local_caller_needs_no_key(case: str) -> None:
    env, peer, headers = ALLOWED[case]

    assert is_local(peer, headers, env)
    assert LocalRule(env).allows(peer, as_asgi(headers))


@pytest.mark.parametrize("case", REFUSED)
def test_anybody_else_needs_one(case: str) -> None:
    env, peer, headers = REFUSED[case]

    assert not is_local(peer, headers, env)
    assert not LocalRule(env).allows(peer, as_asgi(headers))


def test_headers_of_any_case_are_seen() -> None:
    assert not is_local("127.0.0.1", {"Host": "localhost:7833", "X-Forwarded-For": "1.2.3.4"}, HOME)


def test_two_hosts_are_refused() -> None:
    rule = LocalRule(HOME)

    assert not rule.allows("127.0.0.1", [(b"host", b"localhost:7833"), (b"host", b"localhost:7833")])


def as_asgi(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
