"""`rbee up` as a whole, on real processes. The acceptance tests ask what it serves; these, how it lives and dies."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.system import System, rbee, running

QUESTION = {"model": "rbee-mini", "messages": [{"role": "user", "content": "What is rbee?"}], "max_tokens": 5}


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with running(from_nothing=True) as system:
        yield system


def test_start_says_what_is_where_and_ends_with_the_curl(system: System) -> None:
    lines = system.output.splitlines()
    parts = [match[1].strip() for line in lines if (match := re.match(r"  ✓ (.{24}) .* \d+\.\d s", line))]
    assert sorted(parts) == ["Celery worker and beat", "PostgreSQL", "Redis", "hive", "queen", "tables"]
    assert f"logs {system.data_dir}/logs" in system.output
    assert lines[-3].startswith(f"curl {system.url}/v1/chat/completions")


def test_each_process_has_a_log(system: System) -> None:
    logs = {path.stem for path in (system.data_dir / "logs").iterdir()}
    assert {"postgres", "redis", "queen", "celery-worker", "celery-beat", "audit-sequencer", "hive"} <= logs


def test_second_start_on_the_same_data_names_the_first(system: System) -> None:
    done = start_another(system, port=system.port + 1, data_dir=system.data_dir)
    assert system.process
    assert done.returncode == 6
    assert done.stderr.startswith(
        f"rbee: rbee runs already with this data: pid {system.process.pid}, {system.url}."
    )


def test_busy_port_names_its_holder_and_the_fix(system: System, data_dir: Path) -> None:
    done = start_another(system, port=system.port, data_dir=data_dir)
    assert done.returncode == 1
    assert re.match(
        rf"rbee: port {system.port} is held by \S+ \(pid \d+\): stop that, or take another port by --port",
        done.stderr,
    )


@pytest.mark.parametrize("name", ["redis", "postgres", "queen", "hive"])
def test_killed_part_comes_back_and_the_colony_answers(system: System, name: str) -> None:
    before = pid_of(system, name)
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: pid_of(system, name) not in {0, before})
    wait_until(lambda: answers(system))
    assert f"{name} was ended by signal 9; it starts again in 0.2 s" in system.output


def test_status_and_its_json_tell_the_same(system: System) -> None:
    status = system.run_json("status")
    assert [hive["name"] for hive in status["hives"]] == ["local"]
    assert "rbee-mini" in system.run("status").stdout


def test_killed_supervisor_leaves_no_orphan_and_no_loss(system: System) -> None:
    wait_until(lambda: answers(system))
    system.run("tenant", "create", "survivor", "--plan", "pro")
    children = system.children()
    assert system.process
    system.process.kill()
    system.process.wait()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []

    system.start()

    assert answers(system)
    assert "survivor" in [tenant["slug"] for tenant in system.run_json("tenant", "list")]


def test_local_hive_that_was_removed_joins_again_at_the_next_start(system: System) -> None:
    system.run("hive", "remove", "local", "--yes")
    system.stop()
    system.start()
    assert [hive["name"] for hive in system.run_json("hive", "list")] == ["local"]
    assert answers(system)


def test_power_cut_leaves_nothing_that_hinders_a_start(system: System) -> None:
    system.kill()
    system.start()
    assert answers(system)


def test_stop_is_quick_and_whole_and_the_next_start_is_quicker(system: System) -> None:
    children = system.children()
    took_s = system.stop()
    assert [process for process in children if process.is_running()] == []
    assert took_s < 5
    assert not (system.data_dir / "run" / "processes.json").exists()
    system.start()
    assert "tables" not in system.output


def start_another(system: System, *, port: int, data_dir: Path) -> subprocess.CompletedProcess[str]:
    command = [*rbee(), "up", "--port", str(port), "--data-dir", str(data_dir)]
    return subprocess.run(
        command, env=system.environment(), capture_output=True, text=True, check=False, timeout=60
    )


def pid_of(system: System, name: str) -> int:
    rows = json.loads((system.data_dir / "run" / "processes.json").read_text())
    return next((row["pid"] for row in rows if row["name"] == name and psutil.pid_exists(row["pid"])), 0)


def answers(system: System) -> bool:
    try:
        return httpx.post(f"{system.url}/v1/chat/completions", json=QUESTION, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def wait_until(condition, timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
