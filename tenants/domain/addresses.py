"""Where a caller is: who connected to us, or whom a proxy that we trust says it speaks for.

A proxy adds the address that connected to it at the end of X-Forwarded-For, and anybody may have written what stands
before. So it is read from its end, and as far as proxies of ours go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Iterable[tuple[bytes, bytes]] | Mapping[str, str]

FORWARDED_FOR: Final = "x-forwarded-for"
LONGEST: Final = 64  # of one address, with brackets and port


def client_address(peer: str | None, headers: Headers, trusted: Sequence[Network]) -> Address | None:
    """`headers`: as ASGI has them, or a mapping. None: nobody can tell, because a proxy of ours says what is no address."""
    address = parse_address(peer or "")
    if not trusted or address is None or not is_within(address, trusted):
        return address
    for text in reversed(_forwarded(headers)):
        address = parse_address(text.strip())
        if address is None or not is_within(address, trusted):
            return address
    return address


def is_within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


@lru_cache(maxsize=4096)
def parse_address(text: str) -> Address | None:
    """Also with a port, as some proxies write it. IPv4 inside IPv6 is IPv4: it is the same host."""
    if len(text) > LONGEST:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4096)
def networks_of(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


def _forwarded(headers: Headers) -> list[str]:
    """A header that comes twice goes on where the one before ends."""
    if isinstance(headers, Mapping):
        value = headers.get(FORWARDED_FOR, "")
        return value.split(",") if value else []
    name = FORWARDED_FOR.encode()
    values = [value.decode("latin-1") for key, value in headers if key.lower() == name]
    return ",".join(values).split(",") if values else []
