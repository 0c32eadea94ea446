"""`POST /v1/completions`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hive_agent.protocol import Endpoint
from inference.api import text
from inference.api.exchange import Exchange
from inference.api.wire import CompletionRequest, Reader

if TYPE_CHECKING:
    from inference.api.queen import Queen

_reader = Reader(CompletionRequest)


async def create_completion(queen: Queen, exchange: Exchange) -> None:
    await text.answer(queen, exchange, reader=_reader, endpoint=Endpoint.COMPLETIONS, id_prefix="cmpl-")
