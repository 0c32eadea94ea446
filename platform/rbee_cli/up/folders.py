"""Where `rbee up` keeps its state, and who may look into it.

postgres/   the database cluster             redis/    its configuration (Redis writes nothing else)
logs/       one file per process             run/      lock, table of processes, what was done already
secrets/    passwords and the root secret    hive/     the local hive: identity, spool, models
lib/        as root: programs copied from a folder that an unprivileged account cannot reach
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from rbee_cli.errors import UpFailed
from rbee_cli.up.accounts import Account, can_pass


@dataclass(frozen=True)
class Folders:
    data: Path

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def redis(self) -> Path:
        return self.data / "redis"

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def run(self) -> Path:
        return self.data / "run"

    @property
    def secrets(self) -> Path:
        return self.data / "secrets"

    @property
    def hive(self) -> Path:
        return self.data / "hive"

    @property
    def lib(self) -> Path:
        return self.data / "lib"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def default_data_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/lib/rbee")
    return Path(platformdirs.user_data_dir("rbee", appauthor=False))


def make_folders(data_dir: Path, account: Account | None) -> Folders:
    """Make the folders that are missing. With an `account` the data folder lets others pass through (0711), so that
    the account reaches its own folder inside; no folder above it is touched."""
    folders = Folders(data_dir.expanduser().absolute())
    try:
        folders.data.mkdir(parents=True, exist_ok=True)
        folders.data.chmod(0o711 if account else 0o700)
        for folder in (folders.logs, folders.run, folders.secrets, folders.hive):
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
        folders.lib.mkdir(mode=0o755, exist_ok=True)
    except OSError as error:
        raise UpFailed(
            f"cannot write to {folders.data} ({error.strerror}): name another folder by --data-dir"
        ) from error
    if account and not can_pass(folders.data, account):
        raise UpFailed(
            f"PostgreSQL runs as `{account.name}`, which cannot reach {folders.data}: "
            "name a folder outside private homes by --data-dir, such as /var/lib/rbee"
        )
    return folders


def own_folder(path: Path, account: Account | None) -> None:
    """Make `path` a folder of `account` that nobody else can look into."""
    path.mkdir(mode=0o700, exist_ok=True)
    path.chmod(0o700)
    if account:
        os.chown(path, account.uid, account.gid)


def read_secret(folders: Folders, name: str) -> str | None:
    path = folders.secrets / name
    return path.read_text().strip() if path.exists() else None


def make_secret(folders: Folders, name: str, value: str | None = None) -> str:
    """Write a secret once, whole or not at all, readable by its owner only."""
    value = value or secrets.token_urlsafe(32)
    path = folders.secrets / name
    unfinished = path.with_suffix(".new")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(value + "\n")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    return value
