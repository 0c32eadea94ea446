"""The servers that tests run against: real ones, as `rbee up` starts them, on free ports and in a temporary folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rbee_cli.up.postgres import Postgres
from rbee_cli.up.redis import Redis

# What a test needs is speed; no test looks at what survives a power cut.
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    with _folder() as data_dir:
        server = Postgres(data_dir, settings=FAST)
        server.start()
        try:
            yield server
        finally:
            server.stop()


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
