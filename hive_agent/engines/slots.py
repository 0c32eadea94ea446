"""Places to compute, given out in the order of asking. One task may need several (one for each of its choices)."""

from __future__ import annotations

import asyncio
from collections import deque


class Slots:
    def __init__(self, count: int) -> None:
        self.count = count
        self.free = count
        self.waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def take(self, wanted: int) -> int:
        """Waits; returns how many were taken: never more than there are. To be given back by `give`."""
        wanted = min(max(wanted, 1), self.count)
        if self.free >= wanted and not self.waiting:
            self.free -= wanted
            return wanted
        turn = asyncio.get_running_loop().create_future()
        entry = (wanted, turn)
        self.waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give(wanted)
            else:
                self.waiting.remove(entry)
                self._serve()
            raise
        return wanted

    def give(self, taken: int) -> None:
        self.free += taken
        self._serve()

    def _serve(self) -> None:
        while self.waiting:
            wanted, turn = self.waiting[0]
            if wanted > self.free:
                return
            self.waiting.popleft()
            if not turn.done():
                self.free -= wanted
                turn.set_result(None)
