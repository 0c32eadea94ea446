"""LiteLLM proxy and Portkey gateway, each set up as fast as it gets here, and the upstream by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bench.entrant import (
    TOOLS,
    Entrant,
    Unavailable,
    answers,
    end,
    install,
    install_python,
    start,
    tree,
    wait,
)
from tests.system import free_port

LITELLM = "litellm[proxy]==1.106.2"
PORTKEY = "@portkey-ai/gateway@1.15.2"

# A model of LiteLLM's price map, and a second one behind which tokens come slowly.
LITELLM_CONFIG = """\
model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{port}/v1", api_key: none}}
  - model_name: slow
    litellm_params: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{port}/slow/v1", api_key: none}}
general_settings: {{master_key: sk-bench}}
litellm_settings: {{telemetry: false}}
"""
LITELLM_ENV = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "DISABLE_ADMIN_UI": "True"}

# Node before 22 refuses to change the headers of a fetched answer, which Portkey does for every stream. Portkey would
# also listen on every address.
PORTKEY_SHIM = """\
const plain = globalThis.fetch;
globalThis.fetch = async (...request) => {
  const answer = await plain(...request);
  return new Response(answer.body, { status: answer.status, headers: new Headers(answer.headers) });
};
const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  return typeof port === "number"
    ? listen.call(this, port, "127.0.0.1", ...rest.filter((one) => typeof one === "function"))
    : listen.call(this, port, ...rest);
};
"""


def direct(upstream: subprocess.Popen[bytes], upstream_port: int) -> Entrant:
    return Entrant(
        "upstream",
        "none: what the others are compared with",
        "bench/upstream.py",
        upstream_port,
        {},
        processes=list,
        behind=lambda: tree(upstream.pid),
        close=lambda: end(upstream),
        slow={"path": "/slow/v1/chat/completions"},
    )


def litellm(folder: Path, upstream: Entrant, *, granian: bool) -> Entrant:
    """Tuned: with the packages whose absence costs it a quarter, the faster parser, and a model that it knows."""
    install_python(LITELLM, LITELLM, "opentelemetry-sdk", "httptools", "uvloop", "granian")
    server = "granian" if granian else "uvicorn"
    port = free_port()
    config = folder / f"litellm-{server}.yaml"
    config.write_text(LITELLM_CONFIG.format(port=upstream.port))
    log = folder / f"litellm-{server}.log"
    command = [str(TOOLS / "bin" / "litellm"), "--config", str(config), "--host", "127.0.0.1", "--port", str(port),
               "--num_workers", "1", *(["--run_granian"] if granian else [])]  # fmt: skip
    process = start(command, log, {**os.environ, **LITELLM_ENV})
    try:
        wait(lambda: answers(f"http://127.0.0.1:{port}/health/liveliness"), "LiteLLM to answer", process, log)
    except Unavailable:
        end(process)
        raise
    return Entrant(
        "LiteLLM",
        f"master key only: no database, no limits, no budgets; one worker, {server}",
        LITELLM,
        port,
        {"authorization": "Bearer sk-bench"},
        processes=lambda: tree(process.pid),
        behind=upstream.behind,
        close=lambda: end(process),
        slow={"model": "slow"},
    )


def portkey(folder: Path, upstream: Entrant) -> Entrant:
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise Unavailable("Portkey needs node and npm, which are not on PATH")
    home = TOOLS / "portkey"
    server = home / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    if not server.exists():
        home.mkdir(parents=True, exist_ok=True)
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(home), PORTKEY]
        install(npm, PORTKEY)
    port = free_port()
    shim = folder / "portkey-shim.cjs"
    shim.write_text(PORTKEY_SHIM)
    log = folder / "portkey.log"
    command = ["node", "--require", str(shim), str(server), f"--port={port}", "--headless"]
    process = start(command, log, dict(os.environ))
    try:
        wait(lambda: answers(f"http://127.0.0.1:{port}/"), "Portkey to answer", process, log)
    except Unavailable:
        end(process)
        raise
    headers = {"x-portkey-provider": "openai", "authorization": "Bearer none"}
    host = f"http://127.0.0.1:{upstream.port}"
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return Entrant(
        "Portkey",
        "none: no authentication, no limits, no metering; one process",
        f"{PORTKEY}, Node {node}",
        port,
        {**headers, "x-portkey-custom-host": f"{host}/v1"},
        processes=lambda: tree(process.pid),
        behind=upstream.behind,
        close=lambda: end(process),
        slow={"headers": {**headers, "x-portkey-custom-host": f"{host}/slow/v1"}},
    )
