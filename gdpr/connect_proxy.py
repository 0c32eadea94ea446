"""A way out through the operator's HTTP proxy that keeps the address: the proxy is told an address that was checked, never a
name that it would resolve once more."""

from __future__ import annotations

import base64
import re
from urllib.parse import unquote, urlsplit

import httpcore

HEAD_BYTES_MAX = 8192

_IS_OPEN = re.compile(rb"HTTP/1\.[01] 2\d\d[ \r]")


async def open_tunnel(
    network: httpcore.AsyncNetworkBackend, proxy_url: str, address: str, port: int, timeout: float | None
) -> httpcore.AsyncNetworkStream:
    """A stream to `address` as if it had been dialled. Raises httpcore.ConnectError."""
    proxy = urlsplit(proxy_url)
    stream = await network.connect_tcp(proxy.hostname or "", proxy.port or 3128, timeout)
    try:
        await stream.write(
            _request(f"[{address}]:{port}" if ":" in address else f"{address}:{port}", proxy_url), timeout
        )
        head = b""
        while b"\r\n\r\n" not in head:
            part = await stream.read(HEAD_BYTES_MAX, timeout)
            head += part
            if not part or len(head) > HEAD_BYTES_MAX:
                raise httpcore.ConnectError("the proxy gave no answer")
        if not _IS_OPEN.match(head) or not head.endswith(b"\r\n\r\n"):
            raise httpcore.ConnectError("the proxy refused")
    except httpcore.NetworkError as error:
        await stream.aclose()
        raise httpcore.ConnectError(str(error)) from error
    except BaseException:
        await stream.aclose()
        raise
    return stream


def _request(authority: str, proxy_url: str) -> bytes:
    proxy = urlsplit(proxy_url)
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    if proxy.username:
        user = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(user.encode()).decode()}")
    return "\r\n".join([*lines, "", ""]).encode()
