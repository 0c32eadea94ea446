import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """Not pytest's tmp_path: as root that lies under a private folder, which PostgreSQL's account cannot reach."""
    path = Path(tempfile.mkdtemp(prefix="rbee-test-"))
    yield path
    shutil.rmtree(path)
