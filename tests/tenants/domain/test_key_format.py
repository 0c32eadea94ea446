import secrets
import zlib
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.domain.key_format import (
    BASE62,
    STRENGTH_MIN_BITS,
    can_be_a_key,
    key_mac,
    make_kid,
    make_value,
    parse_api_key,
    strength_bits,
)

EXAMPLE = "rbee_live_0123456789ab_" + "A" * 32
letters = st.text(BASE62, min_size=1)


def test_what_is_made_is_read_again_and_never_made_twice() -> None:
    made = {make_value(make_kid()) for _ in range(2000)}

    assert len(made) == 2000
    for value in made:
        parsed = parse_api_key(value)
        assert parsed is not None
        assert value.startswith(f"rbee_{parsed.environment}_{parsed.kid}_")
        assert can_be_a_key(value)


@given(
    st.sampled_from(["live", "home"]),
    st.text(BASE62, min_size=12, max_size=12),
    st.text(BASE62, min_size=32, max_size=32),
)
def test_every_kid_and_secret_with_its_check_is_a_key(environment: str, kid: str, secret: str) -> None:
    body = f"rbee_{environment}_{kid}_{secret}"

    parsed = parse_api_key(f"{body}_{check(body)}")

    assert parsed is not None
    assert (parsed.environment, parsed.kid) == (environment, kid)


@given(st.integers(0, len(EXAMPLE) + 6), st.sampled_from(BASE62 + "_- é"))
def test_one_changed_character_is_refused_offline(place: int, character: str) -> None:
    value = EXAMPLE + "_" + check(EXAMPLE)
    mistyped = value[:place] + character + value[place + 1 :]

    assert parse_api_key(value) is not None
    assert mistyped == value or parse_api_key(mistyped) is None


@given(st.integers(0, len(EXAMPLE) + 5))
def test_two_characters_in_the_wrong_order_are_refused_offline(place: int) -> None:
    value = make_value(make_kid())
    swapped = value[:place] + value[place + 1] + value[place] + value[place + 2 :]

    assert swapped == value or parse_api_key(swapped) is None


@given(st.text(max_size=80))
def test_no_text_breaks_the_parser(text: str) -> None:
    for value in (text, "rbee_" + text, EXAMPLE + text, f"rbee_live_{text}_{text}_{text}"):
        assert parse_api_key(value) is None
        assert isinstance(can_be_a_key(value), bool)


@given(st.text(max_size=60), st.text(max_size=60))
def test_macs_tell_values_apart(one: str, other: str) -> None:
    assert (key_mac(one) == key_mac(other)) is (one == other)


@pytest.mark.parametrize(
    "value",
    ["", " ", "\t", "new\nline", "nul\x00", "x" * 513, "rbee_live_", EXAMPLE, EXAMPLE + "_000000", "\x7f"],
)
def test_what_cannot_be_a_key(value: str) -> None:
    assert not can_be_a_key(value)


@given(st.text(max_size=100), st.characters())
def test_a_longer_value_is_not_easier_to_guess(value: str, more: str) -> None:
    assert 0 <= strength_bits(value) <= strength_bits(value + more) + 1e-9


@given(st.characters(), st.integers(0, 500))
def test_one_character_again_and_again_is_worth_nothing(character: str, times: int) -> None:
    assert strength_bits(character * times) == 0


def test_random_values_of_a_common_length_are_strong_enough_and_words_are_not() -> None:
    for make in (lambda: secrets.token_urlsafe(24), lambda: str(uuid4()), lambda: secrets.token_hex(24)):
        assert all(strength_bits(make()) >= STRENGTH_MIN_BITS for _ in range(500))
    for guessable in (
        "password",
        "customer-key-123",
        "12345678901234567890",
        "qwertyuiop",
        "sk-test",
        "aaaa-bbbb-cccc-dddd",
    ):
        assert strength_bits(guessable) < STRENGTH_MIN_BITS, guessable


def check(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    while len(digits) < 6:
        digits = BASE62[number % 62] + digits
        number //= 62
    return digits
