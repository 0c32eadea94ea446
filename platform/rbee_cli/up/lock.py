"""One supervisor per data folder. The kernel drops the lock with its holder, however that ends."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import IO

from rbee_cli.errors import Conflict


class DataLock:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def acquire(self, url: str, *, wait_s: float = 1) -> None:
        """`url` is what a second start is told. A holder that is just ending gets `wait_s`."""
        file = self._path.open("a+")
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    file.close()
                    raise Conflict(self._holder()) from error
                time.sleep(0.05)
        file.truncate(0)
        json.dump({"pid": os.getpid(), "url": url}, file)
        file.flush()
        self._file = file

    def release(self) -> None:
        if self._file:
            self._file.close()
            self._file = None

    def _holder(self) -> str:
        try:
            holder = json.loads(self._path.read_text())
        except (OSError, ValueError):
            holder = {}
        return (
            f"rbee runs already with this data: pid {holder.get('pid', '?')}, {holder.get('url', 'still starting')}. "
            "Stop it by Ctrl-C, or name another folder by --data-dir"
        )
