import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdpr.addresses import is_permitted, is_public
from tests.gdpr.ssrf import INTERNAL, INTERNAL_6


@pytest.mark.parametrize("text", [*INTERNAL, *INTERNAL_6])
def test_internal_address_is_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))
    assert not is_permitted(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "text",
    ["1.1.1.1", "8.8.8.8", "93.184.215.14", "172.15.255.255", "172.32.0.1", "192.167.255.255", "2606:4700::1111",
     "2a00:1450:4001::200e", "64:ff9b::808:808", "2002:808:808::1"],
)  # fmt: skip
def test_public_address_is(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@given(st.ip_addresses(v=4))
def test_wrapped_address_is_no_more_public_than_what_is_inside(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for wrapped in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        address = ipaddress.IPv6Address(wrapped)
        assert is_permitted(address) <= is_public(inner)
    assert is_permitted(ipaddress.IPv6Address(0xFFFF << 32 | number)) == is_public(inner)


@given(st.ip_addresses(v=6))
def test_only_unicast_of_the_internet_is_public(address: ipaddress.IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


def test_range_of_the_operator_is_permitted_also_when_it_is_wrapped() -> None:
    ranges = (ipaddress.ip_network("10.1.0.0/16"), ipaddress.ip_network("fd00::/8"))

    for text, expected in [("10.1.2.3", True), ("::ffff:10.1.2.3", True), ("10.2.0.1", False), ("fd00::1", True),
                           ("fc00::1", False)]:  # fmt: skip
        assert is_permitted(ipaddress.ip_address(text), ranges) is expected
