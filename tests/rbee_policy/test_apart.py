import time

import pytest

from rbee_policy import sandbox
from rbee_policy.apart import Crashed, NotRun, run_apart

PROGRAM = "tests.rbee_policy.crashing"


@pytest.mark.parametrize(
    ("how", "ending"),
    [
        ("segmentation fault", "the process ended by SIGSEGV"),
        ("abort", "the process ended by SIGABRT"),
        ("memory", "the process failed with 1"),
        ("file", "the process failed with 1"),
        ("process", "the process failed with 1"),
    ],
)
def test_crash_says_how_it_ended_and_what_ran(how: str, ending: str) -> None:
    with pytest.raises(Crashed) as crashed:
        run_apart(PROGRAM, [how.encode()])

    assert (str(crashed.value), crashed.value.note) == (ending, f"{how} with a task")


def test_cpu_time_is_bounded() -> None:
    with pytest.raises(Crashed) as crashed:
        run_apart(PROGRAM, [b"time"])

    assert str(crashed.value) == f"it used more than {sandbox.CPU_S} s of CPU time"


def test_one_that_never_ends_is_ended() -> None:
    began = time.monotonic()

    with pytest.raises(Crashed, match="it did not end within 1 s"):
        run_apart(PROGRAM, [b"sleep"], wall_s=1)

    assert time.monotonic() - began < 5


@pytest.mark.parametrize("how", ["before the script", "interrupt"])
def test_what_no_script_is_to_blame_for_is_held_against_none(how: str) -> None:
    with pytest.raises(NotRun):
        run_apart(PROGRAM, [how.encode()])


def test_it_knows_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_SECRET_KEY", "5e" * 32)

    assert b"RBEE" not in run_apart(PROGRAM, [b"environment"])


def test_one_that_is_gone_is_told_no_more() -> None:
    endless = (b"x" * (1 << 20) for _ in range(10_000))

    with pytest.raises(NotRun):
        run_apart("no_such_module", endless)
