import asyncio

import pytest
from django.db import OperationalError, connection
from pytest_django import DjangoDbBlocker

from gdpr.scope import colony_tx
from gdpr.threads import in_thread
from tests.conftest import close_connections

pytestmark = pytest.mark.usefixtures("committed_db")


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


def linger() -> None:
    with colony_tx("tests"), connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.3)")


async def test_query_whose_caller_gave_up_leaves_no_transaction_to_later_tests(
    django_db_blocker: DjangoDbBlocker,
) -> None:
    waiting = asyncio.create_task(in_thread(linger)())
    await asyncio.sleep(0.1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    await asyncio.to_thread(close_connections)  # as at the end of a test
    with django_db_blocker.block():
        await asyncio.sleep(0.4)

    assert not await in_thread(is_in_transaction)()


def is_in_transaction() -> bool:
    connection.ensure_connection()
    return not connection.get_autocommit()
