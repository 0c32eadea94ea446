"""`POST /v1/chat/completions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hive_agent.protocol import Endpoint
from inference.api import text
from inference.api.exchange import Exchange
from inference.api.wire import ChatRequest, Reader

if TYPE_CHECKING:
    from inference.api.queen import Queen

_reader = Reader(ChatRequest)


async def create_chat_completion(queen: Queen, exchange: Exchange) -> None:
    await text.answer(queen, exchange, reader=_reader, endpoint=Endpoint.CHAT, id_prefix="chatcmpl-")
