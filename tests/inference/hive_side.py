"""What a hive does: over HTTP to the queen, and in Redis with its own user."""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec
import redis
from django.http import HttpResponse
from django.test import Client

from hive_agent import protocol


def join(client: Client, request: protocol.JoinRequest) -> HttpResponse:
    return client.post("/hive/v1/join", msgspec.json.encode(request), "application/json")


def ask_placements(client: Client, credential: str) -> HttpResponse:
    return client.get("/hive/v1/placements", headers={"authorization": f"Bearer {credential}"})


def redis_of(access: protocol.RedisAccess, redis_url: str) -> redis.Redis:
    """`redis_url` is the queen's: the same server under the hive's name."""
    parts = urlsplit(redis_url)
    return redis.Redis(
        host=parts.hostname or "", port=parts.port or 0, username=access.username, password=access.password
    )
