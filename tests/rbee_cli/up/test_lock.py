import os
import subprocess
import sys
from pathlib import Path

import pytest

from rbee_cli.errors import Conflict
from rbee_cli.up.lock import DataLock

HOLD = """
import sys
from pathlib import Path
from rbee_cli.up.lock import DataLock
lock = DataLock(Path(sys.argv[1]))
lock.acquire("http://127.0.0.1:7833")
print("held", flush=True)
sys.stdin.read()
"""


def test_second_holder_is_told_of_the_first(tmp_path: Path) -> None:
    with holder(tmp_path / "lock") as first, pytest.raises(Conflict) as caught:
        DataLock(tmp_path / "lock").acquire("http://127.0.0.1:1", wait_s=0.1)
    assert str(caught.value) == (
        f"rbee runs already with this data: pid {first.pid}, http://127.0.0.1:7833. "
        "Stop it by Ctrl-C, or name another folder by --data-dir"
    )


def test_lock_of_a_killed_holder_is_free(tmp_path: Path) -> None:
    first = holder(tmp_path / "lock")
    first.kill()
    first.wait()
    lock = DataLock(tmp_path / "lock")
    lock.acquire("http://127.0.0.1:1", wait_s=0)
    assert (tmp_path / "lock").read_text() == f'{{"pid": {os.getpid()}, "url": "http://127.0.0.1:1"}}'
    lock.release()
    first.communicate()


def holder(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process
