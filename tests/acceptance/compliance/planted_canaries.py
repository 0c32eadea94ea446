"""Words that nobody else writes, in every place and form where something of a tenant can lie, and a look at all of these
places that asks neither Django nor the data map."""

from __future__ import annotations

import base64
import gzip
import re
import secrets
import subprocess
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import psycopg
import redis
from django.contrib.postgres.fields import ArrayField
from django.db import models

from gdpr import data_map
from gdpr.data_map import Holding
from gdpr.holding import Identity, Whose
from gdpr.models import AppendOnly
from gdpr.registry import PrivacyClass
from gdpr.scanner import Hit, Scanner
from gdpr.scope import colony_tx
from hive_agent.spool import Spool
from rbee_cli.up.postgres import Postgres
from tests.acceptance.tenants.isolation.world import World, make_world
from tests.conftest import close_connections

COPY: Final = re.compile(rb"^COPY public\.(\w+) ")
SEALED: Final = {"Invoice"}  # a trigger refuses to change it

# How a canary is written into a text of so many characters; what fits in is taken in turn.
TEXT_FORMS: Final[tuple[Callable[[str], str], ...]] = (
    lambda word: word,
    lambda word: base64.b64encode(word.encode()).decode(),
    lambda word: quote(f"<{word}>"),
    str.swapcase,
    lambda word: word.encode().hex(),
    lambda word: base64.b64encode(gzip.compress(word.encode(), mtime=0)).decode(),
)
BINARY_FORMS: Final[tuple[Callable[[str], bytes], ...]] = (
    lambda word: gzip.compress(word.encode()),
    lambda word: word.encode("utf-16-le"),
    lambda word: word.encode("utf-16-be"),
    lambda word: base64.b64encode(b"x" + word.encode()),
)


@dataclass
class Garden:
    """A tenant with a row in every table, and canaries in whatever tells something. `planted`: by canary, where."""

    world: World
    stem: str
    planted: dict[str, str] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    @property
    def tenant_id(self) -> UUID:
        return self.world.tenant.id

    @property
    def identity(self) -> Identity:
        return Identity(Whose.TENANT, tenant_id=self.tenant_id)

    @property
    def scanner(self) -> Scanner:
        return Scanner({word: word for word in self.planted})

    def word(self, where: str) -> str:
        word = f"{self.stem}{next(self.numbers):03d}Q"
        self.planted[word] = where
        return word


def plant(data_dir: Path, redis_url: str, hive_spool: Path) -> Garden:
    garden = Garden(make_world(), f"Kn{secrets.token_hex(4)}x")
    _plant_tables(garden)
    _plant_redis(garden, redis_url)
    _plant_logs(garden, data_dir / "logs")
    _plant_spool(garden, hive_spool)
    return garden


def _plant_tables(garden: Garden) -> None:
    with colony_tx("canaries"):
        for holding in data_map.holdings():
            found = holding.find(garden.identity)
            if found is None or issubclass(holding.model, AppendOnly) or holding.model.__name__ in SEALED:
                continue
            telling = [
                column.name
                for column in holding.columns()
                if column.privacy in (PrivacyClass.PERSONAL, PrivacyClass.CONTENT)
            ]
            for row in holding.rows().filter(found) if telling else ():
                _plant_row(garden, holding, row, telling)


def _plant_row(garden: Garden, holding: Holding, row: models.Model, telling: list[str]) -> None:
    changed: dict[str, Any] = {}
    for name in telling:
        column = holding.model._meta.get_field(name)
        word = garden.word(f"{holding.label}.{name}")
        value = _value(column, word, len(garden.planted))
        if value is None:
            del garden.planted[word]
        else:
            changed[name] = value
    if changed:
        holding.rows().filter(pk=row.pk).update(**changed)


def _value(column: Any, word: str, turn: int) -> Any:
    if isinstance(column, models.SlugField):
        return word.lower()
    if isinstance(column, models.EmailField):
        return f"{word.lower()}@example.org"
    if isinstance(column, ArrayField):
        return [word.lower()]
    if isinstance(column, models.JSONField):
        return {"note": word}
    if isinstance(column, models.CharField | models.TextField):
        room = column.max_length or 1000
        for step in range(len(TEXT_FORMS)):
            text = TEXT_FORMS[(turn + step) % len(TEXT_FORMS)](word)
            if len(text) <= room:
                return text
    return None


def _plant_redis(garden: Garden, redis_url: str) -> None:
    tenant = garden.tenant_id.hex
    with redis.Redis.from_url(redis_url) as client:
        for place, write in enumerate(BINARY_FORMS):
            client.set(
                f"rbee:idem:{tenant}:{secrets.token_hex(8)}:answer", write(garden.word(f"redis {place}"))
            )
        client.set(f"rbee:lim:{tenant}:project:{garden.word('redis key')}:day", 1)


def _plant_logs(garden: Garden, folder: Path) -> None:
    """What is also in a table, since no erasure knows another word."""
    folder.mkdir(parents=True, exist_ok=True)
    stored = [word for word, where in garden.planted.items() if where.startswith("billing.BillingAccount.")]
    with (folder / "queen.log").open("ab") as log:
        log.write(b"2027-01-01 INFO nothing of anybody\n")
        for word in stored:
            written = _stored(garden, word)
            log.write(b"2027-01-01 WARNING refused " + written.encode() + b" by smtp\n")
            log.write(b"2027-01-01 DEBUG " + base64.b64encode(b"to: " + written.encode()) + b"\n")
            log.write(b"2027-01-01 DEBUG " + quote(written).encode() + written.encode("utf-16-le") + b"\n")


def _stored(garden: Garden, word: str) -> str:
    """As the table has it."""
    model, _, name = garden.planted[word].rpartition(".")
    holding = next(each for each in data_map.holdings() if each.label == model)
    with colony_tx("canaries"):
        found = holding.find(garden.identity)
        assert found is not None
        return str(holding.rows().filter(found).values_list(name, flat=True)[0])


def _plant_spool(garden: Garden, path: Path) -> None:
    """A receipt that the queen refused: the hive keeps it aside for a person to look at."""
    spool = Spool(path)
    word = garden.word("spool of a hive")
    spool.db.execute(
        "INSERT INTO attempt VALUES (?, 1, 'refused', 1, '[]', '{}', 0, ?, ?, 'fenced', 1)",
        (secrets.token_hex(16), b"mac" + garden.tenant_id.hex.encode(), b"payload " + word.encode()),
    )
    spool.shut()


class Everywhere:
    """All places of this machine: what pg_dump writes, the files of the tables, Redis, the data folder."""

    def __init__(self, postgres: Postgres, redis_url: str, data_dir: Path) -> None:
        self.postgres, self.redis_url, self.data_dir = postgres, redis_url, data_dir

    def hits(self, scanner: Scanner) -> list[tuple[Hit, str]]:
        """With the table, for what is in one; else the place."""
        found: list[tuple[Hit, str]] = []
        for table, rows in self._dumped().items():
            found += [(hit, table) for hit in scanner.scan_bytes(rows, f"pg_dump {table}")]
        for table, path in self._table_files():
            found += [(hit, table) for hit in scanner.scan_file(path)]
        with redis.Redis.from_url(self.redis_url) as client:
            found += [(hit, "redis") for hit in scanner.scan_redis(client)]
        found += [(hit, "files") for hit in scanner.scan_tree([self.data_dir], without=["postgres"])]
        return found

    def _dumped(self) -> dict[str, bytes]:
        program = self.postgres._program("pg_dump", self.postgres._major())
        dump = subprocess.run(
            [program, "--data-only", self.postgres.owner_url], capture_output=True, check=True, cwd="/"
        ).stdout
        tables: dict[str, list[bytes]] = defaultdict(list)
        table = "else"
        for line in dump.split(b"\n"):
            if match := COPY.match(line):
                table = match[1].decode()
            tables[table].append(line)
            if line == rb"\.":
                table = "else"
        return {name: b"\n".join(lines) for name, lines in tables.items()}

    def _table_files(self) -> Iterator[tuple[str, Path]]:
        """Of tables, their indexes and what is too long for them."""
        folder = self.postgres.folders.postgres
        with psycopg.connect(self.postgres.owner_url, autocommit=True) as owner:
            rows = owner.execute(
                "SELECT coalesce(i.relname, m.relname, c.relname), pg_relation_filepath(c.oid) FROM pg_class c"
                " LEFT JOIN pg_index x ON x.indexrelid = c.oid LEFT JOIN pg_class i ON i.oid = x.indrelid"
                " LEFT JOIN pg_class m ON m.reltoastrelid = coalesce(x.indrelid, c.oid)"
                " WHERE pg_relation_filepath(c.oid) IS NOT NULL AND (c.relnamespace = 'public'::regnamespace"
                " OR c.relnamespace = 'pg_toast'::regnamespace)"
            ).fetchall()
        for table, name in rows:
            for path in folder.glob(f"{name}*"):
                if path.name == Path(name).name or path.name.startswith(f"{Path(name).name}."):
                    yield table, path


def flush(postgres: Postgres, statement: str = "") -> None:
    """What the server has in memory only into its files: its end writes a checkpoint, and needs no superuser. `statement` is
    a superuser's, meanwhile."""
    close_connections()
    postgres.stop(30)
    if statement:
        postgres._execute(postgres.folders.postgres, postgres._major(), statement)
    postgres.respawn()
    postgres.wait_ready()


def tables_kept(certificate: dict[str, Any]) -> set[str]:
    """By name, partitions too."""
    labels = {entry["what"] for entry in certificate["kept"]}
    return {holding.table for holding in data_map.holdings() if holding.label in labels}


def is_in(table: str, kept: set[str]) -> bool:
    return re.sub(r"_\d{4}_\d\d$", "", table) in kept
