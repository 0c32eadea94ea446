"""PostgreSQL and Redis for every test that asks for them, and Django on top of them as the application role.

db              (pytest-django) rolled back after the test
committed_db    really commits: for races, triggers and rights. Rows stay for the other tests of the file, and go
                with it; take fresh tenants from `factories`
postgres        the server: .app_url, .owner_url
pool            asynchronous connections of the application role
redis_url       an empty Redis
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from asgiref.sync import SyncToAsync
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from pytest_django import DjangoDbBlocker

from gdpr.pool import Pool, make_pool
from rbee.databases import database_settings
from rbee.env import read_env
from tests.services import postgres_server, redis_server

if TYPE_CHECKING:
    from rbee_cli.up.postgres import Postgres

# Never the one of a colony on this machine. It goes when Python does.
DATA_DIR = tempfile.TemporaryDirectory(prefix="rbee-test-data-")
settings.RBEE = read_env({"RBEE_SECRET_KEY": "5e" * 32, "RBEE_DATA_DIR": DATA_DIR.name})
settings.SECRET_KEY = "of the tests"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def _redis_server() -> Iterator[str]:
    with redis_server() as server:
        settings.RBEE = dataclasses.replace(
            settings.RBEE,
            redis_url=server.url,
            hive_redis_url=f"redis://queen:{server.port}/0",
            celery_broker_url=server.url,
        )
        yield server.url


@pytest.fixture
def redis_url(_redis_server: str) -> str:
    with redis.Redis.from_url(_redis_server) as client:
        client.flushall()
    return _redis_server


@pytest.fixture(scope="session")
def django_db_setup(postgres: Postgres, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """In place of pytest-django's own: one database, migrated by its owner, used by the application role."""
    settings.RBEE = dataclasses.replace(
        settings.RBEE, database_url=postgres.app_url, database_owner_url=postgres.owner_url
    )
    settings.DATABASES = connections.configure_settings(database_settings(settings.RBEE))
    connections.settings = settings.DATABASES
    for alias in settings.DATABASES:
        if hasattr(connections._connections, alias):
            del connections[alias]
    with django_db_blocker.unblock():
        call_command("migrate", verbosity=0)
        connections["owner"].close()
    yield
    with django_db_blocker.unblock():
        connections.close_all()


@pytest.fixture
def committed_db(
    _emptied: set[str], django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """What is committed is there until the tests of the file are over."""
    _emptied.add("dirty")
    with django_db_blocker.unblock():
        yield
        close_connections()


@pytest.fixture(scope="module")
def _emptied(postgres: Postgres) -> Iterator[set[str]]:
    done: set[str] = set()
    yield done
    if done:
        with psycopg.connect(postgres.owner_url) as owner:
            owner.execute(EMPTY)


# By the owner, past the triggers that keep books from being emptied.
EMPTY = """
    DO $$
    DECLARE
        sealed regclass[] := ARRAY(
            SELECT tgrelid::regclass FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 32 = 32);
        kept text[] := ARRAY['django_migrations', 'django_content_type', 'auth_permission'];
        name regclass;
    BEGIN
        SET LOCAL lock_timeout = '20s';
        FOREACH name IN ARRAY sealed LOOP EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', name); END LOOP;
        EXECUTE (
            SELECT format('TRUNCATE %s', string_agg(oid::regclass::text, ', ')) FROM pg_class
            WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace
                AND relname <> ALL(kept));
        FOREACH name IN ARRAY sealed LOOP EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', name); END LOOP;
    END
    $$
"""


def close_connections() -> None:
    """Of this thread, and of the one in which asynchronous code uses the ORM, after what it is at. Cancelling who awaits a
    query does not end it; one that is met by the closed database of no test leaves its transaction open for all that follow.
    """
    SyncToAsync.single_thread_executor.submit(connections.close_all).result(30)
    connections["default"].close()


@pytest.fixture
async def pool(committed_db: None, postgres: Postgres) -> AsyncIterator[Pool]:
    pool = make_pool(postgres.app_url)
    await pool.open()
    yield pool
    await pool.close()
