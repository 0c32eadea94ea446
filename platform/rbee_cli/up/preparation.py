"""Migrations and first rows: run by Django in a process of its own, and skipped when nothing can have changed.

Loading Django takes a second of a start that may take five. So a fingerprint of the code, the month (partitions), the
mode and the cluster is kept, and while it holds there is nothing to do. An operator's own database is always asked.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rbee_cli.errors import UpFailed
from rbee_cli.up.folders import Folders
from rbee_cli.up.options import UpOptions

PACKAGES = ("rbee", "gdpr", "tenants", "billing", "inference", "rbee_mini")
PATIENCE_S = 300


def migrate(environment: Mapping[str, str], folders: Folders) -> None:
    """`environment` holds the owner's URL as well."""
    _manage(["migrate", "--database", "owner", "--no-input", "--verbosity", "1"], environment, folders)


def bootstrap(
    environment: Mapping[str, str], folders: Folders, *, local_hive: bool, operator_key: bool
) -> dict[str, Any]:
    flags = (["--local-hive"] if local_hive else []) + (["--operator-key"] if operator_key else [])
    said = _manage(["bootstrap", *flags], environment, folders, keep_output=False)
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError as error:
        raise UpFailed("bootstrap did not answer in JSON", detail=said[-2000:]) from error
    return answer


def is_prepared(folders: Folders, options: UpOptions) -> bool:
    try:
        return (folders.run / "prepared").read_text() == fingerprint(folders, options)
    except OSError:
        return False


def remember_prepared(folders: Folders, options: UpOptions) -> None:
    (folders.run / "prepared").write_text(fingerprint(folders, options))


def fingerprint(folders: Folders, options: UpOptions) -> str:
    digest = hashlib.sha256(f"{sys.version} {options.mode} {options.hive} {datetime.now(UTC):%Y-%m}".encode())
    cluster = (folders.postgres / "PG_VERSION").stat()
    digest.update(f"{cluster.st_ino} {cluster.st_mtime_ns}".encode())
    for package in PACKAGES:
        for source in _sources(package):
            status = source.stat()
            digest.update(f"{source} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _sources(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return []
    folder = Path(next(iter(spec.submodule_search_locations)))
    return sorted(folder.rglob("*.py"))


def _manage(
    arguments: list[str], environment: Mapping[str, str], folders: Folders, *, keep_output: bool = True
) -> str:
    """What the command printed. What it prints may hold a key, so that only its complaints reach the log."""
    log = folders.log("manage")
    done = subprocess.run(
        [sys.executable, "-m", "rbee", *arguments],
        env=dict(environment),
        cwd=folders.run,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    with log.open("a") as file:
        file.write(f"$ django {' '.join(arguments)}\n{done.stdout if keep_output else ''}{done.stderr}")
    if done.returncode:
        raise UpFailed(
            f"`{arguments[0]}` failed; its log is {log}", detail=_reason(done.stderr or done.stdout)
        )
    return done.stdout


def _reason(said: str) -> str:
    """The last lines; of a setting that makes no sense, only the line that says so."""
    lines = said.strip().splitlines()
    complaint = (lines[-1] if lines else "").removeprefix("rbee: ")
    return complaint if complaint.startswith("RBEE_") else "\n".join(lines[-12:])
