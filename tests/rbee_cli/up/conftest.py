import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rbee_cli.up.postgres import Postgres


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with reachable_folder() as path:
        yield path


@pytest.fixture(scope="session")
def _made_once() -> Iterator[Path]:
    with reachable_folder() as path:
        server = Postgres(path)
        server.start()
        server.stop()
        yield path


@pytest.fixture
def with_cluster(_made_once: Path, data_dir: Path) -> Path:
    """A data folder whose cluster has been made, started and stopped."""
    subprocess.run(["cp", "-a", f"{_made_once}/.", str(data_dir)], check=True)
    return data_dir


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """Not pytest's tmp_path: as root that lies under a private folder, which PostgreSQL's account cannot reach."""
    path = Path(tempfile.mkdtemp(prefix="rbee-test-"))
    yield path
    shutil.rmtree(path)
