"""Finds words in anything, however they are written: as they are, in another case, in UTF-16, base64, hexadecimal, with
percent signs, and inside of gzip, zlib and zip; and what those hold, some levels deep.

It knows neither Django nor the data map, so that it can check what they say. What it is to find it is given; it tells where,
and never repeats it.

    Scanner({"name": "Ada Lovelace"}).scan_tree([Path("/var/lib/rbee")])
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

DEPTH_MAX: Final = 4
UNPACKED_MAX: Final = 64 * 1024 * 1024
CHUNK: Final = 32 * 1024 * 1024
OVERLAP: Final = 1024 * 1024
STEM_LEAST: Final = 6

_GZIP: Final = b"\x1f\x8b\x08"
_ZLIB: Final = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_HEX_RUN: Final = re.compile(rb"\\x((?:[0-9a-fA-F]{2}){12,})")
_BASE64_GZIP: Final = re.compile(rb"H4sI[A-Za-z0-9+/_-]{12,}={0,2}")


class Hit(NamedTuple):
    name: str  # of the needle
    form: str
    where: str


class Scanner:
    """`needles`: what to find, by the name that a hit is to have."""

    def __init__(self, needles: Mapping[str, str]) -> None:
        self.needles = {name: text for name, text in needles.items() if text}
        self._forms = {name: forms_of(text) for name, text in self.needles.items()}
        stem = _beginning(list(self.needles.values()))
        # Many needles of one beginning are looked for by that, in every form; the rest is compared where it is found.
        self._stems = forms_of(stem) if len(stem) >= STEM_LEAST else None

    def scan_bytes(self, data: bytes, where: str, depth: int = 0) -> Iterator[Hit]:
        seen: set[Hit] = set()
        for hit in self._all(data, where, depth):
            if hit not in seen:
                seen.add(hit)
                yield hit

    def scan_file(self, path: Path) -> Iterator[Hit]:
        where = str(path)
        yield from self.scan_bytes(path.name.encode(errors="surrogateescape"), f"{where} (its name)")
        with path.open("rb") as file:
            kept = b""
            while chunk := file.read(CHUNK):
                yield from self.scan_bytes(kept + chunk, where)
                kept = chunk[-OVERLAP:]

    def scan_tree(self, roots: Iterable[Path], *, without: Iterable[str] = ()) -> Iterator[Hit]:
        """`without`: names of folders that are not looked into."""
        passed = set(without)
        for root in roots:
            for folder, folders, files in os.walk(root):
                folders[:] = [name for name in folders if name not in passed]
                for name in files:
                    path = Path(folder) / name
                    if path.is_symlink() or not path.is_file():
                        continue
                    try:
                        yield from self.scan_file(path)
                    except FileNotFoundError:
                        continue  # it went meanwhile

    def scan_redis(self, client: Any) -> Iterator[Hit]:
        """Names and values of every key that this client may see."""
        for key in client.scan_iter(count=1000):
            yield from self.scan_bytes(bytes(key), f"redis key {_shown(key)}")
            for part in _values(client, key):
                yield from self.scan_bytes(part, f"redis {_shown(key)}")

    def _all(self, data: bytes, where: str, depth: int) -> Iterator[Hit]:
        for name, form in self._plain(data):
            yield Hit(name, form, where)
        if depth < DEPTH_MAX:
            for form, inner in _unpacked(data):
                for hit in self.scan_bytes(inner, where, depth + 1):
                    yield hit._replace(form=f"{form} {hit.form}")

    def _plain(self, data: bytes) -> Iterator[tuple[str, str]]:
        if self._stems is None:
            for name, forms in self._forms.items():
                yield from ((name, form) for form, wanted in forms.items() if wanted in data)
            return
        for form, stem in self._stems.items():
            at = data.find(stem)
            while at >= 0:
                for name, forms in self._forms.items():
                    if data.startswith(forms[form], at):
                        yield name, form
                at = data.find(stem, at + 1)


def _beginning(texts: Sequence[str]) -> str:
    """What all of several begin with."""
    if len(texts) < 2:
        return ""
    first, last = min(texts), max(texts)
    same = next(
        (at for at, pair in enumerate(zip(first, last, strict=False)) if pair[0] != pair[1]), len(first)
    )
    return first[:same]


def forms_of(text: str) -> dict[str, bytes]:
    """How it may be written. Of base64 all three places in which it may begin, without the characters at either end that
    its neighbours change."""
    raw = text.encode()
    found = {
        "plain": raw,
        "lower": text.lower().encode(),
        "upper": text.upper().encode(),
        "swapped": text.swapcase().encode(),
        "utf-16-le": text.encode("utf-16-le"),
        "utf-16-be": text.encode("utf-16-be"),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "url": quote(text, safe="").encode(),
        "path": quote(text).encode(),
        "percent": "".join(f"%{byte:02x}" for byte in raw).encode(),
        "PERCENT": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "json": "".join(char if char.isascii() else f"\\u{ord(char):04x}" for char in text).encode(),
    }
    for place in range(3):
        inner = _base64_inside(raw, place)
        found[f"base64+{place}"] = inner
        found[f"base64url+{place}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return found


def _base64_inside(raw: bytes, place: int) -> bytes:
    """As it stands in the base64 of something in which it begins `place` bytes after a multiple of three."""
    whole = base64.b64encode(b"\0" * place + raw).rstrip(b"=")
    first = -(-place * 8 // 6)  # characters that hold a bit of what is before
    last = (place + len(raw)) * 8 // 6  # and those that are not finished
    return whole[first:last]


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    if data.startswith(b"PK\x03\x04"):
        yield from (("zip", part) for part in _of_zip(data))
    at = data.find(_GZIP)
    while at >= 0:
        if inner := _inflated(data[at:], 31):
            yield "gzip", inner
        at = data.find(_GZIP, at + 1)
    if data.startswith(_ZLIB) and (inner := _inflated(data, 15)):
        yield "zlib", inner
    for run in _HEX_RUN.finditer(data):
        if (inner := bytes.fromhex(run[1].decode())).startswith((_GZIP, *_ZLIB, b"PK\x03\x04")):
            yield "hex", inner
    for run in _BASE64_GZIP.finditer(data):
        text = run[0].replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
        try:
            yield (
                "base64",
                base64.b64decode(text[: len(text) - (len(text) % 4 == 1)] + b"=" * (-len(text) % 4)),
            )
        except binascii.Error:
            continue


def _inflated(data: bytes, bits: int) -> bytes:
    """As much of it as makes sense: one that is cut off tells what is before."""
    machine, found = zlib.decompressobj(bits), bytearray()
    view = memoryview(data)
    for start in range(0, len(view), 65536):
        try:
            found += machine.decompress(view[start : start + 65536], UNPACKED_MAX - len(found))
        except zlib.error:
            break
        if machine.eof or len(found) >= UNPACKED_MAX:
            break
    return bytes(found)


def _of_zip(data: bytes) -> Iterator[bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                yield entry.filename.encode()
                with archive.open(entry) as file:
                    yield file.read(UNPACKED_MAX)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError):
        return


def _values(client: Any, key: bytes) -> Iterator[bytes]:
    kind = client.type(key).decode()
    if kind == "string":
        yield client.get(key) or b""
    elif kind == "hash":
        yield from (part for pair in client.hgetall(key).items() for part in pair)
    elif kind == "list":
        yield from client.lrange(key, 0, -1)
    elif kind == "set":
        yield from client.smembers(key)
    elif kind == "zset":
        yield from client.zrange(key, 0, -1)
    elif kind == "stream":
        for entry, fields in client.xrange(key):
            yield entry
            yield from (part for pair in fields.items() for part in pair)


def _shown(key: bytes) -> str:
    """Its family: what comes after may be somebody's."""
    return key.decode(errors="replace")[:16]
