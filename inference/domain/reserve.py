"""Limits, taken and given back in Redis, atomically over all queen processes."""

from __future__ import annotations

from inference.transport.resp import RedisPipe


class Reserver:
    def __init__(self, pipe: RedisPipe, queen: str) -> None:
        raise NotImplementedError

    async def used_today(self, tenant_id: str) -> int:
        """Tokens of a tenant since midnight UTC, at most 1 s old. Raises TaskFailed while counters are rebuilt."""
        raise NotImplementedError
