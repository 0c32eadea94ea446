"""What the agent and the runner tell each other, each in a file that it replaces as a whole (see folder.Folder)."""

from __future__ import annotations

from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from hive_agent.folder import write_private


class WorkerEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A worker as the runner needs it."""

    id: str
    model: str
    engine: str
    url: str
    key: str
    slots: int
    capacity: int
    is_ready: bool


class WorkerTable(msgspec.Struct, frozen=True, kw_only=True):
    """Written by the agent."""

    clock_ahead_ms: int = 0  # the queen's clock less this machine's
    is_draining: bool = False
    workers: list[WorkerEntry] = []


class WorkerGauges(msgspec.Struct, frozen=True, kw_only=True):
    in_flight: int
    ttft_ms: int


class RunnerState(msgspec.Struct, frozen=True, kw_only=True):
    """Written by the runner at least each second: one that is older means that the process hangs."""

    pid: int
    epoch: int
    at_ms: int
    is_draining: bool
    in_flight: int
    probe: str  # the last probe that came through the queue
    workers: dict[str, WorkerGauges] = {}


State = TypeVar("State", WorkerTable, RunnerState)


class SharedFile(Generic[State]):
    """Reads only when the file changed: a call costs one `stat`."""

    def __init__(self, path: Path, kind: type[State]) -> None:
        self.path = path
        self.decoder: msgspec.json.Decoder[State] = msgspec.json.Decoder(kind)
        self.seen: tuple[int, int] | None = None
        self.state: State | None = None

    def read(self) -> State | None:
        try:
            stat = self.path.stat()
            seen = (stat.st_ino, stat.st_mtime_ns)
            if seen != self.seen:
                self.state = self.decoder.decode(self.path.read_bytes())
                self.seen = seen
        except (OSError, msgspec.DecodeError):
            self.state, self.seen = None, None
        return self.state

    def write(self, state: State) -> None:
        write_private(self.path, msgspec.json.encode(state))
