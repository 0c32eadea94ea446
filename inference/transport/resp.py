"""Redis for the queen's hot path."""

from __future__ import annotations

import asyncio
from typing import Any


class RedisDown(Exception):
    pass


class RedisError(Exception):
    """What Redis answered."""


class RedisPipe:
    def __init__(self, url: str) -> None:
        raise NotImplementedError

    async def connect(self) -> None:
        raise NotImplementedError

    def call(self, *args: bytes | str | int | float) -> asyncio.Future[Any]:
        raise NotImplementedError

    def send(self, *args: bytes | str | int | float) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError
