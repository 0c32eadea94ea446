"""Tell the rest of the colony, after the commit, that something changed.

A notice that is lost costs no more than the seconds until its reader looks by itself: queens read the catalog again
every 5 s, hives their placements. So Redis being away never fails a change that is committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from django.db import transaction

from hive_agent import protocol
from inference.models import Hive

INVALIDATE_CHANNEL = "rbee:invalidate"
CONTROL_STREAM = "control"
CONTROL_LENGTH = 1000
TIMEOUT_S = 2.0

_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def redis_client() -> redis.Redis[bytes]:
    """The queen's synchronous client, with its full access. Raises redis.RedisError when used while Redis is away."""
    settings.RBEE.require("redis_url")
    return redis.Redis.from_url(
        settings.RBEE.redis_url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S
    )


def tell_queens(what: str) -> None:
    """`what` is models, hives or policies."""
    _on_commit(lambda client: client.publish(INVALIDATE_CHANNEL, what))


def tell_hives(hives: Iterable[Hive], kind: protocol.ControlKind) -> None:
    control = protocol.encode(protocol.Control(kind=kind))
    streams = [f"{hive.prefix}{CONTROL_STREAM}" for hive in hives]
    field = protocol.CONTROL_FIELD

    def send(client: redis.Redis[bytes]) -> None:
        for stream in streams:
            client.xadd(stream, {field: control}, maxlen=CONTROL_LENGTH, approximate=True)

    _on_commit(send)


def _on_commit(send: Callable[[redis.Redis[bytes]], Any]) -> None:
    def run() -> None:
        try:
            send(redis_client())
        except redis.RedisError as error:
            _log.warning("could not tell the colony of a change, it will find out by itself: %s", error)

    transaction.on_commit(run)
