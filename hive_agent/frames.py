"""From an engine's events to the answer that a client of OpenAI's API gets: SSE chunks, or one JSON body."""

from __future__ import annotations

from typing import Any

import msgspec

from hive_agent.engines.base import Counts
from hive_agent.protocol import Endpoint, TaskBody

DONE = b"data: [DONE]\n\n"
_NO_CHOICES = (b"", b"[]")


class StreamRenderer:
    """Renders one streamed answer. The engine's choices pass through as bytes, everything around them is rbee's."""

    def __init__(self, body: TaskBody) -> None:
        self.body = body
        is_chat = body.endpoint == Endpoint.CHAT
        head = {
            "id": body.answer_id,
            "object": "chat.completion.chunk" if is_chat else "text_completion",
            "created": body.created_s,
            "model": body.model,
        }
        self.head = b"data: " + msgspec.json.encode(head)[:-1] + b',"choices":'
        self.tail = b',"usage":null}\n\n' if body.include_usage else b"}\n\n"
        self.needs_role = is_chat

    def chunk(self, choices: msgspec.Raw) -> bytes:
        """Empty when the event holds nothing for the client."""
        raw = bytes(choices)
        if raw in _NO_CHOICES:
            return b""
        rendered = self.head + raw + self.tail
        if not self.needs_role:
            return rendered
        self.needs_role = False
        return rendered if b'"role"' in raw else self._role() + rendered

    def last(self, counts: Counts) -> bytes:
        """The usage, when the client asked for it, and the end."""
        if not self.body.include_usage:
            return DONE
        return self.head + b'[],"usage":' + msgspec.json.encode(usage_of(counts)) + b"}\n\n" + DONE

    def _role(self) -> bytes:
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
        return self.head + msgspec.json.encode([choice]) + self.tail


class ResultRenderer:
    """Gathers the same events into the body of an answer that is not streamed."""

    def __init__(self, body: TaskBody) -> None:
        self.body = body
        self.is_chat = body.endpoint == Endpoint.CHAT
        self.choices: dict[int, dict[str, Any]] = {}

    def add(self, choices: msgspec.Raw) -> None:
        raw = bytes(choices)
        if raw in _NO_CHOICES:
            return
        for part in msgspec.json.decode(raw):
            gathered = self.choices.setdefault(part.get("index", 0), self._empty(part.get("index", 0)))
            if part.get("finish_reason") is not None:
                gathered["finish_reason"] = part["finish_reason"]
            if part.get("logprobs"):
                gathered["logprobs"] = _joined(gathered["logprobs"], part["logprobs"])
            if self.is_chat:
                _add_delta(gathered["message"], part.get("delta") or {})
            else:
                gathered["text"] += part.get("text") or ""

    def result(self, counts: Counts) -> bytes:
        answer = {
            "id": self.body.answer_id,
            "object": "chat.completion" if self.is_chat else "text_completion",
            "created": self.body.created_s,
            "model": self.body.model,
            "choices": [self._finished(index) for index in sorted(self.choices)],
            "usage": usage_of(counts),
        }
        return msgspec.json.encode(answer)

    def _empty(self, index: int) -> dict[str, Any]:
        if self.is_chat:
            message = {"role": "assistant", "content": None}
            return {"index": index, "message": message, "logprobs": None, "finish_reason": None}
        return {"index": index, "text": "", "logprobs": None, "finish_reason": None}

    def _finished(self, index: int) -> dict[str, Any]:
        choice = self.choices[index]
        if self.is_chat and choice["message"]["content"] is None and "tool_calls" not in choice["message"]:
            choice["message"]["content"] = ""
        return choice


def usage_of(counts: Counts) -> dict[str, Any]:
    """OpenAI's `usage`."""
    return {
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "total_tokens": counts.prompt_tokens + counts.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": counts.cached_tokens},
    }


def _add_delta(message: dict[str, Any], delta: dict[str, Any]) -> None:
    for name, value in delta.items():
        if value is None:
            continue
        if name == "tool_calls":
            _add_tool_calls(message.setdefault("tool_calls", []), value)
        elif name != "role" and isinstance(value, str):
            message[name] = (message.get(name) or "") + value
        else:
            message[name] = value


def _add_tool_calls(calls: list[dict[str, Any]], deltas: list[dict[str, Any]]) -> None:
    for delta in deltas:
        index = delta.get("index", 0)
        while len(calls) <= index:
            calls.append({"id": "", "type": "function", "function": {"name": "", "arguments": ""}})
        call, function = calls[index], delta.get("function") or {}
        call["id"] = delta.get("id") or call["id"]
        call["type"] = delta.get("type") or call["type"]
        call["function"]["name"] += function.get("name") or ""
        call["function"]["arguments"] += function.get("arguments") or ""


def _joined(before: dict[str, Any] | None, more: dict[str, Any]) -> dict[str, Any]:
    """Log probabilities come as lists by name, some of them null."""
    if before is None:
        return dict(more)
    joined = dict(before)
    for name, values in more.items():
        joined[name] = (
            [*(joined.get(name) or []), *values] if isinstance(values, list) else joined.get(name) or values
        )
    return joined
