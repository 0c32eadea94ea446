"""A hive as it runs in the field: `python -m hive_agent run`, with its children."""

import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from hive_agent.join import join
from hive_agent.protocol import Control, ControlKind, Placement
from tests.hive_agent.queen import TOKEN, Queen, wait_for
from tests.hive_agent.redis_server import RedisServer

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class LogLine:
    """What an engine says of one request."""

    task: str
    outcome: str
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def usage(self) -> dict[str, int]:
        return {
            "prompt_tokens": self.prompt_tokens,
            "cached_tokens": self.cached_tokens,
            "completion_tokens": self.completion_tokens,
        }


class Hive:
    def __init__(self, folder: Path, queen: Queen, python: str = "") -> None:
        """`python` has the packages installed; without it this one is told where they lie."""
        self.folder = folder
        self.command = [python or sys.executable, "-m", "hive_agent"]
        self.environment = bare_environment() if python else environment()
        self.queen = queen
        self.process: subprocess.Popen[bytes] | None = None
        self.log = folder.parent / f"{folder.name}.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "run", "--dir", str(self.folder)],
                env=self.environment,
                cwd=self.folder.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def place(
        self,
        engine: str = "echo",
        source: str = "",
        *,
        wait: bool = True,
        **options: str | int | float | bool,
    ) -> str:
        """Start a worker, wait until it is ready, and return its id."""
        worker = uuid.uuid4().hex
        placement = Placement(
            worker=worker,
            model="the-model",
            engine=engine,
            source=source,
            capability="text-gen",
            options=options,
        )
        self.queen.placements = [*self.queen.placements, placement]
        self.queen.tell(Control(ControlKind.PLACEMENTS))
        if not wait:
            return worker
        try:
            self.queen.wait_ready(worker)
        except AssertionError:
            raise AssertionError(f"not ready: {self.queen.worker(worker)}\n{self.output}") from None
        return worker

    def celery(self) -> psutil.Process:
        return self._child("celery")

    def engine(self, worker: str) -> psutil.Process:
        report = self.queen.worker(worker)
        assert report is not None
        return psutil.Process(report.pid)

    def log_line(self, worker: str, task: str) -> LogLine:
        path = self.folder / "log" / f"engine-{worker}.log"
        found = wait_for(lambda: [line for line in path.read_text().splitlines() if f"task={task} " in line])
        values = dict(re.findall(r"(\w+)=(\S+)", found[-1]))
        return LogLine(
            task,
            values["outcome"],
            int(values["prompt_tokens"]),
            int(values["cached_tokens"]),
            int(values["completion_tokens"]),
        )

    def engine_usage(self, worker: str, task: str) -> dict[str, int]:
        """By the engine's log; zeros for a task that was cancelled before the engine saw it."""
        log = (self.folder / "log" / f"engine-{worker}.log").read_text()
        if f"task={task} " not in log:
            return {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0}
        return self.log_line(worker, task).usage

    @property
    def output(self) -> str:
        celery = self.folder / "log" / "celery.log"
        return self.log.read_text() + (celery.read_text() if celery.exists() else "")

    def stop(self, timeout_s: float = 60) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def kill(self) -> list[psutil.Process]:
        """SIGKILL of the agent alone; returns the children that it had."""
        assert self.process is not None
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        return children

    def _child(self, word: str) -> psutil.Process:
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            if word in " ".join(child.cmdline()):
                return child
        raise AssertionError(f"no {word} below the agent")


@contextmanager
def running_hive(folder: Path, server: RedisServer, python: str = "") -> Iterator[Hive]:
    queen = Queen(server)
    queen.start()
    hive = Hive(folder / "hive", queen, python)
    try:
        join(queen.url, TOKEN, hive.folder, "attic")
        hive.start()
        yield hive
    finally:
        if hive.process is not None:
            try:
                hive.stop()
            except subprocess.TimeoutExpired:
                hive.kill()
        queen.stop()


def environment() -> dict[str, str]:
    """As where the packages are not installed but lie in the tree."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
    return {**os.environ, "PYTHONPATH": path}


def bare_environment() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
