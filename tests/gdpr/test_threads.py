from collections.abc import AsyncIterator

import pytest
from django.db import OperationalError, connection, connections

from gdpr.scope import colony_tx
from gdpr.threads import in_thread


@pytest.fixture(autouse=True)
async def closed_in_the_end(committed_db: None) -> AsyncIterator[None]:
    yield
    await in_thread(connections.close_all)()


async def test_connection_that_broke_is_replaced() -> None:
    with pytest.raises(OperationalError):
        await in_thread(end_session)()

    assert await in_thread(answer)() == 42


async def test_connection_that_broke_between_two_calls_fails_one_of_them() -> None:
    await in_thread(break_connection)()

    with pytest.raises(OperationalError):
        await in_thread(answer)()
    assert await in_thread(answer)() == 42


def answer() -> int:
    with colony_tx("tests"), connection.cursor() as cursor:
        cursor.execute("SELECT 42")
        return int(cursor.fetchone()[0])


def end_session() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def break_connection() -> None:
    """As a server that went away leaves it."""
    answer()
    connection.connection.close()
