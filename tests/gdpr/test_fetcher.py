"""No URL leads inside. The corpus is first shown to catch the fetchers that many write."""

from __future__ import annotations

import asyncio
import dataclasses
import ipaddress
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from gdpr.fetcher import Bounds, FetchFailed, Rules, UrlRefused, check_url, fetch
from tests.gdpr import ssrf
from tests.gdpr.ssrf import OUTSIDE, Case, network
from tests.rbee_cli.conftest import write_certificate
from tests.system import free_port

QUICK = Bounds(connect_s=1, read_s=0.3, total_s=0.8)


async def test_no_url_of_the_corpus_leads_inside() -> None:
    count, inside = await ssrf.attack(ssrf.guarded)

    assert count >= 150
    assert inside == []


async def test_corpus_gets_inside_by_a_naive_fetcher() -> None:
    _, inside = await ssrf.attack(ssrf.naive)

    kinds = {line.split("-")[0] for line in inside}
    assert {"literal", "spelling", "confusion", "name", "mixed", "redirect", "chain"} <= kinds
    assert len(inside) > 100


async def test_corpus_gets_inside_by_a_fetcher_that_resolves_twice() -> None:
    _, inside = await ssrf.attack(ssrf.checks_once)

    assert {"rebinding", "redirect", "chain"} <= {line.split("-")[0] for line in inside}


async def test_permitted_url_is_asked_for_by_its_name() -> None:
    async with network() as net:
        net.use(Case("good", "", ((OUTSIDE,),)))

        answer = await fetch("GET", f"http://good.test:{net.port}/a?b=c", rules=net.rules)

        assert (answer.status, answer.body, answer.is_cut) == (200, b"hello", False)
        assert net.outside == [f"http://good.test:{net.port}/a?b=c"]


async def test_redirects_are_followed_to_their_end_and_no_further() -> None:
    async with network() as net:
        two = net.redirect(net.redirect(f"http://{OUTSIDE}:{net.port}/end"))

        answer = await fetch("GET", two, rules=net.rules, bounds=Bounds(redirects=2))
        assert answer.body == b"hello"
        with pytest.raises(FetchFailed, match="too_many_redirects"):
            await fetch("GET", two, rules=net.rules, bounds=Bounds(redirects=1))
        assert (await fetch("POST", two, rules=net.rules)).status == 302
        with pytest.raises(FetchFailed, match="redirect_refused"):
            await fetch("GET", net.redirect("http://127.0.0.1/"), rules=net.rules, bounds=Bounds(redirects=1))


async def test_redirect_takes_neither_body_nor_headers_along() -> None:
    seen: list[tuple[str, str | None, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((request.method, request.headers.get("authorization"), await request.read()))
        if request.path == "/first":
            return web.Response(status=307, headers={"location": "/second", "set-cookie": "a=b"})
        return web.Response(text=request.headers.get("cookie", "no cookie"))

    async with serving(answer) as url:
        found = await fetch(
            "POST", f"{url}/first", headers={"authorization": "secret"}, content=b"body", rules=RULES,
            bounds=Bounds(redirects=1),
        )  # fmt: skip

    assert seen == [("POST", "secret", b"body"), ("GET", None, b"")]
    assert found.body == b"no cookie"


async def test_answer_is_read_to_a_bound_and_in_time() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            if request.path == "/long":
                for _ in range(2000):
                    await response.write(b"x" * 10_000)
            await response.write(b"x")
            while True:
                await asyncio.sleep(0.2)
                await response.write(b"x" if request.path == "/drip" else b"")
        except (ConnectionError, asyncio.CancelledError):
            return response

    async with serving(answer) as url:
        long = await fetch("GET", f"{url}/long", rules=RULES, bounds=Bounds(answer_bytes=1024))
        assert (len(long.body), long.is_cut) == (1024, True)
        for path in ("/drip", "/stall"):
            with pytest.raises(FetchFailed, match="timed_out") as failed:
                await fetch("GET", url + path, rules=RULES, bounds=QUICK)
            assert failed.value.latency_ms < 1500


async def test_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    async with network() as net:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{net.port}")

        answer = await fetch("GET", f"http://{OUTSIDE}:{net.port}/", rules=net.rules)

        assert answer.body == b"hello"
        assert net.intrusions == 0


async def test_proxy_of_the_operator_is_told_the_checked_address() -> None:
    asked: list[str] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head.decode())
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(proxy, OUTSIDE, 0)
    port = server.sockets[0].getsockname()[1]
    async with server, network() as net:
        net.use(Case("behind", "", ((OUTSIDE,), ("127.0.0.1",))))
        rules = dataclasses.replace(net.rules, proxy=f"http://user:p%40ss@{OUTSIDE}:{port}")

        answer = await fetch("GET", f"http://behind.test:{net.port}/", rules=rules)

    assert answer.status == 204
    lines = asked[0].split("\r\n")
    assert lines[0] == f"CONNECT {OUTSIDE}:{net.port} HTTP/1.1"
    assert "Proxy-Authorization: Basic dXNlcjpwQHNz" in lines


async def test_certificate_is_checked_against_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_certificate(tmp_path)  # for localhost
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    trusting = ssl.create_default_context(cafile=tmp_path / "cert.pem")

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.host)

    async def to_loopback(host: str, port: int) -> list[str]:
        return [OUTSIDE]

    async with serving(answer, context) as url:
        port = url.rpartition(":")[2]
        with pytest.raises(FetchFailed, match="tls_failed"):
            await fetch("GET", f"https://localhost:{port}/", rules=RULES, resolve=to_loopback)
        monkeypatch.setattr("gdpr.fetcher._ssl_context", lambda: trusting)
        found = await fetch("GET", f"https://localhost:{port}/", rules=RULES, resolve=to_loopback)
        assert found.body == f"localhost:{port}".encode()
        with pytest.raises(FetchFailed, match="tls_failed"):
            await fetch("GET", f"https://other.test:{port}/", rules=RULES, resolve=to_loopback)


async def test_nobody_who_answers_is_told_apart_from_nobody_there() -> None:
    async def nothing(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    async def internal(host: str, port: int) -> list[str]:
        return ["10.0.0.1"]

    codes = set()
    for resolve in (nothing, internal):
        with pytest.raises(FetchFailed) as failed:
            await fetch("GET", "https://somewhere.test/", rules=Rules(), resolve=resolve)
        codes.add(failed.value.code)
    assert codes == {"no_public_address"}


async def test_name_servers_that_are_silent_hold_up_no_other_name(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def lookup(host: str, *args: object, **kwargs: object) -> object:
        if host.startswith("slow"):
            time.sleep(2)
            raise OSError("no answer")
        return real(OUTSIDE, *args, **kwargs)  # type: ignore[arg-type]

    async def answer(request: web.Request) -> web.Response:
        return web.Response()

    async with serving(answer) as url:
        monkeypatch.setattr(socket, "getaddrinfo", lookup)
        slow = [
            asyncio.create_task(fetch("GET", f"http://slow{n}.test/", rules=RULES, bounds=QUICK))
            for n in range(40)
        ]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        await fetch("GET", url.replace(OUTSIDE, "good.test"), rules=RULES)
        assert time.monotonic() - began < 0.5
        failed = await asyncio.gather(*slow, return_exceptions=True)
    assert {getattr(one, "code", "") for one in failed} == {"timed_out"}


async def test_server_that_speaks_no_http_is_a_broken_answer() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"-ERR unknown command\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, OUTSIDE, 0)
    async with server:
        with pytest.raises(FetchFailed, match="broken_answer"):
            await fetch("GET", f"http://{OUTSIDE}:{server.sockets[0].getsockname()[1]}/", rules=RULES)
    with pytest.raises(FetchFailed, match="unreachable"):
        await fetch("GET", f"http://{OUTSIDE}:{free_port()}/", rules=RULES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Example.COM", "https://example.com"),
        ("https://example.com./a?b=%20#c", "https://example.com/a?b=%20"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://example.com:8443/", "https://example.com:8443/"),
        ("https://1.1.1.1/", "https://1.1.1.1/"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
    ],
)
def test_url_of_the_internet_is_taken(text: str, expected: str) -> None:
    assert str(check_url(text, Rules())) == expected


def test_plain_http_is_the_operators_choice() -> None:
    with pytest.raises(UrlRefused, match="https://"):
        check_url("http://example.com/", Rules())
    assert check_url("http://example.com/", Rules(http=True)).scheme == "http"


RULES = Rules(http=True, ranges=(ipaddress.ip_network(OUTSIDE),), ports=((1, 65535),))


@asynccontextmanager
async def serving(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[str]:
    """On the outside; yields its URL."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, OUTSIDE, port, ssl_context=tls).start()
    try:
        yield f"{'https' if tls else 'http'}://{OUTSIDE}:{port}"
    finally:
        await runner.cleanup()
