"""A whole colony on ephemeral ports and in a temporary folder, started and stopped as an operator would: `rbee up`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.migrated import begin_migrated
from tests.prompt import run_rbee

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT_S = 180
CURL = re.compile(r"^curl (?:[^\n]*\\\n)*[^\n]*\n", re.MULTILINE)  # the printed command, whole


class System:
    """`rbee up` with its data in `data_dir`. Not started until `start()`; `stop()` is Ctrl-C."""

    def __init__(
        self,
        data_dir: Path,
        *,
        business: bool = False,
        port: int | None = None,
        arguments: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.business = business
        self.arguments = list(arguments)
        self.home = data_dir.parent / "home"
        self.home.mkdir(exist_ok=True)
        self.process: subprocess.Popen[str] | None = None
        self.started_in_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def scheduler_file(self) -> Path:
        return self.home / ".config" / "rbee" / "scheduler.rhai"

    @property
    def operator_key(self) -> str:
        return (self.data_dir / "operator.key").read_text().strip()

    @property
    def output(self) -> str:
        return (self.data_dir.parent / "up.log").read_text()

    def start(self) -> System:
        began = time.monotonic()
        command = [*rbee(), "up", "--port", str(self.port), "--data-dir", str(self.data_dir), *self.arguments]
        if self.business:
            command.append("--business")
        with (self.data_dir.parent / "up.log").open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=self.home,
                env=self.environment(),
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
        while not CURL.search(self.output):
            if self.process.poll() is not None or time.monotonic() - began > START_TIMEOUT_S:
                raise AssertionError(f"rbee up did not start:\n{self.output}")
            time.sleep(0.05)
        self.started_in_s = time.monotonic() - began
        return self

    def stop(self) -> float:
        """Returns the seconds it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return time.monotonic() - began

    def kill(self) -> None:
        """SIGKILL of the supervisor and everything below it, as a power cut would."""
        assert self.process is not None
        for victim in [psutil.Process(self.process.pid), *self.children()]:
            with contextlib.suppress(psutil.NoSuchProcess):  # what ended when its agent did
                victim.kill()
        self.process.wait(10)

    def children(self, *words: str) -> list[psutil.Process]:
        """Processes below the supervisor whose command line holds all the words."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                line = " ".join(child.cmdline())
            except psutil.Error:
                continue
            if all(word in line for word in words):
                found.append(child)
        return found

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
        return {**kept, "HOME": str(self.home), "RBEE_QUEEN_URL": self.url, "COLUMNS": "200", "NO_COLOR": "1"}

    def run(
        self, *arguments: str, stdin: str = "", check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """`rbee ARGUMENTS` as the operator of this system."""
        env = self.environment()
        if self.business:
            env["RBEE_API_KEY"] = self.operator_key
        done = run_rbee(arguments, env=env, cwd=self.home, stdin=stdin, timeout_s=timeout_s)
        if check and done.returncode != 0:
            raise AssertionError(
                f"rbee {' '.join(arguments)} exited {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def run_json(self, *arguments: str) -> object:
        return json.loads(self.run(*arguments, "--json").stdout)

    def wait_ready(self, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready after {timeout_s} s:\n{self.output[-3000:]}")


@contextmanager
def running(
    *,
    business: bool = False,
    arguments: Sequence[str] = (),
    kind: type[System] = System,
    from_nothing: bool = False,
) -> Iterator[System]:
    """`from_nothing` also makes its tables, as the first start of an operator does."""
    # Not pytest's tmp_path: PostgreSQL runs as another user when the tests run as root, and must reach its folder.
    with tempfile.TemporaryDirectory(prefix="rbee-") as folder:
        Path(folder).chmod(0o755)
        system = kind(Path(folder) / "data", business=business, arguments=arguments)
        if not from_nothing:
            begin_migrated(system.data_dir)
        try:
            yield system.start()
        finally:
            if system.process is not None and system.process.poll() is None:
                try:
                    system.stop()
                except subprocess.TimeoutExpired:
                    system.kill()


def rbee() -> list[str]:
    return [str(Path(sys.executable).with_name("rbee"))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class JoinedHive:
    """A second machine, as far as one machine can be two: `rbee hive join` in a folder of its own."""

    def __init__(
        self, system: System, name: str, *, region: str = "", labels: dict[str, str] | None = None
    ) -> None:
        self.system = system
        self.name = name
        self.folder = system.data_dir.parent / f"hive-{name}"
        arguments = ["hive", "token", *(["--region", region] if region else [])]
        for key, value in (labels or {}).items():
            arguments += ["--label", f"{key}={value}"]
        token = system.run_json(*arguments)
        assert isinstance(token, dict)
        self.log = system.data_dir.parent / f"hive-{name}.log"
        join = [
            "hive",
            "join",
            system.url,
            "--token",
            token["token"],
            "--name",
            name,
            "--dir",
            str(self.folder),
        ]
        self.process = self._spawn(join)

    def restart(self) -> None:
        self.process = self._spawn(["hive", "run", "--dir", str(self.folder)])

    def _spawn(self, arguments: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*rbee(), *arguments],
                env=self.system.environment(),
                cwd=self.system.home,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """SIGKILL of the agent and everything below it."""
        for victim in [
            psutil.Process(self.process.pid),
            *psutil.Process(self.process.pid).children(recursive=True),
        ]:
            victim.kill()
        self.process.wait(10)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(40)
