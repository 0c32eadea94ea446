"""Which ASGI server serves the queen's lane at the least CPU: `python bench/asgi_servers.py`.

The same bare ASGI callable behind each, on one process: a POST that is read and answered with 1.5 KB of JSON, and a
stream of 100 events. Servers other than uvicorn are installed into `.venv-bench`.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from bench import entrant  # noqa: E402
from tests.system import free_port  # noqa: E402

ROUNDS = 5
SECONDS = 3
ANSWER = json.dumps({"object": "chat.completion", "content": "token " * 233}).encode()
EVENT = b"data: " + json.dumps({"choices": [{"delta": {"content": "token "}}]}).encode() + b"\n\n"

SERVERS = {
    "uvicorn (uvloop, httptools)": ["uvicorn", "bench.asgi_servers:application", "--host", "127.0.0.1", "--no-access-log",
                                    "--loop", "uvloop", "--http", "httptools", "--log-level", "error", "--port"],
    "granian (uvloop)": ["granian", "bench.asgi_servers:application", "--interface", "asgi", "--loop", "uvloop",
                         "--log-level", "error", "--port"],
    "hypercorn (uvloop)": ["hypercorn", "bench.asgi_servers:application", "--worker-class", "uvloop",
                           "--log-level", "error", "--bind"],
    "daphne": ["daphne", "bench.asgi_servers:application", "-b", "127.0.0.1", "-v", "0", "-p"],
}  # fmt: skip


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = (await receive())["body"]
    if b'"stream": true' not in body:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(ANSWER))],
            }
        )
        await send({"type": "http.response.body", "body": ANSWER})
        return
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    )
    for _ in range(100):
        await asyncio.sleep(0.005)
        await send({"type": "http.response.body", "body": EVENT, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def main() -> None:
    console = Console(width=120)
    servers = ["uvicorn", "uvloop", "httptools", "granian", "hypercorn", "daphne", "rich", "psutil", "httpx"]
    entrant.install_python("the servers", *servers)
    figures: dict[str, dict[str, list[float]]] = {}
    for number in range(ROUNDS):
        for name, command in SERVERS.items():
            console.print(f"round {number + 1}/{ROUNDS} · {name}")
            for shape, value in measure(command).items():
                figures.setdefault(name, {}).setdefault(shape, []).append(value)
    table = Table(title=f"CPU µs, median (least) of {ROUNDS} interleaved rounds")
    for heading in ("server", "per request, c16", "per streamed event, c32"):
        table.add_column(heading)
    for name, shapes in figures.items():
        table.add_row(
            name, *[f"{statistics.median(values):.0f} ({min(values):.0f})" for values in shapes.values()]
        )
    console.print(table)


def measure(command: list[str]) -> dict[str, float]:
    port = free_port()
    address = f"127.0.0.1:{port}" if command[-1] == "--bind" else str(port)
    server = subprocess.Popen(
        [str(entrant.TOOLS / "bin" / command[0]), *command[1:], address],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        entrant.wait(lambda: entrant.answers(f"http://127.0.0.1:{port}/"), "the server to answer")
        whole = load(port, stream=False, concurrency=16)
        before = entrant.cpu_s(entrant.tree(server.pid))
        requests = load(port, stream=False, concurrency=16)["requests"]
        per_request = (entrant.cpu_s(entrant.tree(server.pid)) - before) * 1e6 / max(1, requests)
        before = entrant.cpu_s(entrant.tree(server.pid))
        chunks = load(port, stream=True, concurrency=32)["chunks"]
        per_chunk = (entrant.cpu_s(entrant.tree(server.pid)) - before) * 1e6 / max(1, chunks)
        return {"request": per_request, "chunk": per_chunk} if whole["requests"] else {}
    finally:
        entrant.end(server)


def load(port: int, *, stream: bool, concurrency: int) -> dict[str, int]:
    job = {"host": "127.0.0.1", "port": port, "path": "/", "headers": {}, "model": "m", "stream": stream,
           "tokens": 100 if stream else 233, "concurrency": concurrency, "seconds": SECONDS}  # fmt: skip
    command = [sys.executable, str(ROOT / "bench" / "load.py"), json.dumps(job)]
    done: dict[str, int] = json.loads(
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
    )
    return done


if __name__ == "__main__":
    main()
