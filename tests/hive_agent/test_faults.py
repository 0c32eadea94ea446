"""What dies, and what is then true: real processes, killed by SIGKILL."""

import signal
import time

import psutil
import pytest

from hive_agent.protocol import Outcome, body_key
from tests.hive_agent.hive import Hive
from tests.hive_agent.queen import HIVE, PREFIX, Queen, wait_for

LONG = {"messages": [{"role": "user", "content": "one two three"}]}

pytestmark = pytest.mark.faults


def test_engine_killed_mid_task_fails_the_task_and_starts_again(hive: Hive) -> None:
    echo = hive.place("echo", tokens=500, delay_ms=10)
    asked = hive.queen.ask(LONG, worker=echo)
    asked.wait_text()
    engine = hive.engine(echo)
    engine.kill()
    reply = asked.wait(5)

    assert reply.error is not None
    assert (reply.error.status, reply.error.type, reply.error.code) == (500, "server_error", "worker_error")
    assert reply.end is not None
    assert reply.end.outcome == Outcome.WORKER_FAILED
    assert asked.receipt().outcome == Outcome.WORKER_FAILED
    wait_for(lambda: (report := hive.queen.worker(echo)) and report.pid not in {0, engine.pid}, 20)
    hive.queen.wait_ready(echo)
    again = hive.queen.ask({**LONG, "max_tokens": 3}, worker=echo).wait()
    assert again.end is not None
    assert again.end.outcome == Outcome.COMPLETED


def test_celery_worker_killed_mid_task_leaves_a_failed_receipt_and_is_replaced(hive: Hive) -> None:
    echo = hive.place("echo", tokens=1000, delay_ms=5)
    asked = hive.queen.ask(LONG, worker=echo)
    asked.wait_text()
    begun = asked.reply.begun
    time.sleep(1.6)
    hive.celery().kill()
    receipt = asked.receipt(30)
    line = hive.log_line(echo, asked.task)

    assert receipt.outcome == Outcome.WORKER_FAILED
    assert 64 <= receipt.usage["completion_tokens"] <= line.completion_tokens
    assert line.outcome == "aborted"
    wait_for(
        lambda: (beat := hive.queen.heartbeat()) is not None and beat.epoch > (begun.epoch if begun else 0),
        20,
    )
    hive.queen.wait_ready(echo)
    again = hive.queen.ask({**LONG, "max_tokens": 3}, worker=echo).wait()
    assert again.end is not None
    assert again.end.outcome == Outcome.COMPLETED


def test_stopping_the_celery_process_stops_answers(hive: Hive) -> None:
    """Nothing else runs tasks: the body lies unclaimed, the worker says that it is not ready, until Celery is back."""
    echo = hive.place("echo", tokens=3)
    celery = hive.celery()
    celery.suspend()
    asked = hive.queen.ask(LONG, worker=echo)
    wait_for(lambda: (report := hive.queen.worker(echo)) is not None and report.status == "loading", 8)

    assert asked.reply.frames == []
    with hive.queen.server.client() as redis:
        assert redis.exists(f"{PREFIX}{body_key(asked.task, 1)}") == 1
    celery.resume()
    end = asked.wait().end
    assert end is not None
    assert end.outcome == Outcome.COMPLETED


def test_celery_worker_that_hangs_is_replaced(hive: Hive) -> None:
    echo = hive.place("echo", tokens=3)
    celery = hive.celery()
    celery.suspend()
    wait_for(lambda: not celery.is_running(), 30)
    hive.queen.wait_ready(echo)

    assert hive.queen.ask(LONG, worker=echo).wait().end is not None


def test_agent_killed_takes_its_children_along_and_settles_when_it_is_back(hive: Hive) -> None:
    echo = hive.place("echo", tokens=2000, delay_ms=5)
    asked = hive.queen.ask(LONG, worker=echo)
    asked.wait_text()
    children = hive.kill()
    _, alive = psutil.wait_procs(children, timeout=5)

    assert alive == []
    assert len(children) >= 2
    hive.start()
    assert asked.receipt(30).outcome == Outcome.WORKER_FAILED
    hive.queen.wait_ready(echo)
    assert hive.queen.ask({**LONG, "max_tokens": 3}, worker=echo).wait().end is not None


@pytest.mark.parametrize("away_s", [0.0, 3.0, 12.0])
def test_redis_killed_and_back_empty(hive: Hive, away_s: float) -> None:
    """A task that runs ends as the platform's failure; within 10 s of Redis and its users being back, tasks run."""
    queen = hive.queen
    echo = hive.place("echo", tokens=3000, delay_ms=5)
    short = hive.place("echo", tokens=3)
    asked = queen.ask(LONG, worker=echo)
    asked.wait_text()
    queen.server.kill()
    time.sleep(away_s)
    queen.server.start()
    time.sleep(0.5)  # a queen takes a moment to give the hive its user again
    queen.let_hive_in()
    queen.open_stream()

    assert asked.receipt(20).outcome == Outcome.PLATFORM_FAILED
    began = time.monotonic()
    queen.wait_ready(short, 10)
    wait_for(lambda: _is_answered(queen, short), 10)
    assert time.monotonic() - began < 10


def test_dropped_connections_lose_and_repeat_nothing(hive: Hive) -> None:
    echo = hive.place("echo", tokens=400, delay_ms=5)
    asked = hive.queen.ask(LONG, worker=echo)
    asked.wait_text()
    with hive.queen.server.client() as redis:
        for _ in range(5):
            for client in redis.client_list():
                if client["user"] == HIVE:
                    redis.client_kill_filter(_id=client["id"])
            time.sleep(0.25)
    reply = asked.wait()

    assert reply.end is not None
    assert reply.end.outcome == Outcome.COMPLETED
    said = "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in reply.chunks())
    assert said == "one two three" * 133 + "one"
    cancelled = hive.queen.ask(LONG, worker=echo)
    cancelled.wait_text()
    cancelled.cancel()
    end = cancelled.wait(3).end
    assert end is not None
    assert end.outcome == Outcome.CLIENT_CANCELLED


def test_lost_queen_ends_its_tasks_as_the_platforms_failure(hive: Hive) -> None:
    echo = hive.place("echo", tokens=3000, delay_ms=5)
    asked = hive.queen.ask(LONG, worker=echo)
    asked.wait_text()
    hive.queen.close_stream()

    assert asked.receipt().outcome == Outcome.PLATFORM_FAILED
    assert asked.reply.end is None
    with hive.queen.server.client() as redis:
        assert redis.keys(f"{PREFIX}out:*") == []


def test_receipts_wait_for_a_queen_that_is_down(hive: Hive) -> None:
    echo = hive.place("echo", tokens=3)
    hive.queen.is_down = True
    asked = [hive.queen.ask(LONG, worker=echo) for _ in range(5)]
    for each in asked:
        each.wait()
    assert hive.queen.receipts == []
    hive.stop()
    hive.queen.is_down = False
    hive.start()

    assert {each.receipt().task for each in asked} == {each.task for each in asked}


def test_refused_receipt_is_set_aside_and_not_sent_again(hive: Hive) -> None:
    echo = hive.place("echo", tokens=3)
    seen: list[str] = []

    def refuse(receipt: object) -> str:
        seen.append(getattr(receipt, "task", ""))
        return "fenced" if len(seen) == 1 else ""

    hive.queen.refuse = refuse
    first = hive.queen.ask(LONG, worker=echo)
    first.wait()
    wait_for(lambda: seen)
    second = hive.queen.ask(LONG, worker=echo)
    second.wait()
    second.receipt()
    time.sleep(1)

    assert seen == [first.task, second.task]


def test_hung_engine_is_replaced(hive: Hive) -> None:
    echo = hive.place("echo", tokens=3)
    engine = hive.engine(echo)
    engine.send_signal(signal.SIGSTOP)

    wait_for(lambda: not engine.is_running(), 40)
    hive.queen.wait_ready(echo)


def _is_answered(queen: Queen, worker: str) -> bool:
    asked = queen.ask({**LONG, "max_tokens": 3}, worker=worker, deadline_s=3)
    try:
        return asked.wait(0.5).end is not None
    except AssertionError:
        return False
