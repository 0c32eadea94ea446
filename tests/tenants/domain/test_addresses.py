from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.domain.addresses import NOWHERE, client_address, network_set, parse_address

PROXIES = network_set(("10.0.0.0/8", "fd00::/8"))
HERE = "203.0.113.9"

addresses = st.ip_addresses()


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        (HERE, [], HERE),
        (HERE, ["192.0.2.7"], HERE),  # nobody asked it
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [HERE], HERE),
        ("10.0.0.1", ["192.0.2.7, 203.0.113.9"], HERE),  # the client wrote the first itself
        ("10.0.0.1", ["192.0.2.7", "203.0.113.9"], HERE),  # in a header of its own
        ("10.0.0.1", ["203.0.113.9, 10.1.1.1,fd00::1"], HERE),
        ("10.0.0.1", ["10.3.3.3"], "10.3.3.3"),  # a machine of ours asks by way of the proxy
        ("10.0.0.1", ["203.0.113.9:4711"], HERE),
        ("10.0.0.1", ["[2001:db8::1]:4711"], "2001:db8::1"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.9"], HERE),
        ("10.0.0.1", ["203.0.113.9, unknown"], None),
        ("10.0.0.1", ["203.0.113.9, "], None),
        ("10.0.0.1", ["_hidden"], None),
        ("10.0.0.1", ["1" * 5000], None),
        (None, [HERE], None),
        ("", [HERE], None),
        ("unix:", [HERE], None),
    ],
)
def test_client_is_who_connected_to_the_outermost_proxy_of_ours(
    peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    headers = [(b"host", b"x"), *((b"X-Forwarded-For", value.encode()) for value in forwarded)]
    joined = {"x-forwarded-for": ",".join(forwarded)} if forwarded else {}

    for given_headers in (headers, joined):
        found = client_address(peer, given_headers, PROXIES)
        assert found == (ipaddress.ip_address(expected) if expected else None)


@given(addresses, st.lists(st.text(st.characters(codec="latin-1", exclude_characters=","))))
def test_without_proxies_no_header_counts(peer: ipaddress.IPv4Address, forwarded: list[str]) -> None:
    headers = [(b"x-forwarded-for", text.encode("latin-1")) for text in forwarded]

    assert client_address(str(peer), headers, NOWHERE) == parse_address(str(peer))


@given(addresses, st.lists(addresses, max_size=4))
def test_what_a_client_writes_is_never_taken_for_its_address(
    client: ipaddress.IPv4Address, written: list[ipaddress.IPv4Address]
) -> None:
    seen = parse_address(str(client))
    assert seen is not None
    if PROXIES.holds(str(client)):
        return
    chain = ", ".join(str(address) for address in [*written, client])

    assert client_address("10.0.0.1", [(b"x-forwarded-for", chain.encode())], PROXIES) == seen


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    parse_address(text)
    client_address("10.0.0.1", {"x-forwarded-for": text}, PROXIES)
