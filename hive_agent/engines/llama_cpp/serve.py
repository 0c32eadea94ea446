"""The process of one llama.cpp model.

llama.cpp's own HTTP server is not used: it logs in its own words, notices a lost client by polling each second, and
what it had produced for an aborted request is told to nobody. `handle_*_completions` calls back for every event, which
tells the counts and is where a request is stopped.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import psutil

from hive_agent.engines.base import Counter, EngineError, Health, Launch
from hive_agent.engines.llama_cpp.counter import LlamaCounter
from hive_agent.engines.llama_cpp.gguf import read_header
from hive_agent.engines.llama_cpp.shape import shape
from hive_agent.engines.server import Backend, Job, Rejected, bind_to_agent, serve
from hive_agent.protocol import Endpoint

DEFAULT_SLOTS = 4
DEFAULT_CONTEXT_TOKENS = 8192
TINY_BYTES = 64 << 20  # llama.cpp's threads wait for each other longer than such a model computes
BATCH_TOKENS = (
    512  # a request is looked at between batches of its prompt: small enough to abort within a second
)
CACHE_RAM_MIB = 512


class LlamaBackend(Backend):
    def __init__(self, launch: Launch) -> None:
        import xllamacpp

        slots = int(launch.options.get("slots", DEFAULT_SLOTS))
        trained_tokens = read_header(Path(launch.model_path)).context_tokens
        context_tokens = int(
            launch.options.get("context_tokens") or min(trained_tokens, DEFAULT_CONTEXT_TOKENS)
        )
        params = _params(xllamacpp, launch, slots, context_tokens)
        self.server = xllamacpp.Server(params)
        _close_http(params.hostnames[0])
        device = _device(xllamacpp)
        self.health = Health(slots=slots, context_tokens=context_tokens, device=device)
        self.threads = ThreadPoolExecutor(max_workers=slots + 4, thread_name_prefix="task")

    def choices(self, request: bytes) -> int:
        return shape(request).slots

    def counter(self, request: bytes) -> Counter:
        return LlamaCounter(shape(request).n)

    async def stream(self, job: Job) -> AsyncIterator[list[bytes]]:
        pipe = _Pipe()
        running = asyncio.get_running_loop().run_in_executor(self.threads, self._compute, job, pipe)
        is_first = True
        while chunks := await pipe.take():
            events = [job.counter.read(chunk) for chunk in chunks]
            error = events[-1].error
            if error is not None and is_first:
                await running
                raise Rejected(error.code if isinstance(error.code, int) else 500, error)
            is_first = False
            if not job.aborted:
                yield chunks
        await running

    def _compute(self, job: Job, pipe: _Pipe) -> None:
        """In a thread of its own; llama.cpp releases the GIL while it waits."""

        def on_event(data: bytes) -> bool:
            pipe.put(data)
            return job.aborted

        handle: Callable[[bytes, Callable[[bytes], bool]], None] = (
            self.server.handle_chat_completions
            if job.endpoint == Endpoint.CHAT
            else self.server.handle_completions
        )
        try:
            handle(job.request, on_event)
        except (
            ValueError,
            RuntimeError,
        ) as error:  # how it says that a field is wrong, or that it cannot parse
            pipe.put(msgspec.json.encode({"error": EngineError(message=str(error), code=400)}))
        finally:
            pipe.close()


class _Pipe:
    """From llama.cpp's thread to the loop; events that come while the loop is busy travel together."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.chunks: list[bytes] = []
        self.arrived = asyncio.Event()
        self.is_woken = False
        self.is_closed = False

    def put(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self._wake()

    def close(self) -> None:
        self.is_closed = True
        self._wake()

    async def take(self) -> list[bytes]:
        """Empty when there will be no more."""
        while not self.chunks and not self.is_closed:
            await self.arrived.wait()
            self.arrived.clear()
            self.is_woken = False
        taken, self.chunks = self.chunks, []
        return taken

    def _wake(self) -> None:
        if not self.is_woken:
            self.is_woken = True
            self.loop.call_soon_threadsafe(self.arrived.set)


def _params(xllamacpp: Any, launch: Launch, slots: int, context_tokens: int) -> Any:
    is_tiny = Path(launch.model_path).stat().st_size < TINY_BYTES
    threads = int(launch.options.get("threads") or (1 if is_tiny else psutil.cpu_count(logical=False) or 1))
    params = xllamacpp.CommonParams()
    params.model.path = launch.model_path
    params.n_ctx = context_tokens * slots
    params.n_parallel = slots
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.n_gpu_layers = int(launch.options.get("gpu_layers", -1))
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.cache_ram_mib = CACHE_RAM_MIB
    params.use_jinja = True
    params.warmup = not is_tiny
    params.verbosity = 1
    # Its HTTP server cannot be left out: a socket that nobody else can reach, a key that nobody knows.
    params.hostnames = [_private_address()]
    params.api_keys = [secrets.token_hex(16)]
    params.ui = params.endpoint_slots = params.endpoint_props = params.endpoint_metrics = False
    return params


def _private_address() -> str:
    if os.name == "nt":
        return "127.0.0.1"
    return str(Path(tempfile.mkdtemp(prefix="rbee-")) / "unused.sock")


def _close_http(address: str) -> None:
    path = Path(address)
    if path.is_absolute():
        path.unlink(missing_ok=True)
        path.parent.rmdir()


def _device(xllamacpp: Any) -> str:
    """What the wheel computes on: PyPI's is for the CPU on Linux and Windows, and for Metal on macOS."""
    for info in xllamacpp.get_device_info():
        name = str(info.get("name", "")).lower()
        for prefix, kind in (
            ("cuda", "cuda"),
            ("rocm", "rocm"),
            ("hip", "rocm"),
            ("metal", "metal"),
            ("mtl", "metal"),
        ):
            if name.startswith(prefix):
                return kind
    return "cpu"


if __name__ == "__main__":
    bind_to_agent()
    serve(LlamaBackend)
