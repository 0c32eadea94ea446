"""Where a caller is: who connected to us, or whom a proxy that we trust says it speaks for.

A proxy adds the address that connected to it at the end of X-Forwarded-For, and anybody may have written what stands
before. So it is read from its end, and as far as proxies of ours go.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Headers = Iterable[tuple[bytes, bytes]] | Mapping[str, str]

FORWARDED_FOR: Final = "x-forwarded-for"
FORWARDED_FOR_BYTES: Final = FORWARDED_FOR.encode()
LONGEST: Final = 64  # of one address, with brackets and port
REMEMBERED_MAX: Final = 4096


class NetworkSet:
    """Remembers what it was asked: the same clients come again and again, and parsing costs more than all the rest. The
    same networks are the same set."""

    __slots__ = ("_known", "networks")

    def __init__(self, networks: tuple[Network, ...]) -> None:
        self.networks = networks
        self._known: dict[str, bool] = {}

    def __bool__(self) -> bool:
        return bool(self.networks)

    def holds(self, text: str) -> bool:
        """False also for what is no address."""
        known = self._known.get(text)
        if known is None:
            address = parse_address(text)
            known = address is not None and any(address in network for network in self.networks)
            if len(self._known) >= REMEMBERED_MAX:
                self._known.clear()
            if len(text) <= LONGEST:
                self._known[text] = known
        return known


@lru_cache(maxsize=REMEMBERED_MAX)
def network_set(networks: tuple[Network | str, ...]) -> NetworkSet:
    return NetworkSet(tuple(ipaddress.ip_network(network) for network in networks))


NOWHERE: Final = network_set(())


def client_text(peer: str | None, headers: Headers, trusted: NetworkSet) -> str:
    """As it was told, which may be no address at all. `headers`: as ASGI has them, or a mapping."""
    text = peer or ""
    if not trusted or not trusted.holds(text):
        return text
    for part in reversed(_forwarded(headers)):
        text = part.strip()
        if not trusted.holds(text):
            return text
    return text


def client_address(peer: str | None, headers: Headers, trusted: NetworkSet) -> Address | None:
    """None: nobody can tell, because a proxy of ours says what is no address."""
    return parse_address(client_text(peer, headers, trusted))


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


def _forwarded(headers: Headers) -> list[str]:
    """A header that comes twice goes on where the one before ends."""
    if isinstance(headers, Mapping):
        value = headers.get(FORWARDED_FOR, "")
        return value.split(",") if value else []
    values = [value.decode("latin-1") for name, value in headers if name.lower() == FORWARDED_FOR_BYTES]
    return ",".join(values).split(",") if values else []
