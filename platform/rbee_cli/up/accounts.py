"""The unprivileged account that PostgreSQL and Redis run as when `rbee up` is run by root, and what it can reach."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rbee_cli.errors import UpFailed

CANDIDATES = ("postgres", "nobody", "rbee")


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int


def service_account() -> Account | None:
    """None unless we are root: then our own account will do, and there is no other to change to."""
    if os.geteuid() != 0:
        return None
    for name in CANDIDATES:
        if account := _look_up(name):
            return account
    return _create("rbee")


def can_reach(path: Path, account: Account | None) -> bool:
    """Whether `account` may read `path` and go through each folder above it. Access control lists are not asked."""
    if account is None:
        return os.access(path, os.R_OK)
    path = path.resolve()
    return _allows(path.stat(), account, stat.S_IROTH) and can_pass(path.parent, account)


def can_pass(folder: Path, account: Account) -> bool:
    """Whether `account` may go through `folder`, which itself need not be readable."""
    folder = folder.resolve()
    return all(_allows(part.stat(), account, stat.S_IXOTH) for part in (folder, *folder.parents))


def _allows(status: os.stat_result, account: Account, other_bit: int) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & (other_bit << 6))
    if status.st_gid == account.gid:
        return bool(status.st_mode & (other_bit << 3))
    return bool(status.st_mode & other_bit)


def _look_up(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid) if entry.pw_uid else None


def _create(name: str) -> Account:
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise UpFailed(
            "PostgreSQL refuses to run as root, and no account `postgres`, `nobody` or `rbee` exists: "
            f"create one (`{' '.join(command)}`), or run `rbee up` as another user"
        ) from error
    account = _look_up(name)
    if account is None:
        raise UpFailed(f"useradd made no account `{name}`: run `rbee up` as another user")
    return account
