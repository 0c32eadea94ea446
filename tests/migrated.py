"""A cluster of PostgreSQL that is migrated already: colonies of the tests start from a copy of it.

To migrate takes most of the time in which a colony starts, and comes to the same each time. It is made once for each state
of the migrations and stays in pytest's cache.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rbee_cli.up import binaries, preparation
from rbee_cli.up.accounts import service_account
from rbee_cli.up.environment import base_environment
from rbee_cli.up.folders import make_folders, make_secret
from rbee_cli.up.lifecycle import ROOT_SECRET
from rbee_cli.up.postgres import Postgres

ROOT: Final = Path(__file__).resolve().parents[1]
CLUSTERS: Final = ROOT / ".pytest_cache" / "clusters"
APPS: Final = ("gdpr", "tenants", "billing", "inference")


def begin_migrated(data_dir: Path) -> None:
    """`rbee up` in this folder finds tables that an earlier run of it made, and nothing else."""
    folders = make_folders(data_dir, service_account())
    with _template() as cluster:
        _copy(cluster, folders.postgres)
    make_secret(folders, ROOT_SECRET)


@contextmanager
def _template() -> Iterator[Path]:
    CLUSTERS.mkdir(parents=True, exist_ok=True)
    with (CLUSTERS / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        cluster = CLUSTERS / _fingerprint()
        if not cluster.exists():
            for older in CLUSTERS.glob("*/"):
                shutil.rmtree(older)
            _make(cluster)
        yield cluster


def _fingerprint() -> str:
    sources = [path for app in APPS for path in (ROOT / app).rglob("*.py")]
    sources += [ROOT / "platform" / "rbee_cli" / "up" / "postgres.py"]
    sources += (ROOT / "platform" / "rbee" / "management").rglob("*.py")
    digest = hashlib.sha256(f"{binaries.POSTGRES_MAJOR} {service_account()}".encode())
    for source in sorted(sources):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _make(cluster: Path) -> None:
    # Not in the cache: PostgreSQL runs as another user when the tests run as root, and must reach its folder.
    with tempfile.TemporaryDirectory(prefix="rbee-cluster-") as name:
        Path(name).chmod(0o755)
        server = Postgres(Path(name) / "data")
        make_secret(server.folders, ROOT_SECRET)
        server.start()
        try:
            environment = base_environment() | {
                "RBEE_DATABASE_URL": server.app_url,
                "RBEE_DATABASE_OWNER_URL": server.owner_url,
                "RBEE_REDIS_URL": "redis://127.0.0.1:1/0",
                "RBEE_DATA_DIR": str(server.folders.data),
                "RBEE_SECRET_KEY_FILE": str(server.folders.secrets / ROOT_SECRET),
                "DJANGO_SETTINGS_MODULE": "rbee.settings",
            }
            preparation.migrate(environment, server.folders)
        finally:
            server.stop(timeout_s=30)
        unfinished = cluster.with_name(f"{cluster.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        _copy(server.folders.postgres, unfinished)
        unfinished.rename(cluster)


def _copy(source: Path, target: Path) -> None:
    """With owners and modes, which PostgreSQL insists on."""
    subprocess.run(["cp", "-a", str(source), str(target)], check=True)
