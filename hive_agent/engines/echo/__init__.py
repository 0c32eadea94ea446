"""An engine for load tests: it says the last message again, word by word. It computes nothing and is never a default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from hive_agent.engines.base import Engine, PythonModule


class Echo(Engine):
    name: ClassVar[str] = "echo"
    has_file: ClassVar[bool] = False
    may_be_default: ClassVar[bool] = False
    tasks_per_slot: ClassVar[int] = 1
    options: ClassVar[Mapping[str, type]] = {
        "tokens": int,  # how many to say; default: as many as the message has
        "delay_ms": float,  # between two tokens
        "slots": int,
        "capacity": int,
        "context_tokens": int,
    }

    def command(self) -> list[str]:
        return PythonModule("hive_agent.engines.echo.serve").command()


ENGINE = Echo()
