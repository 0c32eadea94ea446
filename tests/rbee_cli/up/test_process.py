import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from rbee_cli.up.process import Process, rotate

BEAR = "import subprocess, time; print(subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
SUPERVISE = """
import os, sys, time
from pathlib import Path
from rbee_cli.up.process import Process
child = Process("child", ["sleep", "60"], log=Path(sys.argv[1]), env={"PATH": os.environ["PATH"]}, cwd=Path("/"))
child.start()
print(child.pid, flush=True)
time.sleep(60)
"""


def test_last_lines_are_of_this_run(tmp_path: Path) -> None:
    process = shell(tmp_path, "echo one; echo two")
    process.start()
    process.wait(5)
    process.start()
    process.wait(5)
    assert process.last_lines() == "one\ntwo"
    assert process.poll() == 0


def test_what_a_process_leaves_in_its_group_ends_with_it(tmp_path: Path) -> None:
    process = Process("bearer", [sys.executable, "-c", BEAR], log=tmp_path / "log", env=path(), cwd=tmp_path)
    process.start()
    while not (born := process.last_lines()):
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(5)
    assert gone(int(born))


def test_stubborn_process_is_killed(tmp_path: Path) -> None:
    process = shell(tmp_path, "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    process.start()
    while not process.last_lines():
        time.sleep(0.02)
    process.stop(timeout_s=0.2)
    assert process.poll() == -signal.SIGKILL


def test_child_dies_with_a_killed_supervisor(tmp_path: Path) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert supervisor.stdout
    child = int(supervisor.stdout.readline())
    supervisor.kill()
    supervisor.communicate()
    assert gone(child)


def test_rotation_keeps_one_older_log_and_its_writer(tmp_path: Path) -> None:
    log = tmp_path / "queen.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"x" * 100)
        rotate(log, limit_bytes=100)
        writer.write(b"after")
    assert log.read_bytes() == b"after"
    assert (tmp_path / "queen.log.1").read_bytes() == b"x" * 100


def shell(folder: Path, script: str) -> Process:
    return Process("shell", ["sh", "-c", script], log=folder / "log", env=path(), cwd=folder)


def path() -> dict[str, str]:
    return {"PATH": os.environ["PATH"]}


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False
