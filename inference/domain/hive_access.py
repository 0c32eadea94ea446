"""Each hive's user in Redis: confined to the keys under the hive's prefix, no channels, no look at what others do.

Redis keeps users in memory only and may lose them; PostgreSQL has what is needed to make them again
(`hives.restore_hive_acls`). A user's name ends in the time at which it was made, so that a sweep can tell a left-over
from one whose hive is just joining.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import redis

from inference.domain.errors import RedisUnreachable
from inference.domain.notices import redis_client

# A stock Celery worker needs no more. Left out beyond the dangerous ones: SCAN, KEYS and RANDOMKEY name the keys of
# others, DBSIZE, MEMORY and PUBSUB tell of them, SCRIPT FLUSH and KILL hit the queen's own scripts.
COMMANDS = (
    "+@all", "-@dangerous", "-@admin", "-keys", "-scan", "-randomkey", "-dbsize", "-memory", "-pubsub", "-swapdb",
    "-flushall", "-flushdb", "-config", "-script", "+script|load",
)  # fmt: skip
USER_PREFIX = "hive-"
JOINING_S = 60  # how long a user may stand before its hive is committed


def make_username(hive_id: UUID) -> str:
    return f"{USER_PREFIX}{hive_id.hex}-{int(time.time()):x}-{secrets.token_hex(4)}"


def grant(username: str, password: str, prefix: str) -> None:
    """Raises RedisUnreachable."""
    with _reachable():
        _execute(*_set_user(username, password, prefix))


def grant_all(users: Iterable[tuple[str, str, str]]) -> None:
    """`users`: name, password, prefix. Connections that are open stay so. Raises RedisUnreachable."""
    with _reachable():
        pipe = redis_client().pipeline(transaction=False)
        for user in users:
            pipe.execute_command(*_set_user(*user))  # type: ignore[no-untyped-call]
        pipe.execute()


def revoke(*usernames: str) -> None:
    """Ends their connections too. Raises RedisUnreachable."""
    if usernames:
        with _reachable():
            _execute("ACL", "DELUSER", *usernames)


def left_over(current: set[str]) -> list[str]:
    """Users of hives that are none of `current` and not just joining."""
    with _reachable():
        users = [name.decode() for name in _execute("ACL", "USERS")]
    oldest_joining = time.time() - JOINING_S
    return [
        name
        for name in users
        if name.startswith(USER_PREFIX) and name not in current and _made_at_s(name) < oldest_joining
    ]


def forget_keys(prefix: str, *names: str) -> None:
    with _reachable():
        redis_client().unlink(*(f"{prefix}{name}" for name in names))


def _execute(*command: str) -> Any:
    return redis_client().execute_command(*command)  # type: ignore[no-untyped-call]


def _set_user(username: str, password: str, prefix: str) -> tuple[str, ...]:
    return (
        "ACL",
        "SETUSER",
        username,
        "reset",
        "on",
        f">{password}",
        f"~{prefix}*",
        "resetchannels",
        *COMMANDS,
    )


def _made_at_s(username: str) -> int:
    try:
        return int(username.split("-")[2], 16)
    except (IndexError, ValueError):
        return 0


@contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        raise RedisUnreachable(f"Redis does not answer as it should, nothing was changed: {error}") from error
