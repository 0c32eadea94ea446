"""Which addresses a customer's URL may lead to: those of the public internet, and the ranges that the operator lists.

IPv6 has many ways to write an IPv4 address, and a gateway on the way may unwrap each of them. What is wrapped is judged by
what is inside.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Beyond what `is_global` of any Python refuses.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24",
        "192.175.48.0/24", "198.18.0.0/15", "224.0.0.0/3", "2001::/23", "2001:db8::/32", "2620:4f:8000::/48",
        "3fff::/20",
    )
)  # fmt: skip
_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_ISATAP = (0x0000_5EFE, 0x0200_5EFE)


def is_permitted(address: Address, also: Sequence[Network] = ()) -> bool:
    """Public, or in one of the operator's ranges `also`."""
    while isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in also):
        return True
    return is_public(address)


def is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id or not (address in _UNICAST or address in _NAT64):
            return False
        if not all(is_public(inner) for inner in _inner(address)):
            return False
        if address in _NAT64:
            return True
    if address.is_multicast or address.is_reserved or any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global


def _inner(address: ipaddress.IPv6Address) -> Iterator[ipaddress.IPv4Address]:
    """IPv4 addresses that a translator or a tunnel would find in it."""
    if address in _NAT64:
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.sixtofour:
        yield address.sixtofour
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
