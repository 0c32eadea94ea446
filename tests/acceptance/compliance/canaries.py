"""Texts that nobody would write, planted where a customer's data goes, and looked for wherever it could have stayed.

    canaries = Canaries()
    text = canaries.make("prompt of the third request")
    hits = scan(canaries, [folder(data_dir), database(url), redis_memory(url)])

All canaries of one set share a random marker, so that a scan costs the same for one and for thousands. A scan finds them
plain, in the other case, in base64, hex, percent and UTF-16, inside gzip and zlib streams, and in rows that PostgreSQL
compressed. `assert_finds` shows that, with the same places: a scanner that finds nothing proves nothing by itself.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import re
import secrets
import string
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
import redis
from psycopg import sql

from gdpr.scope import COLONY_ROLE

MARKER_LENGTH: Final = 16
NUMBER_LENGTH: Final = 6
LENGTH: Final = MARKER_LENGTH + NUMBER_LENGTH
LETTERS: Final = string.ascii_letters
DIGITS: Final = "ghijklmnop"  # of numbers: letters, so that the other case is told apart, and no digit of hex
FILE_BYTES_MAX: Final = 512 << 20
UNPACKED_BYTES_MAX: Final = 64 << 20
PACKED_IN_PACKED: Final = 2
STREAM: Final = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
# Of partitions only the whole, as which the application reads them.
TABLES: Final = """
    SELECT relname, has_table_privilege(oid, 'SELECT') FROM pg_class
    WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace ORDER BY relname
"""

Piece = tuple[str, bytes]  # where exactly, and what is there
Place = Callable[[], Iterable[Piece]]


class Encoding(NamedTuple):
    """`start` is how the marker begins in it, and `read` gives back the text of what follows."""

    name: str
    start: bytes
    read: Callable[[bytes], str]


class Hit(NamedTuple):
    canary: str  # what it was made for
    encoding: str
    where: str


class Canaries:
    def __init__(self) -> None:
        self.names: list[str] = []
        self.marker = "".join(secrets.choice(LETTERS) for _ in range(MARKER_LENGTH))
        self._encodings = list(_encodings(self.marker))

    def make(self, name: str) -> str:
        """A new one: ASCII letters only, so it fits a file name, a header, an identifier."""
        self.names.append(name)
        number = f"{len(self.names) - 1:0{NUMBER_LENGTH}d}"
        return self.marker + number.translate(str.maketrans("0123456789", DIGITS))

    def within(self, data: bytes, *, depth: int = PACKED_IN_PACKED) -> Iterator[tuple[str, str]]:
        """Name and encoding of each that is in `data`."""
        for encoding in self._encodings:
            at = data.find(encoding.start)
            while at >= 0:
                yield self._name(encoding.read(data[at : at + 8 * LENGTH])), encoding.name
                at = data.find(encoding.start, at + 1)
        for text in _compressed(self.marker, data):
            yield self._name(text), "compressed row"
        if depth:
            for name, unpacked in _unpacked(data):
                for canary, encoding_name in self.within(unpacked, depth=depth - 1):
                    yield canary, f"{encoding_name} in {name}"

    def _name(self, text: str) -> str:
        number = text[MARKER_LENGTH:LENGTH].translate(str.maketrans(DIGITS, "0123456789"))
        if number.isdecimal() and int(number) < len(self.names):
            return self.names[int(number)]
        return "a part of one"


def scan(canaries: Canaries, places: Iterable[Place]) -> list[Hit]:
    """Each canary once for each place and encoding."""
    return list(
        dict.fromkeys(
            Hit(name, encoding, where)
            for place in places
            for where, data in place()
            for name, encoding in canaries.within(data)
        )
    )


def assert_finds(plant: Callable[[bytes], None], places: Sequence[Place]) -> None:
    """`plant` writes what it is given to one of `places`: each encoding is found there, each under its name."""
    planted = Canaries()
    for name, encode in PLANTED.items():
        plant(encode(f"before {planted.make(name)} after"))
    hits = scan(planted, places)
    missed = set(PLANTED) - {hit.canary for hit in hits}
    assert not missed, f"the scanner does not find what was planted: {missed}"


PLANTED: Final[dict[str, Callable[[str], bytes]]] = {
    "plain": str.encode,
    "upper case": lambda text: text.upper().encode(),
    "lower case": lambda text: text.lower().encode(),
    "other case": lambda text: text.swapcase().encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, one later": lambda text: base64.b64encode(b"x" + text.encode()),
    "base64, two later": lambda text: base64.urlsafe_b64encode(b"xx" + text.encode()),
    "hex": lambda text: text.encode().hex().encode(),
    "percent": lambda text: "".join(f"%{ord(letter):02X}" for letter in text).encode(),
    "UTF-16 LE": lambda text: text.encode("utf-16-le"),
    "UTF-16 BE": lambda text: text.encode("utf-16-be"),
    "gzip": lambda text: b"noise" + gzip.compress(text.encode()),
    "zlib": lambda text: b"noise" + zlib.compress(text.encode()),
    "base64 in gzip": lambda text: gzip.compress(base64.b64encode(text.encode())),
    "gzip twice": lambda text: gzip.compress(gzip.compress(text.encode())),
}


def folder(path: Path, *, without: Sequence[str] = ()) -> Place:
    """Every file below it, its name as well, but those in folders called one of `without`."""

    def pieces() -> Iterator[Piece]:
        for file in sorted(path.rglob("*")):
            if set(file.relative_to(path).parts) & set(without):
                continue
            yield f"the name of {file}", file.name.encode()
            try:
                if file.is_file() and not file.is_symlink() and file.stat().st_size <= FILE_BYTES_MAX:
                    yield str(file), file.read_bytes()
            except FileNotFoundError:
                pass  # it went while this looked

    return pieces


def database(url: str) -> Place:
    """Every row of every table, as a dump has them: texts and bytes as they are. `url` is of the application role."""

    def pieces() -> Iterator[Piece]:
        with psycopg.connect(url) as connection:
            connection.execute(f"SET ROLE {COLONY_ROLE}")
            tables = connection.execute(TABLES).fetchall()
            for table, is_readable in tables:
                assert is_readable, f"{table} cannot be looked into"
                query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT binary)").format(
                    sql.Identifier(table)
                )
                with connection.cursor().copy(query) as copy:
                    yield f"table {table}", b"".join(bytes(block) for block in copy)

    return pieces


def redis_memory(url: str) -> Place:
    """Every key and value, and what the server remembers of commands and clients."""

    def pieces() -> Iterator[Piece]:
        with redis.Redis.from_url(url) as client:
            for key in client.scan_iter(count=1000):
                yield "the name of a key", key
                yield f"key {key!r}", repr_of(_value(client, key))
            for command in (
                ("SLOWLOG", "GET", "-1"),
                ("ACL", "LOG"),
                ("CLIENT", "LIST"),
                ("INFO", "everything"),
            ):
                yield " ".join(command), repr_of(client.execute_command(*command))

    return pieces


def repr_of(value: object) -> bytes:
    """What it holds, one after the other: bytes as they are, never escaped."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, dict):
        return b"\n".join(repr_of(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple | set):
        return b"\n".join(map(repr_of, value))
    return str(value).encode()


def _value(client: redis.Redis, key: bytes) -> object:
    readers: dict[bytes, Callable[[], object]] = {
        b"string": lambda: client.get(key),
        b"hash": lambda: client.hgetall(key),
        b"list": lambda: client.lrange(key, 0, -1),
        b"set": lambda: client.smembers(key),
        b"zset": lambda: client.zrange(key, 0, -1),
        b"stream": lambda: client.xrange(key),
    }
    kind = client.type(key)
    return readers[kind]() if kind in readers else b""  # b"none": it expired


def _encodings(marker: str) -> Iterator[Encoding]:
    yield Encoding("plain", marker.encode(), _ascii)
    for name, change, back in (
        ("upper case", str.upper, str.lower),
        ("lower case", str.lower, str.lower),
        ("other case", str.swapcase, str.swapcase),
    ):
        yield Encoding(name, change(marker).encode(), lambda data, back=back: back(_ascii(data)))
    yield Encoding("hex", marker.encode().hex().encode(), _hex)
    yield Encoding("hex", marker.encode().hex().upper().encode(), _hex)
    for form in ("%{:02X}", "%{:02x}"):
        yield Encoding("percent", "".join(map(form.format, marker.encode())).encode(), _percent)
    yield Encoding("UTF-16 LE", marker.encode("utf-16-le"), lambda data: _ascii(data[0::2]))
    yield Encoding("UTF-16 BE", marker.encode("utf-16-be"), lambda data: _ascii(data[1::2]))
    for later in range(3):
        encoded = base64.b64encode(b"x" * later + marker.encode())
        # Of the first and the last letters some bits are those of the text around.
        start = encoded[(0, 2, 3)[later] : (len(marker) + later) // 3 * 4]
        yield Encoding("base64", start, lambda data, later=later: _base64(data, later))


def _ascii(data: bytes) -> str:
    return data.decode("ascii", "replace")


def _hex(data: bytes) -> str:
    try:
        return _ascii(bytes.fromhex(data[: 2 * LENGTH].decode("ascii")))
    except ValueError:
        return ""


def _percent(data: bytes) -> str:
    return _hex(data[: 3 * LENGTH].replace(b"%", b""))


def _base64(data: bytes, later: int) -> str:
    letters = (b"A" * (0, 2, 3)[later] + data)[: -(-(LENGTH + later) // 3) * 4]
    try:
        return _ascii(base64.b64decode(letters, altchars=b"-_"))[later:]
    except binascii.Error:
        return ""


def _compressed(marker: str, data: bytes) -> Iterator[str]:
    """PostgreSQL's own compression leaves letters as they are, and puts a byte between each eight of them."""
    letters = marker.encode()
    for first in range(1, 9):  # how many stand before the first such byte
        middle = letters[first : first + 8]
        at = data.find(middle)
        while at >= 0:
            start = at - 1 - first
            text = b"".join(data[hole : hole + 8] for hole in range(at, at + 36, 9))
            if start >= 0 and data[start : at - 1] == letters[:first] and text.startswith(letters[first:]):
                yield marker[:first] + _ascii(text)
            at = data.find(middle, at + 1)


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    view = memoryview(data)
    for found in STREAM.finditer(data):
        is_gzip = found[0][0] == 0x1F
        if unpacked := _inflated(view[found.start() :], 31 if is_gzip else 15):
            yield "gzip" if is_gzip else "zlib", unpacked


def _inflated(packed: memoryview, window: int) -> bytes:
    """What can be read of it. Most of what looks like the beginning of a stream is none."""
    reader, pieces, size = zlib.decompressobj(window), [], 0
    step, at = 64, 0
    while at < len(packed) and not reader.eof and size < UNPACKED_BYTES_MAX:
        try:
            piece = reader.decompress(packed[at : at + step])
        except zlib.error:
            break
        pieces.append(piece)
        size += len(piece)
        at, step = at + step, 1 << 16
    return b"".join(pieces)
