"""The operating-system process of one engine: started, waited for, watched, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import secrets
import signal
import socket
from pathlib import Path

import aiohttp
import msgspec

from hive_agent.engines.base import Engine, Health, Launch, Option, decode_health
from hive_agent.errors import EngineFailed

HOST = "127.0.0.1"
PORTS = range(7855, 7900)
HEALTH_TIMEOUT_S = 2.0
LOAD_POLL_S = 0.05
WATCH_INTERVAL_S = 2.0
SILENT_CHECKS = 3
LOAD_TIMEOUT_S = 1800.0
KEPT_OUTPUT_BYTES = 4000

_ports_in_use: set[int] = set()


class EngineProcess:
    def __init__(self, engine: Engine, model: Path | None, options: dict[str, Option], log: Path) -> None:
        self.engine = engine
        self.key = secrets.token_urlsafe(32)
        self.port = _free_port()
        self.launch = Launch(
            host=HOST,
            port=self.port,
            key=self.key,
            model_path=str(model) if model else "",
            log=str(log),
            options=options,
        )
        self.process: asyncio.subprocess.Process | None = None
        self.output = b""
        self.reading: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self.process.pid if self.process else 0

    async def start(self) -> Health:
        """Until it is healthy. Raises EngineFailed with the last that it said."""
        self.process = await asyncio.create_subprocess_exec(
            *self.engine.command(),
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the agent, which drains
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.reading = asyncio.create_task(self._read(self.process.stdout), name="engine output")
        self.process.stdin.write(msgspec.json.encode(self.launch) + b"\n")
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_S):
                return await self._healthy()
        except TimeoutError:
            raise EngineFailed(f"{self.engine.name} did not start within {LOAD_TIMEOUT_S:.0f} s") from None

    async def watch(self) -> None:
        """Returns never: raises EngineFailed when it died or hangs."""
        assert self.process is not None
        silent = 0
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(WATCH_INTERVAL_S):
                        await self.process.wait()
                    raise EngineFailed(f"{self.engine.name} ended with status {self.process.returncode}")
                silent = 0 if await self._health(session) else silent + 1
                if silent >= SILENT_CHECKS:
                    raise EngineFailed(f"{self.engine.name} hung and was stopped")

    async def stop(self) -> None:
        _ports_in_use.discard(self.port)
        if self.reading is not None:
            self.reading.cancel()
        if self.process is None or self.process.returncode is not None:
            return
        self.kill()
        await self.process.wait()

    def kill(self) -> None:
        """It, and what it started. It keeps nothing that would have to be saved."""
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def _healthy(self) -> Health:
        assert self.process is not None
        async with aiohttp.ClientSession() as session:
            while True:
                if self.process.returncode is not None:
                    await asyncio.wait([self.reading] if self.reading else [], timeout=1)
                    raise EngineFailed(f"{self.engine.name} did not start: {_last_line(self.output)}")
                if health := await self._health(session):
                    return health
                await asyncio.sleep(LOAD_POLL_S)

    async def _health(self, session: aiohttp.ClientSession) -> Health | None:
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                headers = {"Authorization": f"Bearer {self.key}"}
                async with session.get(f"{self.url}/health", headers=headers) as response:
                    content = await response.read()
                    return decode_health(content) if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.DecodeError):
            return None

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while received := await stream.read(4096):
            self.output = (self.output + received)[-KEPT_OUTPUT_BYTES:]


def _free_port() -> int:
    for port in random.sample(PORTS, len(PORTS)):  # in no order: another agent of this machine asks, too
        if port not in _ports_in_use and _is_free(port):
            _ports_in_use.add(port)
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _last_line(output: bytes) -> str:
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][-300:] if lines else "it said nothing"
