"""llama.cpp, by the xllamacpp wheel: the embedded default, for GGUF files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import msgspec

from hive_agent.engines.base import TRUE, Engine, EngineError, PythonModule
from hive_agent.engines.llama_cpp.counter import LlamaCounter
from hive_agent.engines.llama_cpp.shape import shape
from hive_agent.protocol import TaskError

# Fields of llama.cpp's own that would let one client reach into the slots of another, or change what is counted.
_REFUSED_FIELDS = (
    "id_slot",
    "model",
    "stream_options",
    "verbose",
    "return_tokens",
    "lora",
    "sse_ping_interval",
)


class LlamaCpp(Engine):
    name: ClassVar[str] = "llama_cpp"
    options: ClassVar[Mapping[str, type]] = {
        "context_tokens": int,  # of each slot; default: the model's own, at most 8192
        "slots": int,  # tasks computed at once; default 4
        "threads": int,  # default: 1 for a tiny model, else the physical cores
        "gpu_layers": int,  # default: as many as fit
        "capacity": int,
    }

    def command(self) -> list[str]:
        return PythonModule("hive_agent.engines.llama_cpp.serve").command()

    def translate(self, endpoint: str, request: bytes) -> bytes:
        fields = msgspec.json.decode(request, type=dict[str, msgspec.Raw])
        for name in _REFUSED_FIELDS:
            fields.pop(name, None)
        if (limit := fields.pop("max_completion_tokens", None)) is not None:
            fields["max_tokens"] = limit
        fields["stream"] = TRUE
        fields["timings_per_token"] = TRUE
        fields["return_progress"] = TRUE  # an event for each batch of the prompt: moments to abort at, too
        return msgspec.json.encode(fields)

    def counter(self, request: bytes) -> LlamaCounter:
        return LlamaCounter(shape(request).n)

    def explain(self, status: int, error: EngineError) -> TaskError:
        if error.type == "exceed_context_size_error":
            message = error.message[:1].upper() + error.message[1:]
            return TaskError(400, "invalid_request_error", "context_length_exceeded", message, "messages")
        return super().explain(status, error)


ENGINE = LlamaCpp()
