import os
import signal
import time
from pathlib import Path

from rbee_cli.errors import UpFailed
from rbee_cli.up.keeper import Keeper
from rbee_cli.up.process import Process


def test_ended_process_starts_again_and_the_operator_hears_of_it(tmp_path: Path) -> None:
    said: list[str] = []
    keeper, process = kept(tmp_path, said)
    first = process.pid
    os.kill(first, signal.SIGKILL)

    tend_until(keeper, lambda: process.is_running and process.pid != first)

    process.kill()
    assert said == [f"queen was ended by signal 9; it starts again in 0.2 s; its log is {tmp_path / 'log'}"]


def test_process_that_cannot_start_is_tried_again(tmp_path: Path) -> None:
    said: list[str] = []
    keeper = Keeper(tmp_path / "table", lambda text, detail: said.append(text))
    process = Process("queen", ["true"], log=tmp_path / "log", env={"PATH": os.environ["PATH"]}, cwd=tmp_path)
    process.start()
    tries = []

    def restart() -> Process:
        tries.append(1)
        if len(tries) == 1:
            raise UpFailed("port 7833 is held by nginx (pid 812)")
        process.argv = ["sleep", "60"]
        process.start()
        return process

    keeper.add(process, restart)
    tend_until(keeper, lambda: len(tries) == 2)

    process.kill()
    assert said[1] == "queen cannot start: port 7833 is held by nginx (pid 812)"


def kept(folder: Path, said: list[str]) -> tuple[Keeper, Process]:
    keeper = Keeper(folder / "table", lambda text, detail: said.append(text))
    process = Process(
        "queen", ["sleep", "60"], log=folder / "log", env={"PATH": os.environ["PATH"]}, cwd=folder
    )
    process.start()
    keeper.add(process)
    return keeper, process


def tend_until(keeper: Keeper, condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        keeper.tend()
        time.sleep(0.02)
