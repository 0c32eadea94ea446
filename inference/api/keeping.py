"""Listens to one answer on its way to the client, of a tenant that wants it kept. Others do not come here."""

from __future__ import annotations

import time
from collections.abc import Awaitable

from inference.api.delivery import PING
from inference.api.exchange import Exchange
from inference.domain.content_log import ANSWER_BYTES, REQUEST_BYTES, ContentLog
from inference.domain.kept_content import Gathered
from inference.domain.task import Task


class _Answer:
    """What left, up to ANSWER_BYTES."""

    __slots__ = ("_pieces", "_room", "size")

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._room = ANSWER_BYTES
        self.size = 0

    def add(self, piece: bytes) -> None:
        if piece == PING:
            return
        self.size += len(piece)
        if self._room > 0:
            self._pieces.append(piece[: self._room])
            self._room -= len(piece)

    def whole(self) -> bytes:
        return b"".join(self._pieces)


async def keep(delivery: Awaitable[None], contents: ContentLog, exchange: Exchange, task: Task) -> None:
    """Runs `delivery`. Of a task that nothing was answered to, nothing is kept."""
    at_ms, answer = time.time_ns() // 1_000_000, _Answer()
    exchange.listen(answer.add)
    try:
        await delivery
    finally:
        if answer.size:
            contents.add(
                Gathered(
                    tenant_id=task.caller.tenant_id,
                    task_id=task.id,
                    subject=task.subject,
                    request_id=task.request_id,
                    endpoint=task.endpoint,
                    model=task.model,
                    at_ms=at_ms,
                    request=task.body[:REQUEST_BYTES],
                    answer=answer.whole(),
                    request_bytes=len(task.body),
                    answer_bytes=answer.size,
                )
            )
