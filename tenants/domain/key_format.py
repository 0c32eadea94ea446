"""What a key looks like: `rbee_<env>_<kid>_<secret>_<check>`.

`env` is live or home, `kid` names the key and may be shown, `secret` has 190 bits, `check` is a CRC-32 of all before it:
a mistyped key is refused without a look into the database. What is stored is HMAC-SHA256 of the whole value under a
pepper that is in no database, derived from a root secret; one that was made under another root secret than the newest
is made anew when its value is used (`tenants.domain.key_use`). A value brought along from another gateway has no shape; it is found by its HMAC.
"""

from __future__ import annotations

import math
import secrets
import string
import zlib
from collections import Counter

import msgspec
from django.conf import settings

from gdpr.secrets import macs

PREFIX = "rbee_"
ENVIRONMENTS = ("live", "home")
KID_LENGTH = 12
SECRET_LENGTH = 32
CHECK_LENGTH = 6
PEPPER = "api-key-pepper"
BROUGHT_ALONG_MAX = 512
STRENGTH_MIN_BITS = 56  # of a value brought along
SHOWN_FROM_BITS = 96  # its last four characters are, when what is left cannot be guessed either

BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BASE62_SET = frozenset(BASE62)


class ParsedKey(msgspec.Struct, frozen=True):
    environment: str
    kid: str


def parse_api_key(value: str) -> ParsedKey | None:
    """None unless `value` has the shape and the check of a key that rbee makes."""
    parts = value.split("_")
    if len(parts) != 5 or parts[0] != "rbee" or parts[1] not in ENVIRONMENTS:
        return None
    kid, secret, check = parts[2:]
    if (len(kid), len(secret), len(check)) != (KID_LENGTH, SECRET_LENGTH, CHECK_LENGTH):
        return None
    if not _BASE62_SET.issuperset(kid + secret) or check != key_check(value[: -CHECK_LENGTH - 1]):
        return None
    return ParsedKey(parts[1], kid)


def can_be_a_key(value: str) -> bool:
    """Worth a look into the database: a key of ours that is not mistyped, or what could have been brought along."""
    if value.startswith(PREFIX):
        return parse_api_key(value) is not None
    return 0 < len(value) <= BROUGHT_ALONG_MAX and value.isprintable() and not value.isspace()


def make_kid() -> str:
    return _random(KID_LENGTH)


def make_value(kid: str) -> str:
    environment = "live" if settings.RBEE.is_business else "home"
    body = f"{PREFIX}{environment}_{kid}_{_random(SECRET_LENGTH)}"
    return f"{body}_{key_check(body)}"


def key_mac(value: str) -> bytes:
    return key_macs(value)[0]


def key_macs(value: str) -> list[bytes]:
    """By one of these a key is found, by the pepper of each root secret; the first is what is stored from now on."""
    return macs(PEPPER, value.encode())


def key_check(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(CHECK_LENGTH):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def strength_bits(value: str) -> float:
    """How hard a value is to guess, by its own characters alone: the surprise in each, and none in one that repeats or
    continues the one before (aaaa, 1234). Low for short ones: 20 random letters and digits are about 75 bits."""
    before = "\x00" + value
    surprising = [char for char, last in zip(value, before, strict=False) if abs(ord(char) - ord(last)) > 1]
    total = len(surprising)
    return sum(count * math.log2(total / count) for count in Counter(surprising).values())


def _random(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
