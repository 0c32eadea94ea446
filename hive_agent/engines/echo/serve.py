"""The process of the echo engine. A token is a word with the space before it."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator

import msgspec

from hive_agent.engines.base import EngineError, Health, Launch, PromptTokensDetails, Usage
from hive_agent.engines.server import Backend, Job, Rejected, bind_to_agent, serve
from hive_agent.protocol import Endpoint

DEFAULT_SLOTS = 128
DEFAULT_CONTEXT_TOKENS = 1 << 20
_WORD = re.compile(r"\s*\S+")


class _Message(msgspec.Struct):
    content: str | list[dict[str, object]] | None = ""


class _Request(msgspec.Struct):
    messages: list[_Message] = []
    prompt: str = ""
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class EchoBackend(Backend):
    def __init__(self, launch: Launch) -> None:
        options = launch.options
        self.tokens = int(options.get("tokens", 0))
        self.delay_s = float(options.get("delay_ms", 0)) / 1000
        self.health = Health(
            slots=int(options.get("slots", DEFAULT_SLOTS)),
            context_tokens=int(options.get("context_tokens", DEFAULT_CONTEXT_TOKENS)),
            device="cpu",
        )

    async def stream(self, job: Job) -> AsyncIterator[list[bytes]]:
        request = self._decode(job.request)
        is_chat = job.endpoint == Endpoint.CHAT
        texts = [_text(message) for message in request.messages] if is_chat else [request.prompt]
        prompt_tokens = sum(len(_WORD.findall(text)) for text in texts)
        if prompt_tokens > self.health.context_tokens:
            message = f"The prompt has {prompt_tokens} tokens, the model takes {self.health.context_tokens}."
            raise Rejected(
                400, EngineError(message=message, code="context_length_exceeded", param="messages")
            )
        words = _WORD.findall(texts[-1] if texts else "") or ["."]
        limit = request.max_completion_tokens or request.max_tokens
        wanted = self.tokens or len(words)
        total = min(wanted, limit) if limit else wanted
        usage = Usage(prompt_tokens, 0, PromptTokensDetails(0))
        began = asyncio.get_running_loop().time()
        for number, word in enumerate(itertools.islice(itertools.cycle(words), total)):
            if self.delay_s:
                await asyncio.sleep(began + (number + 1) * self.delay_s - asyncio.get_running_loop().time())
            elif number % 16 == 0:
                await asyncio.sleep(0)  # other tasks take their turn
            if job.aborted:
                return
            usage.completion_tokens = number + 1
            job.counter.take(usage)
            yield [
                _chunk(
                    is_chat,
                    {"role": "assistant", "content": word} if number == 0 else {"content": word},
                    usage,
                )
            ]
        yield [_chunk(is_chat, {}, usage, "length" if total < wanted else "stop")]

    def _decode(self, request: bytes) -> _Request:
        try:
            return decode_request(request)
        except msgspec.DecodeError as error:
            raise Rejected(400, EngineError(message=str(error), code="invalid_value")) from None


def _text(message: _Message) -> str:
    if isinstance(message.content, str):
        return message.content
    parts = message.content or []
    return " ".join(str(part.get("text", "")) for part in parts)


def _chunk(is_chat: bool, delta: dict[str, str], usage: Usage, finish_reason: str | None = None) -> bytes:
    choice: dict[str, object] = {"index": 0, "finish_reason": finish_reason}
    if is_chat:
        choice["delta"] = delta
    else:
        choice["text"] = delta.get("content", "")
        choice["logprobs"] = None
    return msgspec.json.encode({"choices": [choice], "usage": usage})


decode_request = msgspec.json.Decoder(_Request).decode

if __name__ == "__main__":
    bind_to_agent()
    serve(EchoBackend)
