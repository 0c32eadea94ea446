"""A hive stands alone: without Django, and without reach beyond its prefix."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis

from hive_agent.protocol import RUN_TASK, TASKS_QUEUE, Outcome
from tests.hive_agent.hive import Hive, environment
from tests.hive_agent.queen import HIVE, PREFIX, REDIS_PASSWORD, wait_for

HELLO = {"messages": [{"role": "user", "content": "one two three"}]}


@pytest.mark.parametrize(
    "module", ["agent", "runner", "join", "engines.llama_cpp.serve", "engines.echo.serve"]
)
def test_modules_import_neither_django_nor_an_app(module: str) -> None:
    code = (
        f"import sys, hive_agent.{module}\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in "
        "{'django', 'rbee', 'inference', 'billing', 'tenants', 'gdpr', 'torch'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "command",
    [
        ("GET", "rbee:epoch"),
        ("LPUSH", "h:other:tasks", "x"),
        ("XADD", "h:other:out:q", "*", "f", "x"),
        ("GETDEL", "h:other:body:t:1"),
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("CONFIG", "GET", "*"),
        ("FLUSHALL",),
        ("ACL", "LIST"),
        ("PUBLISH", "rbee:invalidate", "keys"),
        ("EVAL", "return redis.call('GET', 'rbee:epoch')", "0"),
    ],
)
def test_credentials_of_a_hive_are_refused_outside_its_prefix(
    shared_hive: Hive, command: tuple[str, ...]
) -> None:
    port = shared_hive.queen.server.port
    with redis.Redis(port=port, username=HIVE, password=REDIS_PASSWORD, protocol=2) as stolen:
        with pytest.raises(redis.ResponseError, match=r"(?i)permission|can't access"):
            stolen.execute_command(*command)


def test_wrong_clock_of_the_hive_loses_no_task(shared_hive: Hive, echo: str) -> None:
    """Celery would drop a message that has expired by this machine's clock; whether a task is wanted is for its claim."""
    queen = shared_hive.queen
    asked = queen.ask(HELLO, worker=echo, deliveries=0)
    queen.celery.send_task(
        RUN_TASK,
        args=[asked.task, 1, 0],
        queue=TASKS_QUEUE,
        ignore_result=True,
        expires=datetime.now(UTC) - timedelta(minutes=10),
    )
    end = asked.wait().end

    assert end is not None
    assert end.outcome == Outcome.COMPLETED


def test_message_of_another_shape_does_no_harm(shared_hive: Hive, echo: str) -> None:
    queen = shared_hive.queen
    queen.celery.send_task(RUN_TASK, args=["only-one"], queue=TASKS_QUEUE, ignore_result=True)
    queen.celery.send_task("os.system", args=["true"], queue=TASKS_QUEUE, ignore_result=True)
    with queen.server.client() as client:
        client.xadd(f"{PREFIX}control", {"c": b"\xc1nonsense"})
        client.xadd(f"{PREFIX}control", {"other": b"field"})
    end = queen.ask(HELLO, worker=echo).wait().end

    assert end is not None
    assert end.outcome == Outcome.COMPLETED


def test_second_agent_in_the_same_folder_is_refused(shared_hive: Hive) -> None:
    assert shared_hive.process is not None
    done = subprocess.run(
        [sys.executable, "-m", "hive_agent", "run", "--dir", str(shared_hive.folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert (
        done.stderr
        == f"error: another agent (process {shared_hive.process.pid}) runs in {shared_hive.folder}\n"
    )


def test_status_tells_what_runs(shared_hive: Hive, echo: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hive_agent", "status", "--dir", str(shared_hive.folder)],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    assert "agent: runs" in done.stdout.splitlines()
    assert any(line.startswith("worker the-model: echo, ready") for line in done.stdout.splitlines())


def test_worker_whose_model_is_missing_says_so(hive: Hive, tmp_path: Path) -> None:
    missing = tmp_path / "missing.gguf"
    worker = hive.place("llama_cpp", str(missing), wait=False)

    wait_for(lambda: (report := hive.queen.worker(worker)) is not None and report.error)
    report = hive.queen.worker(worker)
    assert report is not None
    assert (report.status, report.error) == ("loading", f"there is no file {missing} on this hive")
