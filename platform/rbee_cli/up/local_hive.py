"""The hive on the queen's own machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hive_agent.folder import Folder
from rbee_cli.errors import UpFailed
from rbee_cli.up.environment import hive_environment
from rbee_cli.up.folders import Folders
from rbee_cli.up.options import UpOptions
from rbee_cli.up.probe import QueenProbe

NAME = "local"
MODEL = "rbee-mini"


def is_joined(folders: Folders) -> bool:
    return Folder(folders.hive).credentials.exists()


def trust_file(options: UpOptions, folders: Folders) -> Path | None:
    if not options.tls_cert:
        return None
    from rbee_cli.up.tls import write_trust

    return write_trust(options.tls_cert, folders.run / "trust.pem")


def join(options: UpOptions, folders: Folders, token: str) -> None:
    """In a process of its own, so that the agent's libraries cost memory only while they are needed."""
    environment = hive_environment(trust_file(options, folders))
    arguments = [
        "join",
        options.local_url,
        "--token-stdin",
        "--name",
        NAME,
        "--dir",
        str(folders.hive),
        "--replace",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "hive_agent", *arguments],
        env=environment, input=token, text=True, capture_output=True, cwd=folders.run, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UpFailed("the local hive could not join", detail=(done.stderr or done.stdout).strip())


def is_serving(probe: QueenProbe) -> bool:
    """Whether the embedded model answers on the local hive."""
    status = probe.get("/api/v1/status") or {}
    return any(
        worker.get("model") == MODEL and worker.get("status") == "ready"
        for hive in status.get("hives", [])
        if hive.get("name") == NAME
        for worker in hive.get("workers", [])
    )
