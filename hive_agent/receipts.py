"""Receipts on their way from the spool to the queen's books: signed, in batches, for as long as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hive_agent import clock
from hive_agent.errors import HiveError
from hive_agent.protocol import VERSION, ReceiptAnswer, ReceiptBatch, SignedReceipt
from hive_agent.queen import Queen
from hive_agent.spool import Spool, Unsent

log = logging.getLogger(__name__)

BATCH = 256
POLL_S = 0.02
RETRY_S = (0.5, 1, 2, 5, 10, 30)


class ReceiptSender:
    def __init__(self, spool: Spool, queen: Queen, key: Ed25519PrivateKey) -> None:
        self.spool = spool
        self.queen = queen
        self.key = key
        self.failures = 0

    async def run(self) -> None:
        """For ever."""
        seen = -1
        while True:
            version = self.spool.data_version()
            if version == seen:
                await asyncio.sleep(POLL_S)
                continue
            if await self.send_once() == 0:
                seen = version

    async def flush(self, timeout_s: float) -> int:
        """Send what is there; returns how many are left."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.spool.unsent(1):
                    await self.send_once()
        except TimeoutError:
            pass
        return self.spool.counts().get("closed", 0)

    async def send_once(self) -> int:
        """How many there were to send. Waits after a failure, longer each time."""
        unsent = self.spool.unsent(BATCH)
        if not unsent:
            return 0
        try:
            answer = await self.queen.settle(self._batch(unsent))
        except HiveError as error:
            await self._wait(str(error))
            return len(unsent)
        if self._take(unsent, answer) == 0:
            await self._wait("the queen booked none of them")
        else:
            self.failures = 0
        return len(unsent)

    def _batch(self, unsent: Iterable[Unsent]) -> ReceiptBatch:
        return ReceiptBatch(
            VERSION, [SignedReceipt(each.payload, self.key.sign(each.payload)) for each in unsent]
        )

    def _take(self, unsent: list[Unsent], answer: ReceiptAnswer) -> int:
        settled = set(answer.settled)
        booked = [each for each in unsent if each.task in settled]
        if booked:
            self.spool.forget(booked)
        for refused in answer.refused:
            log.error(
                "the queen refused the receipt of task %s: %s (%s)",
                refused.task,
                refused.message,
                refused.code,
            )
        if answer.refused:
            self.spool.set_aside(answer.refused, clock.now_ms())
        return len(booked) + len(answer.refused)

    async def _wait(self, why: str) -> None:
        if self.failures == 0:
            log.warning("receipts wait in the spool: %s", why)
        delay_s = RETRY_S[min(self.failures, len(RETRY_S) - 1)]
        self.failures += 1
        await asyncio.sleep(delay_s)
