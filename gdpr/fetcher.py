"""Requests to URLs that customers name. Nobody but this module sends one.

A URL is checked before anything is resolved; its name is resolved once, every answer must be public (or in a range that
the operator lists), and a checked address is dialled, so that no second answer of a name server can lead elsewhere. The
request keeps the name in Host and in TLS. Each redirect is checked like the first URL. No cookies, no credentials, no
proxy from the environment, no compression, and an end to what is read.

UrlRefused      the URL itself is not one that may be asked for
FetchFailed     it was asked for, and no whole answer came
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import httpcore
import httpx
from django.conf import settings

from gdpr.addresses import Address, Network, is_permitted
from gdpr.connect_proxy import open_tunnel

URL_LENGTH_MAX = 2048
HOST_LENGTH_MAX = 253
LOOKUPS_MAX = 128  # at once
DIALLED_MAX = 3  # addresses of one name
DEFAULT_PORTS = {"https": 443, "http": 80}
REDIRECTS = frozenset({301, 302, 303, 307, 308})

_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

_lookups = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="resolve")

Resolver = Callable[[str, int], Awaitable[list[str]]]


class UrlRefused(ValueError):
    """`str()` says why, for the customer."""


class FetchFailed(Exception):
    """`code` is no_public_address, unreachable, timed_out, tls_failed, too_many_redirects, redirect_refused or
    broken_answer. A name that leads to an internal address is told like one that leads nowhere: neither the log of a
    customer nor its clock shall map the operator's network."""

    def __init__(self, code: str, latency_ms: int = 0) -> None:
        super().__init__(code)
        self.code = code
        self.latency_ms = latency_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the operator permits: `RBEE_OUTBOUND_*`."""

    http: bool = False
    ranges: tuple[Network, ...] = ()  # internal ones that may be reached all the same
    ports: tuple[tuple[int, int], ...] = ((80, 80), (443, 443), (8000, 8999))
    proxy: str = ""

    @classmethod
    def of_settings(cls) -> Rules:
        env = settings.RBEE
        return cls(
            http=env.outbound_http,
            ranges=env.outbound_allow,
            ports=env.outbound_ports,
            proxy=env.outbound_proxy,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    connect_s: float = 5.0
    read_s: float = 10.0  # between two parts of an answer
    total_s: float = 15.0
    answer_bytes: int = 64 * 1024  # what lies beyond is not read
    redirects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    is_cut: bool
    latency_ms: int


def check_url(text: str, rules: Rules) -> httpx.URL:
    """As it is to be asked for. Asks nobody. Raises UrlRefused."""
    if not text or len(text) > URL_LENGTH_MAX:
        raise UrlRefused(f"a URL has 1 to {URL_LENGTH_MAX} characters")
    if "\\" in text or any(char.isspace() or not char.isprintable() for char in text):
        raise UrlRefused("a URL has no spaces, backslashes and control characters")
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise UrlRefused("this is no URL") from error
    schemes = ("https", "http") if rules.http else ("https",)
    if url.scheme not in schemes:
        raise UrlRefused(f"a URL begins with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if url.userinfo or "@" in url.netloc.decode("ascii", "replace"):
        raise UrlRefused("a URL holds no user and no password")
    host = _checked_host(url.raw_host.decode("ascii", "replace"), rules)
    port = DEFAULT_PORTS[url.scheme] if url.port is None else url.port
    if not any(low <= port <= high for low, high in rules.ports):
        raise UrlRefused(f"port {port} is not one that may be called")
    return url.copy_with(host=host, fragment=None)


async def fetch(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    content: bytes = b"",
    bounds: Bounds | None = None,
    rules: Rules | None = None,
    resolve: Resolver | None = None,
) -> Fetched:
    """A redirect is followed as GET, without `headers` and `content`, `bounds.redirects` times at most; with 0 it is
    the answer. Raises UrlRefused, FetchFailed."""
    bounds, rules = bounds or Bounds(), rules or Rules.of_settings()
    checked = check_url(url, rules)
    began = time.monotonic()
    try:
        async with asyncio.timeout(bounds.total_s):
            return await _follow(
                method, checked, dict(headers or {}), content, bounds, rules, resolve or _resolve, began
            )
    except TimeoutError:
        code = "timed_out"
    except _Failed as failed:
        code = failed.code
    except httpcore.TimeoutException:
        code = "timed_out"
    except httpcore.ConnectError as error:
        code = "tls_failed" if _is_tls(error) else "unreachable"
    except (httpcore.NetworkError, httpcore.ProtocolError, ValueError):
        code = "broken_answer"
    raise FetchFailed(code, _ms_since(began))


async def _follow(
    method: str, url: httpx.URL, headers: dict[str, str], content: bytes, bounds: Bounds, rules: Rules,
    resolve: Resolver, began: float,
) -> Fetched:  # fmt: skip
    for hop in range(bounds.redirects + 1):
        response = await _ask(method, url, headers, content, bounds, rules, resolve, began)
        location = response.headers.get("location", "")
        if not bounds.redirects or response.status not in REDIRECTS or not location:
            return response
        if hop == bounds.redirects:
            break
        try:
            url = check_url(str(url.join(location)), rules)
        except (UrlRefused, httpx.InvalidURL):
            raise _Failed("redirect_refused") from None
        method, headers, content = "GET", {}, b""
    raise _Failed("too_many_redirects")


async def _ask(
    method: str, url: httpx.URL, headers: dict[str, str], content: bytes, bounds: Bounds, rules: Rules,
    resolve: Resolver, began: float,
) -> Fetched:  # fmt: skip
    """One exchange over a connection of its own: nothing that a customer's server sent can reach the next."""
    host = url.netloc.decode("ascii")
    sent = {
        "host": host,
        "user-agent": "rbee",
        "accept-encoding": "identity",
        "connection": "close",
        **headers,
    }
    if content or method not in {"GET", "HEAD"}:
        sent["content-length"] = str(len(content))
    timeout = {
        "connect": bounds.connect_s,
        "read": bounds.read_s,
        "write": bounds.read_s,
        "pool": bounds.connect_s,
    }
    async with httpcore.AsyncConnectionPool(
        ssl_context=_ssl_context() if url.scheme == "https" else None,
        max_connections=1,
        network_backend=_GuardedNetwork(rules, resolve),
    ) as pool:
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        raw = [(name.encode("ascii"), value.encode("latin-1")) for name, value in sent.items()]
        async with pool.stream(
            method, target, headers=raw, content=content, extensions={"timeout": timeout}
        ) as response:
            body, is_cut = await _read(response, bounds.answer_bytes)
    answered = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    return Fetched(
        status=response.status, headers=answered, body=body, is_cut=is_cut, latency_ms=_ms_since(began)
    )


async def _read(response: httpcore.Response, most: int) -> tuple[bytes, bool]:
    """As it came over the wire: a server that compresses unasked cannot make much out of little."""
    body = bytearray()
    async for part in response.aiter_stream():
        body += part
        if len(body) > most:
            return bytes(body[:most]), True
    return bytes(body), False


class _Failed(Exception):
    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class _GuardedNetwork(httpcore.AsyncNetworkBackend):
    """Every connection of a fetch is opened here, whatever the layers above were led to ask for."""

    def __init__(self, rules: Rules, resolve: Resolver) -> None:
        self._rules = rules
        self._resolve = resolve
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._addresses(host, port)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        failed: Exception | None = None
        for address in addresses[:DIALLED_MAX]:
            try:
                return await self._dial(str(address), port, timeout)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or _Failed("no_public_address")

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise _Failed("no_public_address")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> list[Address]:
        try:
            answers = [str(ipaddress.ip_address(host))]
        except ValueError:
            try:
                answers = await self._resolve(host, port)
            except (OSError, UnicodeError):
                answers = []
        found: list[Address] = []
        for answer in answers:
            address = ipaddress.ip_address(answer)
            if not is_permitted(address, self._rules.ranges):
                raise _Failed("no_public_address")
            if address not in found:
                found.append(address)
        if not found:
            raise _Failed("no_public_address")
        return found

    async def _dial(self, address: str, port: int, timeout: float | None) -> httpcore.AsyncNetworkStream:
        if self._rules.proxy:
            return await open_tunnel(self._network, self._rules.proxy, address, port, timeout)
        return await self._network.connect_tcp(address, port, timeout)


def _checked_host(host: str, rules: Rules) -> str:
    """In lower case, without the dot of a name that is written in full. What looks like a number to some resolvers and
    like a name to others is refused: 127.1, 0x7f000001, 017700000001."""
    host = host.lower().removesuffix(".")
    try:
        address: Address | None = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None:
        if not is_permitted(address, rules.ranges):
            raise UrlRefused("this address is not public")
        return host
    if len(host) > HOST_LENGTH_MAX or not _HOST_NAME.fullmatch(host):
        raise UrlRefused("this is no name of a host")
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise UrlRefused("write an address as four decimal numbers, like 203.0.113.7")
    return host


async def _resolve(host: str, port: int) -> list[str]:
    """Raises OSError. A name server that is silent holds a thread for as long as the system waits for it, whatever became
    of the fetch; in the loop's own few threads it would hold up every other name."""
    lookup = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_lookups, lookup)
    return [str(entry[4][0]) for entry in found]


@lru_cache(maxsize=1)
def _ssl_context() -> ssl.SSLContext:
    """Reading the authorities costs 20 ms."""
    return httpx.create_ssl_context()


def _is_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _ms_since(began: float) -> int:
    return int((time.monotonic() - began) * 1000)
