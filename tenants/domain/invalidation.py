"""Telling every queen process that what it remembers is stale.

Messages on the channel: `key:<kid>`, `keys` (any of them: a tenant or plan changed), `models`, `hives`, `policies`,
`billing` (a tenant's money), `consent:<tenant>:<end user>`. A message that is lost costs at most the 5 s for which anything is remembered.
"""

from __future__ import annotations

import logging
from functools import lru_cache

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction

CHANNEL = "rbee:invalidate"
TIMEOUT_S = 1.0

logger = logging.getLogger(__name__)


def announce_after_commit(message: str) -> None:
    """Sent once the transaction that calls this has committed, so that nobody reads the old state again."""
    transaction.on_commit(lambda: _announce(message))


def _announce(message: str) -> None:
    try:
        settings.RBEE.require("redis_url")
        _client(settings.RBEE.redis_url).publish(CHANNEL, message)
    except (redis.RedisError, ImproperlyConfigured) as error:
        logger.warning("%s was not announced (%s): queens know it within 5 s", message, type(error).__name__)


@lru_cache(maxsize=4)
def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S)
