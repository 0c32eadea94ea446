"""The servers that tests run against: real ones, as `rbee up` starts them, on free ports and in a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbee_cli.up.postgres import DATABASE, Postgres
from rbee_cli.up.redis import Redis

# What a test needs is speed; no test looks at what survives a power cut.
ROOT = "root_of_tests"
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    with _folder() as data_dir:
        server = Postgres(data_dir, settings=FAST)
        server.prepare()
        _let_root_in(server)
        server.spawn()
        server.wait_ready()
        try:
            yield server
        finally:
            server.stop()


def root_url(server: Postgres) -> str:
    """For tests of what a superuser can do, whom nothing in the database stops."""
    return f"postgresql://{ROOT}:{ROOT}@127.0.0.1:{server.port}/{DATABASE}"


def _let_root_in(server: Postgres) -> None:
    cluster = server.folders.postgres
    server._execute(cluster, server._major(), f"CREATE ROLE {ROOT} SUPERUSER LOGIN PASSWORD '{ROOT}';\n\n")
    with (cluster / "pg_hba.conf").open("a") as access:
        access.write(f"host all {ROOT} 127.0.0.1/32 scram-sha-256\n")


@contextmanager
def redis_server() -> Iterator[Redis]:
    with _folder() as data_dir:
        server = Redis(data_dir)
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextmanager
def _folder() -> Iterator[Path]:
    """Not pytest's tmp_path: as root that lies under a private folder, which PostgreSQL's account cannot reach."""
    path = Path(tempfile.mkdtemp(prefix="rbee-test-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
