"""The operator's first key in business mode: shown once, and kept in a file that only its owner can read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rbee_cli.errors import UpFailed
from rbee_cli.up.folders import Folders


def path(folders: Folders) -> Path:
    return folders.data / "operator.key"


def keep(folders: Folders, answer: dict[str, Any]) -> str:
    """`answer` is what bootstrap said. It tells the key only when it made one."""
    key = answer.get("operator_key")
    if not key:
        raise UpFailed(
            f"the operator's key was made before, but {path(folders)} is missing: put the key into that file again, "
            "from wherever you kept it"
        )
    unfinished = path(folders).with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f"{key}\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path(folders))
    return str(key)
