"""The operator's first key in business mode. Bootstrap makes it and keeps it in a file that only its owner can read."""

from __future__ import annotations

from pathlib import Path

from rbee_cli.errors import UpFailed
from rbee_cli.up.folders import Folders


def path(folders: Folders) -> Path:
    return folders.data / "operator.key"


def read(folders: Folders) -> str:
    try:
        return path(folders).read_text().strip()
    except FileNotFoundError as error:
        raise UpFailed(
            f"{path(folders)} is missing, and the operator's key is shown once only: put it into that file again, from "
            "wherever you keep it"
        ) from error
