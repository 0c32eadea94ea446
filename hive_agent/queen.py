"""The queen over HTTPS: placements and receipts."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec

from hive_agent import clock
from hive_agent.credentials import Credentials
from hive_agent.errors import QueenRefused, QueenUnreachable
from hive_agent.protocol import (
    VERSION,
    Forgotten,
    Placements,
    ReceiptAnswer,
    ReceiptBatch,
    decode_receipt_answer,
    encode,
)

TIMEOUT_S = 15
MAX_MESSAGE = 200


class Queen:
    """Every call raises QueenUnreachable or QueenRefused."""

    def __init__(self, credentials: Credentials) -> None:
        self.url = credentials.queen_url
        self.session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers={"Authorization": f"Bearer {credentials.credential}"},
        )
        self.clock_ahead_ms = 0

    async def placements(self) -> Placements:
        content = await self._call("GET", "/hive/v1/placements")
        try:
            return msgspec.json.decode(content, type=Placements)
        except msgspec.DecodeError as error:
            raise QueenRefused(f"the placements are not understood: {error}", status=200) from None

    async def forgotten(self, ids: list[str]) -> None:
        await self._call(
            "POST", "/hive/v1/forgotten", msgspec.json.encode(Forgotten(version=VERSION, ids=ids))
        )

    async def settle(self, batch: ReceiptBatch) -> ReceiptAnswer:
        content = await self._call("POST", "/hive/v1/receipts", encode(batch))
        try:
            return decode_receipt_answer(content)
        except msgspec.DecodeError as error:
            raise QueenRefused(f"the answer to receipts is not understood: {error}", status=200) from None

    async def close(self) -> None:
        await self.session.close()

    async def _call(self, method: str, path: str, data: bytes | None = None) -> bytes:
        headers = {"Content-Type": "application/msgpack"} if data is not None else {}
        asked_at_ms = clock.now_ms()
        try:
            async with self.session.request(method, self.url + path, data=data, headers=headers) as response:
                content = await response.read()
                self._compare_clocks(response.headers.get("Date"), asked_at_ms)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise QueenUnreachable(
                f"no queen answers at {self.url}: {error or type(error).__name__}"
            ) from None
        if response.status >= 300:
            raise _refusal(response.status, content)
        return content

    def _compare_clocks(self, date: str | None, asked_at_ms: int) -> None:
        if not date:
            return
        try:
            queen_at = parsedate_to_datetime(date)
        except ValueError:
            return
        queen_at_ms = int((queen_at - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
        self.clock_ahead_ms = clock.clock_ahead_ms(queen_at_ms, asked_at_ms, clock.now_ms())


def _refusal(status: int, content: bytes) -> QueenRefused:
    try:
        error = msgspec.json.decode(content, type=_Envelope).error
    except msgspec.DecodeError:
        return QueenRefused(f"the queen answered {status}", status=status)
    return QueenRefused(error.message[:MAX_MESSAGE], status=status, code=error.code or "")


class _Error(msgspec.Struct):
    message: str
    code: str | None = None


class _Envelope(msgspec.Struct):
    error: _Error
