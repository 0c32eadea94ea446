"""Who may call without a key: in home mode, a program on this machine or in a network that the operator lists.

A loopback peer alone proves nothing. A web page that the user visits reaches loopback through the browser (directly, or
by a name that its owner points at 127.0.0.1), and a reverse proxy on the machine is a loopback peer for the whole world.
So all must hold: the peer's address, no sign of a proxy, a `Host` that is ours by name and port, an `Origin` that is
absent or ours, and no browser that says the request came from another site.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Protocol
from urllib.parse import urlsplit

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Iterable[tuple[bytes, bytes]] | Mapping[str, str]

_FORWARDING = frozenset(
    (
        b"forwarded", b"via", b"x-real-ip", b"x-client-ip", b"true-client-ip", b"x-cluster-client-ip", b"client-ip",
        b"cdn-loop", b"x-remote-addr", b"x-remote-ip", b"x-host", b"x-scheme", b"proxy-connection",
    )
)  # fmt: skip
_FORWARDING_PREFIXES = (
    b"x-forwarded", b"cf-", b"x-original-", b"x-proxy", b"x-envoy-", b"x-amzn-", b"x-azure-", b"x-arr-", b"x-vercel-",
    b"x-appengine-", b"fastly-", b"fly-", b"tailscale-", b"x-cloud-trace-",
)  # fmt: skip
_DEFAULT_PORTS = {"http": 80, "https": 443}
_WILDCARDS = {"", "0.0.0.0", "::"}
_REMEMBERED = 1024


class LocalEnv(Protocol):
    """The settings that the rule goes by. `local_hosts` are names, with a port of their own or without."""

    @property
    def is_business(self) -> bool: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def lan_ranges(self) -> tuple[Network, ...]: ...
    @property
    def local_hosts(self) -> tuple[str, ...]: ...
    def __hash__(self) -> int: ...


def is_local(peer_ip: str | None, headers: Headers, env: LocalEnv) -> bool:
    """`headers`: as ASGI has them, or a mapping such as Django's `request.headers`."""
    return _rule(env).allows(peer_ip, headers)


class LocalRule:
    """The rule for one environment; it remembers what it found about addresses and hosts."""

    def __init__(self, env: LocalEnv) -> None:
        self._is_home = not env.is_business
        self._networks = env.lan_ranges
        self._port = env.port
        self._names = {"localhost", env.host.lower(), *env.local_hosts} - _WILDCARDS
        self._with_port = {name for name in env.local_hosts if _has_port(name)}
        self._is_near = lru_cache(_REMEMBERED)(self._find_near)
        self._is_our_host = lru_cache(_REMEMBERED)(self._find_our_host)
        self._is_our_origin = lru_cache(_REMEMBERED)(self._find_our_origin)

    def allows(self, peer_ip: str | None, headers: Headers) -> bool:
        if not self._is_home or peer_ip is None or not self._is_near(peer_ip):
            return False
        hosts = 0
        for name, value in _pairs(headers):
            if name == b"host":
                hosts += 1
                if not self._is_our_host(value):
                    return False
            elif name == b"origin":
                if not self._is_our_origin(value):
                    return False
            elif name == b"sec-fetch-site":
                if value not in {b"same-origin", b"none"}:
                    return False
            elif name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES):
                return False
        return hosts == 1

    def _find_near(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        ip = mapped or ip
        return ip.is_loopback or any(ip in network for network in self._networks)

    def _find_our_host(self, value: bytes, default_port: int = 80) -> bool:
        try:
            text = value.decode("ascii").lower()
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname, parts.port or default_port
        except ValueError:
            return False
        if not host or parts.netloc != text or "@" in text or text.endswith(":"):
            return False
        return text in self._with_port or (
            port == self._port and (host in self._names or self._find_near(host))
        )

    def _find_our_origin(self, value: bytes) -> bool:
        scheme, separator, rest = value.partition(b"://")
        name = scheme.decode("latin-1").lower()
        return (
            bool(separator)
            and name in {"http", "https"}
            and self._find_our_host(rest, default_port=_DEFAULT_PORTS[name])
        )


def _has_port(name: str) -> bool:
    host, _, port = name.rpartition(":")
    return port.isdigit() and (":" not in host or host.endswith("]"))


@lru_cache(maxsize=8)
def _rule(env: LocalEnv) -> LocalRule:
    return LocalRule(env)


def _pairs(headers: Headers) -> Iterable[tuple[bytes, bytes]]:
    if isinstance(headers, Mapping):
        return [
            (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
            for name, value in headers.items()
        ]
    return headers
