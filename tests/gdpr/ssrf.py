"""A network with an inside and an outside on loopback, and URLs that try to get inside.

`127.0.0.2` plays the public internet, as a range that the operator permits: its server redirects wherever it is asked to.
Everything else on loopback, and every address that is not public, is inside; `127.0.0.1` and `::1` have a server there
that counts who comes. Names under `.test` are resolved by a name server that may change its mind. What really is public is
never dialled.
"""

from __future__ import annotations

import gc
import ipaddress
import itertools
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import quote

import httpcore
import httpx
from aiohttp import web

from gdpr.fetcher import Bounds, FetchFailed, Rules, UrlRefused, fetch
from tests.system import free_port

OUTSIDE = "127.0.0.2"
PUBLIC = "93.184.215.14"

INTERNAL = [
    "127.0.0.1", "127.0.0.3", "127.255.255.254", "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1",
    "100.127.255.254", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1",
    "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
INTERNAL_6 = [
    "::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "0:0:0:0:0:ffff:7f00:1",
    "::127.0.0.1", "::a9fe:a9fe", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:7f00:1::",
    "2002:a9fe:a9fe::1", "2002:c0a8:1::", "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "fe80::1",
    "fe80::5efe:7f00:1", "2606:4700::5efe:7f00:1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "100::1",
    "2001:db8::1", "3fff::1", "5f00::1", "::ffff:0:7f00:1", "2001:10::1", "2001:20::1",
]  # fmt: skip
SPELLINGS = [  # of 127.0.0.1 and the like, that one resolver or another reads
    "127.1", "127.0.1", "127.0.0.1.", "2130706433", "2130706433.", "0x7f000001", "0x7f.0.0.1", "0x7f.1", "0x7F.0x0.0x0.0x1",
    "017700000001", "0177.0.0.1", "0177.0.0.01", "0177.1", "00000177.0.0.1", "127.0.0.01", "127.000.000.001",
    "127.0x0.0.1", "0", "0x0", "00", "0.", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518",
    "0xa9.0xfe.0xa9.0xfe", "4294967296", "340282366920938463463374607431768211457", "１２７.0.0.1", "①②⑦.⓪.⓪.①",
    "127。0。0。1", "127．0．0．1", "127｡0｡0｡1", "₁₂₇.₀.₀.₁", "१२७.०.०.१", "localhost", "localhost.", "LOCALHOST", "LocalHost.",
    "lo\u00adcalhost", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ｌｏｃａｌｈｏｓｔ", "loc%61lhost", "%31%32%37.0.0.1", "127.0.0.1%00.example.com",
    "[::1]", "[::ffff:127.0.0.1]", "[0:0:0:0:0:0:0:1]", "[::1%25lo]", "[::1%lo]", "[fe80::1%25eth0]", "[::]", "[127.0.0.1]",
    "[::127.0.0.1]", "metadata.google.internal", "instance-data", "kubernetes.default.svc", "ip6-localhost",
]  # fmt: skip
SCHEMES = [
    "file:///etc/passwd", "file://{host}/etc/passwd", "gopher://{host}:{port}/_GET%20/", "ftp://{host}:{port}/",
    "dict://{host}:{port}/info", "ldap://{host}:{port}/", "tftp://{host}/x", "jar:http://{host}:{port}!/", "data:text/plain,x",
    "javascript:alert(1)", "unix:/var/run/docker.sock", "http+unix://%2Fvar%2Frun%2Fdocker.sock/info", "ws://{host}:{port}/",
    "//{host}:{port}/", "/relative", "", "http:", "http:///x", "http://", "https://:{port}/", "HTTP:{host}:{port}",
    "http:/{host}:{port}/", "http:\\\\{host}:{port}", "view-source:http://{host}:{port}/", "netdoc:///etc/passwd",
    "php://input", "smb://{host}/c$", "ssh://{host}/", "redis://{host}:6379/0",
]  # fmt: skip
CONFUSION = [  # where one parser sees the outside and another the inside
    "http://{outside}:{port}@{host}:{port}/", "http://user:pass@{host}:{port}/", "http://{host}:{port}@{outside}:{port}/",
    "http://@{host}:{port}/", "http://:@{host}:{port}/", "http://{outside}%40{host}:{port}/",
    "http://{outside}:{port}\\@{host}:{port}/", "http://{host}:{port}\\@{outside}:{port}/", "http://{outside} @{host}:{port}/",
    "http://{outside}\t@{host}:{port}/", "http://{outside}\r\nHost: {host}:{port}/", "http://{host}\x00.{outside}:{port}/",
    "http://{outside}:{port}:80/", "http://{host}:{port}:{port}/", "http://{host}:0{port}/", "http://{host}:０/",
    "http://{host}:99999/", "http://{host}:-1/", "http://{host}:22/", "http://{host}:0/", "http://[{host}]:{port}/",
    "http://[::1]{outside}:{port}/", "http://[::1]@{outside}:{port}/", "http://{host}．:{port}/", "http://{host}..:{port}/",
    "http://.{host}:{port}/", "http://{host},{outside}:{port}/", "http://{host}&{outside}:{port}/", " http://{host}:{port}/",
    "http://{host}:{port}/ x", "http://xn--{host}:{port}/", "http://" + "a" * 3000 + ".test/",
]  # fmt: skip
REBINDING = [(OUTSIDE, "127.0.0.1"), (OUTSIDE, "::1"), ("127.0.0.1", OUTSIDE), (OUTSIDE, "169.254.169.254")]


class Case(NamedTuple):
    name: str
    url: str
    answers: tuple[
        tuple[str, ...], ...
    ] = ()  # of the name server to `name`.test, one after the other; the last stays


@dataclass
class Network:
    port: int
    hits: list[str] = field(default_factory=list)  # requests that reached the inside
    dials: list[str] = field(default_factory=list)  # connections that were tried to the inside
    outside: list[str] = field(default_factory=list)  # requests that reached the outside
    names: dict[str, itertools.chain[tuple[str, ...]]] = field(default_factory=dict)

    @property
    def intrusions(self) -> int:
        return len(self.hits) + len(self.dials)

    @property
    def rules(self) -> Rules:
        return Rules(http=True, ranges=(ipaddress.ip_network(OUTSIDE),), ports=((self.port, self.port),))

    def use(self, case: Case) -> None:
        if case.answers:
            self.names[f"{case.name}.test"] = itertools.chain(
                case.answers, itertools.repeat(case.answers[-1])
            )

    def corpus(self) -> list[Case]:
        port, n = self.port, itertools.count()
        inside = [
            *(f"http://{host}:{port}/" for host in INTERNAL),
            *(f"http://[{host}]:{port}/" for host in INTERNAL_6),
        ]
        cases = [Case(f"literal-{next(n)}", url) for url in inside]
        cases += [Case(f"spelling-{next(n)}", f"http://{host}:{port}/") for host in SPELLINGS]
        fields = {"host": "127.0.0.1", "outside": OUTSIDE, "port": port}
        cases += [Case(f"scheme-{next(n)}", text.format(**fields)) for text in SCHEMES]
        cases += [Case(f"confusion-{next(n)}", text.format(**fields)) for text in CONFUSION]
        for address in (*INTERNAL, *INTERNAL_6):
            name = f"name-{next(n)}"
            cases.append(Case(name, f"http://{name}.test:{port}/", ((address,),)))
        for address in ("127.0.0.1", "::1", "10.0.0.1", "::ffff:127.0.0.1", "169.254.169.254"):
            for answers in ((OUTSIDE, address), (address, OUTSIDE), (PUBLIC, address)):
                name = f"mixed-{next(n)}"
                cases.append(Case(name, f"http://{name}.test.:{port}/", (answers,)))
        for first, later in REBINDING:
            name = f"rebinding-{next(n)}"
            cases.append(Case(name, f"http://{name}.test:{port}/", ((first,), (later,))))
        targets = [*inside[:3], f"http://[::1]:{port}/", f"http://2130706433:{port}/", f"http://localhost:{port}/",
                   "file:///etc/passwd", f"gopher://127.0.0.1:{port}/_x", f"//127.0.0.1:{port}/", "http://169.254.169.254/",
                   f"http://{OUTSIDE}:{port}@127.0.0.1:{port}/"]  # fmt: skip
        for target in targets:
            for status in (301, 302, 307, 308):
                cases.append(Case(f"redirect-{next(n)}", self.redirect(target, status)))
        for hops in (1, 2, 3):
            target = f"http://127.0.0.1:{port}/"
            for _ in range(hops):
                target = self.redirect(target)
            cases.append(Case(f"chain-{hops}", target))
        name = f"redirect-name-{next(n)}"
        cases.append(Case(name, self.redirect(f"http://{name}.test:{port}/"), (("127.0.0.1",),)))
        name = f"redirect-rebinding-{next(n)}"
        cases.append(
            Case(
                name,
                self.redirect(f"http://{name}.test:{port}/", host=f"{name}.test"),
                ((OUTSIDE,), ("127.0.0.1",)),
            )
        )
        return cases

    def redirect(self, target: str, status: int = 302, host: str = OUTSIDE) -> str:
        return f"http://{host}:{self.port}/{status}?to={quote(target, safe='')}"

    def resolve(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> list[Any]:
        name = (host.decode() if isinstance(host, bytes) else str(host)).lower().removesuffix(".")
        if name in self.names:
            return [entry for text in next(self.names[name]) for entry in _numeric(text, port)]
        if name in ("metadata.google.internal", "instance-data"):
            return _numeric("169.254.169.254", port)
        if name in ("localhost", "ip6-localhost"):
            return _numeric("127.0.0.1", port)
        return REAL(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


REAL = socket.getaddrinfo


def _numeric(address: str, port: Any) -> list[Any]:
    return REAL(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    net = Network(free_port())
    dial = httpcore.AnyIOBackend.connect_tcp

    async def guarded_dial(self: Any, host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        address = net.resolve(host, port)[0][4][0] if not _is_address(host) else host
        mapped = getattr(ipaddress.ip_address(address), "ipv4_mapped", None)
        address = str(mapped or address)
        if address == PUBLIC:
            raise httpcore.ConnectError("the tests reach nobody else")
        if address != OUTSIDE:
            net.dials.append(address)
        if address not in (OUTSIDE, "127.0.0.1", "::1", "0.0.0.0", "::"):
            raise httpcore.ConnectError("no such host in the tests")
        return await dial(self, address, port, *args, **kwargs)

    runners = [await _serve(_inside(net), host, net.port) for host in ("127.0.0.1", "::1")]
    runners.append(await _serve(_outside(net), OUTSIDE, net.port))
    try:
        with patch.object(socket, "getaddrinfo", net.resolve):
            with patch.object(httpcore.AnyIOBackend, "connect_tcp", guarded_dial):
                yield net
    finally:
        for runner in runners:
            await runner.cleanup()
        # A library that is broken off while it dials leaves its socket to the collector: here, not in some other test.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


Fetcher = Callable[[Network, str], Awaitable[object]]


async def guarded(net: Network, url: str) -> object:
    """Ours."""
    bounds = Bounds(connect_s=2, read_s=2, total_s=3, redirects=3)
    try:
        return await fetch("GET", url, bounds=bounds, rules=net.rules)
    except (UrlRefused, FetchFailed) as refused:
        return refused


async def naive(net: Network, url: str) -> object:
    """What many write first."""
    async with httpx.AsyncClient(
        follow_redirects=True, max_redirects=3, timeout=2, trust_env=False
    ) as client:
        try:
            return await client.get(url)
        except Exception as error:  # whatever it stumbles over
            return error


async def checks_once(net: Network, url: str) -> object:
    """What many write second: looks at what the name resolves to, and then lets a library resolve it again."""
    from gdpr.addresses import is_permitted
    from gdpr.fetcher import check_url

    try:
        checked = check_url(url, net.rules)
        answers = socket.getaddrinfo(checked.host, checked.port or net.port)
    except (UrlRefused, OSError) as refused:
        return refused
    if not all(is_permitted(ipaddress.ip_address(answer[4][0]), net.rules.ranges) for answer in answers):
        return None
    return await naive(net, str(checked))


async def attack(fetcher: Fetcher) -> tuple[int, list[str]]:
    """How many cases there are, and which of them got inside."""
    inside = []
    async with network() as net:
        cases = net.corpus()
        for case in cases:
            before = net.intrusions
            net.use(case)
            await fetcher(net, case.url)
            if net.intrusions > before:
                inside.append(f"{case.name} {case.url[:100]}")
    return len(cases), inside


def _inside(net: Network) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        net.hits.append(str(request.url))
        return web.Response(text="the secrets of the operator")

    return _application(answer)


def _outside(net: Network) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        net.outside.append(str(request.url))
        if to := request.query.get("to"):
            return web.Response(status=int(request.path.strip("/")), headers={"location": to})
        return web.Response(text="hello")

    return _application(answer)


def _application(handler: Callable[[web.Request], Awaitable[web.Response]]) -> web.Application:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    return app


async def _serve(app: web.Application, host: str, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
