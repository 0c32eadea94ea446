"""The folder of one hive: its credentials, its spool, what its processes tell each other, its logs.

Everything in it is readable by its owner only.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import BinaryIO


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.credentials = path / "hive.json"
        self.signing_key = path / "hive.key"
        self.spool = path / "spool.db"
        self.agent_lock = path / "agent.lock"
        self.workers = path / "workers.json"  # written by the agent, read by the runner
        self.runner = path / "runner.json"  # written by the runner, read by the agent
        self.logs = path / "log"

    def make(self) -> None:
        for folder in (self.path, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)

    def open_log(self, name: str) -> BinaryIO:
        descriptor = os.open(self.logs / f"{name}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return os.fdopen(descriptor, "ab", buffering=0)


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by a file of mode 0600; a reader sees the content before or after, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
