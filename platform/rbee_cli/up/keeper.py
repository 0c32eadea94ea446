"""Keeps processes running: starts again what ended, later and later while it keeps ending."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rbee_cli.up.orphans import write_table
from rbee_cli.up.process import Process, rotate

BACKOFF_S = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 60.0  # a process that ran for this long begins again at the shortest pause
ROTATE_EVERY_S = 10.0


@dataclass
class Kept:
    process: Process
    restart: Callable[[], Process]  # starts a process in place of one that ended
    failures: int = 0
    started_at: float = field(default_factory=time.monotonic)
    due_at: float | None = None  # of the next start, while it is down


class Keeper:
    """`say(text, detail)` puts what happened before the operator."""

    def __init__(self, table: Path, say: Callable[[str, str], None]) -> None:
        self._table = table
        self._say = say
        self._kept: dict[str, Kept] = {}
        self._rotated_at = time.monotonic()

    def add(self, process: Process, restart: Callable[[], Process] | None = None) -> None:
        self._kept[process.name] = Kept(process, restart or _start_again(process))
        self._write_table()

    def process(self, name: str) -> Process | None:
        kept = self._kept.get(name)
        return kept.process if kept else None

    def names(self) -> list[str]:
        return list(self._kept)

    def ended(self) -> list[Process]:
        return [kept.process for kept in self._kept.values() if not kept.process.is_running]

    def tend(self) -> None:
        """To be called a few times each second."""
        now = time.monotonic()
        for name, kept in self._kept.items():
            if kept.due_at is not None:
                if now >= kept.due_at:
                    self._start(name, kept)
            elif not kept.process.is_running:
                self._schedule(name, kept, now)
        if now - self._rotated_at > ROTATE_EVERY_S:
            self._rotated_at = now
            for kept in self._kept.values():
                rotate(kept.process.log)

    def forget(self) -> None:
        """After everything has stopped: the next start has nothing to end."""
        self._kept.clear()
        self._table.unlink(missing_ok=True)

    def _schedule(self, name: str, kept: Kept, now: float) -> None:
        if now - kept.started_at > STEADY_S:
            kept.failures = 0
        pause_s = BACKOFF_S[min(kept.failures, len(BACKOFF_S) - 1)]
        kept.failures += 1
        kept.due_at = now + pause_s
        ended = describe_exit(kept.process.poll())
        detail = kept.process.last_lines(6) if kept.failures > 1 else ""
        self._say(f"{name} {ended}; it starts again in {pause_s:g} s; its log is {kept.process.log}", detail)

    def _start(self, name: str, kept: Kept) -> None:
        kept.due_at = None
        kept.started_at = time.monotonic()
        try:
            kept.process = kept.restart()
        except Exception as error:  # noqa: BLE001 -- whatever keeps one part down must not take the others along
            self._say(f"{name} cannot start: {error}", getattr(error, "detail", ""))
            kept.failures += 1
            kept.due_at = time.monotonic() + BACKOFF_S[min(kept.failures, len(BACKOFF_S) - 1)]
            return
        self._write_table()

    def _write_table(self) -> None:
        write_table(self._table, [kept.process for kept in self._kept.values()])


def describe_exit(code: int | None) -> str:
    if code is None:
        return "is running"
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"


def _start_again(process: Process) -> Callable[[], Process]:
    def start() -> Process:
        process.start()
        return process

    return start
