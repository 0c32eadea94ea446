"""What an engine is to the rest of the hive: a process that serves one model over loopback HTTP.

The agent starts it (`command`) and asks `GET /health` until it answers 200. The runner sends every task as a streamed
request (`translate`), reads server-sent events, and takes from each what the engine counted so far (`Counter`).
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import msgspec

from hive_agent.protocol import Endpoint, TaskError

Option = str | int | float | bool

PATHS = {Endpoint.CHAT: "/v1/chat/completions", Endpoint.COMPLETIONS: "/v1/completions"}
TASK_HEADER = "X-Rbee-Task"  # `<task>:<attempt>`, for the engine's log and its aborts
ABORT_PATH = "/abort"


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine process is told, as one JSON line on its standard input. The input stays open: its end means that
    the agent is gone."""

    host: str
    port: int
    key: str  # the bearer key that requests must carry
    model_path: str  # empty when the engine has no file
    log: str
    options: dict[str, Option]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Body of a healthy engine's `GET /health`."""

    slots: int  # tasks that it computes at once; more wait inside
    context_tokens: int
    device: str  # cpu, cuda, rocm, metal


@dataclass(slots=True)
class Counts:
    """What the engine counted for one task up to a moment."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    engine_ms: int = 0

    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
            "engine_ms": self.engine_ms,
        }


class PromptTokensDetails(msgspec.Struct):
    cached_tokens: int | None = 0


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: PromptTokensDetails | None = None


class EngineError(msgspec.Struct):
    message: str = ""
    type: str | None = None
    code: int | str | None = None
    param: str | None = None


class Event(msgspec.Struct):
    """One server-sent event of an engine, as far as every engine has it. `choices` passes through as it is."""

    choices: msgspec.Raw = msgspec.Raw(b"")
    usage: Usage | None = None
    error: EngineError | None = None
    aborted: bool = False  # the last event of a task that was aborted


class Counter:
    """Counts of one task from events that carry the usage up to them (`continuous_usage_stats`)."""

    def __init__(self) -> None:
        self.counts = Counts()

    def read(self, data: bytes) -> Event:
        """Decode the data of one event and take its counts. Raises msgspec.DecodeError."""
        event = decode_event(data)
        if event.usage is not None:
            self.take(event.usage)
        return event

    def take(self, usage: Usage) -> None:
        self.counts.prompt_tokens = usage.prompt_tokens
        self.counts.completion_tokens = usage.completion_tokens or 0
        if usage.prompt_tokens_details is not None:
            self.counts.cached_tokens = usage.prompt_tokens_details.cached_tokens or 0


class Engine(ABC):
    name: ClassVar[str]
    capability: ClassVar[str] = "text-gen"
    has_file: ClassVar[bool] = True  # a placement's source names the model's file
    may_be_default: ClassVar[bool] = True
    tasks_per_slot: ClassVar[int] = 16  # taken at once, most of them to wait
    options: ClassVar[Mapping[str, type]] = {}  # that a placement may set

    @abstractmethod
    def command(self) -> list[str]: ...

    def translate(self, endpoint: str, request: bytes) -> bytes:
        """The client's JSON body as this engine takes it: streamed, with usage in every event."""
        fields = msgspec.json.decode(request, type=dict[str, msgspec.Raw])
        fields["stream"] = TRUE
        fields["stream_options"] = msgspec.Raw(b'{"include_usage":true,"continuous_usage_stats":true}')
        return msgspec.json.encode(fields)

    def counter(self, request: bytes) -> Counter:
        return Counter()

    def explain(self, status: int, error: EngineError) -> TaskError:
        """The OpenAI error for what the engine answered."""
        if status >= 500:
            return TaskError(500, "server_error", "worker_error", "The worker failed while answering.")
        code = error.code if isinstance(error.code, str) else "invalid_value"
        return TaskError(
            status, "invalid_request_error", code, error.message or "The request is invalid.", error.param
        )

    def check_options(self, options: Mapping[str, Option]) -> str:
        """Empty, or what is wrong with them."""
        for name, value in options.items():
            if name not in self.options:
                return f"{self.name} has no option {name!r}: it takes {', '.join(sorted(self.options)) or 'none'}"
            wanted = self.options[name]
            fits = isinstance(value, (int, float)) if wanted is float else isinstance(value, wanted)
            if not fits or (isinstance(value, bool) and wanted is not bool):
                return f"option {name!r} of {self.name} takes {wanted.__name__}, not {value!r}"
        return ""


@dataclass(slots=True, frozen=True)
class PythonModule:
    """An engine that is a Python program of ours in an environment that has its library."""

    module: str
    python: Path = field(default_factory=lambda: Path(sys.executable))

    def command(self) -> list[str]:
        return [str(self.python), "-m", self.module]


TRUE = msgspec.Raw(b"true")
decode_event = msgspec.json.Decoder(Event).decode
decode_health = msgspec.json.Decoder(Health).decode
