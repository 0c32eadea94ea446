"""The way back."""

from __future__ import annotations

from inference.transport.resp import RedisPipe


class TokenReader:
    """One per process, with a connection of its own."""

    def __init__(self, pipe: RedisPipe, queen: str) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError
