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
    """In a process of its own: the supervisor goes on without the agent's libraries."""
    Folder(folders.hive).credentials.unlink(missing_ok=True)  # of a hive that the queen has removed
    command = [
        "hive",
        "join",
        options.local_url,
        "--token",
        "-",
        "--name",
        NAME,
        "--dir",
        str(folders.hive),
        "--no-run",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "rbee_cli", *command],
        env=hive_environment(trust_file(options, folders)),
        cwd=folders.run,
        input=token,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UpFailed("the local hive could not join", detail=done.stderr.strip())


def is_known(probe: QueenProbe) -> bool:
    """Whether the queen still has it. A queen that does not say is taken to have."""
    status = probe.get("/api/v1/status")
    return not status or any(hive["name"] == NAME for hive in status.get("hives", []))


def is_serving(probe: QueenProbe) -> bool:
    """Whether the embedded model answers on the local hive."""
    status = probe.get("/api/v1/status") or {}
    return any(
        worker.get("model") == MODEL and worker.get("status") == "ready"
        for hive in status.get("hives", [])
        if hive.get("name") == NAME
        for worker in hive.get("workers", [])
    )
