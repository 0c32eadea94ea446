"""Django's synchronous queries, for asynchronous code that lives outside of a request.

Django replaces a connection that broke when the next request begins. A loop that outlives requests never comes to that
point: once PostgreSQL restarted, all its queries would fail until the process ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError, connection

P = ParamSpec("P")
R = TypeVar("R")


def in_thread(query: Callable[P, R]) -> Callable[P, Awaitable[R]]:
    """`query` for `await`. Raises what it raises; the call after one that found the connection broken gets a new one."""

    @wraps(query)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return query(*args, **kwargs)
        except (OperationalError, InterfaceError):
            if not connection.in_atomic_block:
                connection.close()
            raise

    return sync_to_async(guarded)
