"""The scanner finds what is planted, in every form, and nothing that is not there."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from gdpr.scanner import CHUNK, Scanner

NEEDLE = "Ada.Lovelace+x@Example.org"
NOISE = bytes(range(256)) * 40


def zipped(raw: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/file.txt", raw)
    return target.getvalue()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda raw: raw,
    "lower": bytes.lower,
    "upper": bytes.upper,
    "swapped": bytes.swapcase,
    "utf-16-le": lambda raw: raw.decode().encode("utf-16-le"),
    "utf-16-be": lambda raw: raw.decode().encode("utf-16-be"),
    "base64": base64.b64encode,
    "base64 one byte in": lambda raw: base64.b64encode(b"x" + raw + b"yz"),
    "base64 two bytes in": lambda raw: base64.urlsafe_b64encode(b"xx" + raw + b"y"),
    "hex": lambda raw: raw.hex().encode(),
    "url": lambda raw: quote(raw.decode(), safe="").encode(),
    "percent": lambda raw: "".join(f"%{byte:02X}" for byte in raw).encode(),
    "gzip": gzip.compress,
    "zip": zipped,
    "gzip in pg_dump's hex": lambda raw: b"\\x" + gzip.compress(raw).hex().encode(),
    "gzip in base64": lambda raw: base64.b64encode(gzip.compress(raw)),
    "base64 in gzip": lambda raw: gzip.compress(base64.b64encode(raw)),
    "gzip in gzip": lambda raw: gzip.compress(gzip.compress(raw)),
}


@pytest.mark.parametrize("form", FORMS)
def test_needle_is_found_in_every_form(form: str) -> None:
    written = FORMS[form](NEEDLE.encode())
    around = written if form == "zip" else NOISE + b" " + written + b" " + NOISE

    assert [hit.name for hit in Scanner({"ada": NEEDLE}).scan_bytes(around, "here")]
    assert not list(Scanner({"bob": "Bob.Someone@Example.org"}).scan_bytes(around, "here"))


def test_zlib_is_opened() -> None:
    assert list(Scanner({"ada": NEEDLE}).scan_bytes(zlib.compress(NEEDLE.encode() * 3), "here"))


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=0x24F), min_size=8, max_size=30),
    st.integers(0, 2),
    st.binary(max_size=40),
)
def test_whatever_stands_around_it_in_base64(needle: str, place: int, after: bytes) -> None:
    data = base64.b64encode(b"x" * place + needle.encode() + after)

    assert list(Scanner({"it": needle}).scan_bytes(data, "here"))


@given(st.binary(max_size=2000))
def test_random_bytes_are_no_hit(data: bytes) -> None:
    assert not list(Scanner({"a": "canary-7f3a91c2d4", "b": "canary-bb01c2d4ff"}).scan_bytes(data, "here"))


def test_needles_of_one_beginning_are_told_apart() -> None:
    needles = {f"n{place}": f"canary-{place:04d}-tail" for place in range(60)}
    planted = {
        "n3": FORMS["base64 one byte in"],
        "n17": FORMS["utf-16-le"],
        "n59": FORMS["gzip in pg_dump's hex"],
    }
    data = b" ".join(write(needles[name].encode()) for name, write in planted.items())

    assert {hit.name for hit in Scanner(needles).scan_bytes(data, "here")} == set(planted)


def test_file_is_read_in_pieces_and_its_name_too(tmp_path: Path) -> None:
    (tmp_path / f"{NEEDLE}.txt").write_bytes(b"nothing")
    with (tmp_path / "large").open("wb") as file:
        file.seek(CHUNK - 10)  # over the border of two pieces
        file.write(NEEDLE.encode())
        file.truncate(CHUNK + 5000)
    (tmp_path / "link").symlink_to(tmp_path / "large")

    found = {
        Path(hit.where.removesuffix(" (its name)")).name
        for hit in Scanner({"ada": NEEDLE}).scan_tree([tmp_path])
    }

    assert found == {f"{NEEDLE}.txt", "large"}


def test_every_type_of_redis_is_read(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        client.set("string", NEEDLE)
        client.hset("hash", NEEDLE, "x")
        client.rpush("list", "x", NEEDLE)
        client.sadd("set", NEEDLE)
        client.zadd("zset", {NEEDLE: 1})
        client.xadd("stream", {"field": NEEDLE})
        client.set(f"of:{NEEDLE}", "x")
        client.set("other", "x")

        found = list(Scanner({"ada": NEEDLE}).scan_redis(client))

    assert len({hit.where for hit in found}) == 7
