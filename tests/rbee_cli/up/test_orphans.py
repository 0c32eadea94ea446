import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from rbee_cli.up.orphans import end_orphans, write_table
from rbee_cli.up.process import Process


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = Process(
        "queen", ["sleep", "60"], log=tmp_path / "log", env={"PATH": os.environ["PATH"]}, cwd=tmp_path
    )
    process.start()
    yield process
    process.kill()


def test_orphan_and_its_session_end(tmp_path: Path) -> None:
    script = "sleep 60 & trap '' TERM; wait"
    leader = Process(
        "queen", ["sh", "-c", script], log=tmp_path / "log", env={"PATH": os.environ["PATH"]}, cwd=tmp_path
    )
    leader.start()
    write_table(tmp_path / "table", [leader])
    members = [process for process in psutil.process_iter() if os.getsid(process.pid) == leader.pid]

    assert end_orphans(tmp_path / "table") == ["queen"]

    assert not leader.is_running
    assert [process for process in members if process.is_running() and process.status() != "zombie"] == []


def test_members_of_a_dead_leader_end(tmp_path: Path) -> None:
    leader = subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!"], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert leader.stdout
    member = psutil.Process(int(leader.stdout.readline()))
    started_at = psutil.Process(leader.pid).create_time()
    leader.wait()
    leader.stdout.close()
    row = {"name": "hive", "pid": leader.pid, "started_at": started_at}
    (tmp_path / "table").write_text(json.dumps([row]))

    assert end_orphans(tmp_path / "table") == ["hive"]

    assert not member.is_running() or member.status() == "zombie"


def test_process_that_got_the_number_later_is_left_alone(tmp_path: Path, sleeper: Process) -> None:
    row = {
        "name": "queen",
        "pid": sleeper.pid,
        "started_at": psutil.Process(sleeper.pid).create_time() - 3600,
    }
    (tmp_path / "table").write_text(json.dumps([row]))

    assert end_orphans(tmp_path / "table") == []

    assert sleeper.is_running


@pytest.mark.parametrize("content", ["", "{", '[{"pid": "x"}]', "[3]"])
def test_table_that_makes_no_sense_ends_nothing(tmp_path: Path, sleeper: Process, content: str) -> None:
    (tmp_path / "table").write_text(content)
    assert end_orphans(tmp_path / "table") == []
    assert sleeper.is_running
