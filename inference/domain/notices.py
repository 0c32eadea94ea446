"""Tell hives, after the commit, that something changed. Queens are told by `tenants.domain.invalidation`.

A notice that is lost costs no more than the seconds until a hive reads its placements by itself, so Redis being away
never fails a change that is committed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache

import redis
from django.conf import settings
from django.db import transaction

from hive_agent import protocol
from inference.models import Hive

CONTROL_STREAM = "control"
CONTROL_LENGTH = 1000
TIMEOUT_S = 2.0

_log = logging.getLogger(__name__)


def redis_client() -> redis.Redis:
    """The queen's synchronous client, with its full access. Raises redis.RedisError when used while Redis is away."""
    settings.RBEE.require("redis_url")
    return _client(settings.RBEE.redis_url)


def tell_hives(hives: Iterable[Hive], kind: protocol.ControlKind) -> None:
    control = protocol.encode(protocol.Control(kind=kind))
    streams = [f"{hive.prefix}{CONTROL_STREAM}" for hive in hives]

    def send() -> None:
        try:
            for stream in streams:
                redis_client().xadd(
                    stream, {protocol.CONTROL_FIELD: control}, maxlen=CONTROL_LENGTH, approximate=True
                )
        except redis.RedisError as error:
            _log.warning("hives were not told (%s), they will find out by themselves", type(error).__name__)

    transaction.on_commit(send)


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
