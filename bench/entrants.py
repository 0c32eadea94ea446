"""The gateways that are compared, each started, warmed and measured the same way.

CPU is user and system time of every process that serves the request on the gateway's side: for rbee the queen, Redis and
PostgreSQL; the hive and its engine stand where the others have their upstream, and are left out on both sides.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from tests.system import JoinedHive, System, free_port

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT / ".venv-bench"
LITELLM = "litellm[proxy]==1.106.2"
PORTKEY = "@portkey-ai/gateway@1.15.2"

# Node before 22 refuses to change the headers of a fetched answer, which Portkey does for every stream.
MUTABLE_HEADERS = """\
const plain = globalThis.fetch;
globalThis.fetch = async (...request) => {
  const answer = await plain(...request);
  return new Response(answer.body, { status: answer.status, headers: new Headers(answer.headers) });
};
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return typeof port === "number" ? listen.call(this, port, "127.0.0.1", ...rest.filter((x) => typeof x === "function"))
    : listen.call(this, port, ...rest);
};
"""


class Unavailable(Exception):
    """This entrant cannot run on this machine; the text says why."""


@dataclass
class Entrant:
    name: str
    features: str
    version: str
    port: int
    path: str
    headers: dict[str, str]
    whole_model: str
    stream_model: str
    processes: Callable[[], list[psutil.Process]]
    close: Callable[[], None]
    log: Path | None = None
    notes: list[str] = field(default_factory=list)

    def cpu_s(self) -> float:
        total = 0.0
        for process in self.processes():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total

    def memory_kib(self) -> int:
        """Proportional set size, so that shared pages count once."""
        total = 0
        for process in self.processes():
            try:
                total += process.memory_full_info().pss // 1024
            except psutil.Error:
                continue
        return total


def rbee(folder: Path) -> Entrant:
    folder.chmod(0o755)
    system = System(folder / "data", business=True, arguments=["--no-hive"]).start()
    hive = JoinedHive(system, "bench", region="EU")
    wait(lambda: any(row["name"] == "bench" for row in system.run_json("hive", "list")), "hive to join")
    for model, options in {
        "bench-whole": ["tokens=32", "delay_ms=0"],
        "bench-stream": ["tokens=100", "delay_ms=5"],
    }.items():
        flags = [word for option in options for word in ("--option", option)]
        system.run(
            "model", "add", "echo:", "--name", model, "--engine", "echo", "--free", "--hive", "bench", *flags
        )
    key = system.run_json("key", "create", "--name", "bench")["key"]
    assert system.process is not None

    def close() -> None:
        hive.stop()
        system.stop()

    def gateway() -> list[psutil.Process]:
        return [
            child
            for child in system.children()
            if any(word in " ".join(child.cmdline()) for word in ("uvicorn", "redis", "postgres"))
        ]

    return Entrant(
        "rbee",
        "key, limits, Rhai admission and routing, Celery dispatch, signed receipt, ledger, audit",
        "this tree",
        system.port,
        "/v1/chat/completions",
        {"authorization": f"Bearer {key}"},
        "bench-whole",
        "bench-stream",
        gateway,
        close,
    )


def litellm(folder: Path, upstream_port: int) -> Entrant:
    python = TOOLS / "bin" / "python"
    if not python.exists():
        install([sys.executable, "-m", "venv", str(TOOLS)], "the environment of the peers")
    uv = Path(sys.executable).with_name("uv")
    install(
        [
            str(uv),
            "pip",
            "install",
            "-q",
            "--python",
            str(python),
            LITELLM,
            "opentelemetry-sdk",
            "httptools",
            "uvloop",
        ],
        LITELLM,
    )
    port = free_port()
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: gpt-4o-mini\n    litellm_params:\n      model: openai/gpt-4o-mini\n"
        f"      api_base: http://127.0.0.1:{upstream_port}/v1\n      api_key: none\n"
        "general_settings:\n  master_key: sk-bench\nlitellm_settings:\n  telemetry: false\n"
    )
    log = folder / "litellm.log"
    env = {
        **os.environ,
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "DISABLE_ADMIN_UI": "True",
    }
    command = [
        str(TOOLS / "bin" / "litellm"),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    process = start([*command, "--num_workers", "1"], log, env)
    wait(lambda: answers(f"http://127.0.0.1:{port}/health/liveliness"), "LiteLLM to answer", process, log)
    return peer("LiteLLM proxy", "master key only: no database, no limits", LITELLM, port, process, log,
                {"authorization": "Bearer sk-bench"})  # fmt: skip


def portkey(folder: Path, upstream_port: int) -> Entrant:
    if shutil.which("npm") is None:
        raise Unavailable("needs npm")
    home = TOOLS / "portkey"
    server = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not server.exists():
        home.mkdir(parents=True, exist_ok=True)
        install(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home), PORTKEY], PORTKEY
        )
    port = free_port()
    shim = folder / "portkey-shim.cjs"
    shim.write_text(MUTABLE_HEADERS)
    log = folder / "portkey.log"
    process = start(
        ["node", "--require", str(shim), str(server), f"--port={port}", "--headless"], log, dict(os.environ)
    )
    wait(lambda: answers(f"http://127.0.0.1:{port}/"), "Portkey to answer", process, log)
    headers = {
        "x-portkey-provider": "openai",
        "x-portkey-custom-host": f"http://127.0.0.1:{upstream_port}/v1",
        "authorization": "Bearer none",
    }
    return peer(
        "Portkey gateway",
        "none: no authentication, no limits, no metering",
        PORTKEY,
        port,
        process,
        log,
        headers,
    )


def direct(upstream_port: int) -> Entrant:
    return Entrant("upstream", "-", "bench/upstream.py", upstream_port, "/v1/chat/completions", {}, "gpt-4o-mini",
                   "gpt-4o-mini", list, lambda: None)  # fmt: skip


def peer(
    name: str,
    features: str,
    version: str,
    port: int,
    process: subprocess.Popen[bytes],
    log: Path,
    headers: dict[str, str],
) -> Entrant:
    root = psutil.Process(process.pid)

    def close() -> None:
        for victim in [*root.children(recursive=True), root]:
            victim.kill()
        process.wait(10)

    return Entrant(name, features, version, port, "/v1/chat/completions", headers, "gpt-4o-mini", "gpt-4o-mini",
                   lambda: [root, *root.children(recursive=True)], close, log)  # fmt: skip


def install(command: list[str], what: str) -> None:
    print(f"  installing {what} …", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        raise Unavailable(f"{what} does not install here: {done.stderr.strip().splitlines()[-1:]}")


def start(command: list[str], log: Path, env: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=env, cwd=tempfile.gettempdir()
        )


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False


def wait(
    done: Callable[[], bool],
    what: str,
    process: subprocess.Popen[bytes] | None = None,
    log: Path | None = None,
    *,
    timeout_s: float = 120,
) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process is not None and process.poll() is not None:
            break
        if done():
            return
        time.sleep(0.2)
    tail = log.read_text(errors="replace")[-800:] if log else ""
    raise Unavailable(f"waited in vain for {what} {tail}")
