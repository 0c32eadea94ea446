"""Tasks that are stopped: by a client, a deadline, a drain."""

import signal
import threading
import time
import uuid

import msgspec

from hive_agent import protocol as wire
from hive_agent.protocol import Control, ControlKind, Outcome
from tests.hive_agent.hive import Hive
from tests.hive_agent.queen import wait_for

LONG = {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 12_000, "ignore_eos": True}


def test_cancel_stops_llama_and_bills_what_it_counted(shared_hive: Hive, llama: str) -> None:
    asked = shared_hive.queen.ask(LONG, worker=llama)
    asked.wait_text()
    asked.cancel()
    began = time.monotonic()
    reply = asked.wait()
    took_s = time.monotonic() - began
    line = shared_hive.log_line(llama, asked.task)
    receipt = asked.receipt()

    assert took_s < 1
    assert reply.end is not None
    assert reply.end.outcome == receipt.outcome == Outcome.CLIENT_CANCELLED
    assert line.outcome == "aborted"
    assert 0 < line.completion_tokens < 12_000
    assert {name: receipt.usage[name] for name in line.usage} == line.usage


def test_cancel_of_an_answer_that_is_not_streamed(shared_hive: Hive, llama: str) -> None:
    asked = shared_hive.queen.ask(LONG, worker=llama, stream=False)
    wait_for(lambda: asked.reply.begun)
    asked.cancel()
    reply = asked.wait()
    line = shared_hive.log_line(llama, asked.task)

    assert reply.of(wire.FrameKind.RESULT) == []
    assert reply.end is not None
    assert reply.end.outcome == Outcome.CLIENT_CANCELLED
    receipt = asked.receipt()
    assert {name: receipt.usage[name] for name in line.usage} == line.usage


def test_many_cancels_at_random_moments_are_all_exact(shared_hive: Hive, llama: str) -> None:
    asked = []
    for number in range(24):
        is_cancelled = number % 2 == 1
        max_tokens = LONG["max_tokens"] if is_cancelled else 120 + number  # none ends before it is cancelled
        asked.append(shared_hive.queen.ask({**LONG, "max_tokens": max_tokens}, worker=llama))
        if is_cancelled:
            time.sleep(0.004 * number)
            asked[-1].cancel()
    for each in asked:
        each.wait()
    receipts = [each.receipt() for each in asked]
    counted = [shared_hive.engine_usage(llama, each.task) for each in asked]

    assert [{name: each.usage[name] for name in counted[0]} for each in receipts] == counted
    assert {each.outcome for each in receipts} == {Outcome.COMPLETED, Outcome.CLIENT_CANCELLED}


def test_cancel_that_comes_before_its_task_is_remembered(shared_hive: Hive, echo: str) -> None:
    task = uuid.uuid4().hex
    shared_hive.queen.tell(Control(ControlKind.CANCEL, task, 1))
    time.sleep(0.2)
    asked = shared_hive.queen.ask(LONG, worker=echo, task=task)

    assert asked.wait().end == wire.End(
        Outcome.CLIENT_CANCELLED,
        {"prompt_tokens": 0, "cached_tokens": 0, "completion_tokens": 0, "engine_ms": 0},
    )
    assert asked.receipt().outcome == Outcome.CLIENT_CANCELLED


def test_task_that_reaches_its_deadline_times_out(shared_hive: Hive) -> None:
    slow = shared_hive.place("echo", tokens=1000, delay_ms=20)
    asked = shared_hive.queen.ask(LONG, worker=slow, deadline_s=0.5)
    reply = asked.wait()

    assert reply.error is not None
    assert (reply.error.status, reply.error.code) == (504, "timeout")
    assert reply.end is not None
    assert reply.end.outcome == Outcome.TIMED_OUT
    assert asked.receipt().outcome == Outcome.TIMED_OUT


def test_message_delivered_twice_runs_once(shared_hive: Hive, echo: str) -> None:
    asked = shared_hive.queen.ask(LONG, worker=echo, deliveries=3)
    reply = asked.wait()
    shared_hive.queen.ask(LONG, worker=echo).wait()

    assert len(reply.of(wire.FrameKind.BEGUN)) == 1
    assert len(reply.of(wire.FrameKind.END)) == 1
    assert len([each for each in shared_hive.queen.receipts if each.task == asked.task]) == 1


def test_same_attempt_given_out_again_does_not_run_again(shared_hive: Hive, echo: str) -> None:
    shared_hive.queen.is_down = True  # the receipt stays in the spool
    try:
        asked = shared_hive.queen.ask(LONG, worker=echo)
        asked.wait()
        shared_hive.queen.ask(LONG, worker=echo, task=asked.task)
        shared_hive.queen.ask(LONG, worker=echo).wait()

        assert len(asked.reply.of(wire.FrameKind.BEGUN)) == 1
    finally:
        shared_hive.queen.is_down = False
    assert asked.receipt().outcome == Outcome.COMPLETED


def test_message_whose_body_was_taken_back_does_nothing(shared_hive: Hive, echo: str) -> None:
    taken_back = shared_hive.queen.ask(LONG, worker=echo, store_body=False)
    shared_hive.queen.ask(LONG, worker=echo).wait()

    assert taken_back.reply.frames == []


def test_unknown_worker_is_refused(shared_hive: Hive, echo: str) -> None:
    reply = shared_hive.queen.ask(LONG, worker=uuid.uuid4().hex).wait()

    assert reply.error == wire.TaskError(
        503, "service_unavailable", "no_workers", "The worker is not on this hive."
    )
    assert reply.begun is None


def test_full_worker_refuses_what_it_cannot_hold(shared_hive: Hive) -> None:
    small = shared_hive.place("echo", tokens=100, delay_ms=10, capacity=2)
    asked = [shared_hive.queen.ask(LONG, worker=small) for _ in range(4)]
    refused = [each.wait().is_refused for each in asked]

    assert sorted(refused) == [False, False, True, True]


def test_cancel_is_heard_while_the_pool_is_full(hive: Hive) -> None:
    slow = hive.place("echo", tokens=400, delay_ms=20, capacity=200, slots=200)
    asked = [hive.queen.ask(LONG, worker=slow) for _ in range(130)]
    wait_for(lambda: sum(each.reply.begun is not None for each in asked) == 128, 20)
    asked[0].cancel()
    began = time.monotonic()
    asked[0].wait(5)

    assert time.monotonic() - began < 2
    for each in asked:
        each.cancel()
    for each in asked:
        assert each.wait().end is not None


def test_sigterm_finishes_what_runs_and_sends_its_receipts(hive: Hive) -> None:
    echo = hive.place("echo", tokens=100, delay_ms=20)
    asked = hive.queen.ask(LONG, worker=echo)
    asked.wait_text()
    status: list[int] = []
    stopping = threading.Thread(target=lambda: status.append(hive.stop()))
    stopping.start()
    wait_for(lambda: (beat := hive.queen.heartbeat()) is not None and beat.draining)
    late = hive.queen.ask(LONG, worker=echo)
    stopping.join()

    assert status == [0]
    assert asked.reply.end is not None
    assert asked.reply.end.outcome == Outcome.COMPLETED
    assert asked.reply.end.usage["completion_tokens"] == 100
    assert [each.task for each in hive.queen.receipts] == [asked.task]
    assert late.reply.frames == [] or late.reply.is_refused


def test_second_sigterm_quits_at_once(hive: Hive) -> None:
    echo = hive.place("echo", tokens=1000, delay_ms=20)
    asked = hive.queen.ask(LONG, worker=echo)
    asked.wait_text()
    assert hive.process is not None
    hive.process.send_signal(signal.SIGTERM)
    wait_for(lambda: (beat := hive.queen.heartbeat()) is not None and beat.draining)
    began = time.monotonic()
    hive.process.send_signal(signal.SIGTERM)
    hive.process.wait(10)

    assert time.monotonic() - began < 4


def test_drain_by_control_takes_nothing_more(hive: Hive) -> None:
    echo = hive.place("echo", tokens=50, delay_ms=20)
    running = hive.queen.ask(LONG, worker=echo)
    running.wait_text()
    hive.queen.tell(Control(ControlKind.DRAIN))
    wait_for(lambda: (beat := hive.queen.heartbeat()) is not None and beat.draining)
    reply = hive.queen.ask(LONG, worker=echo).wait()

    assert reply.is_refused
    end = running.wait().end
    assert end is not None
    assert end.outcome == Outcome.COMPLETED


def test_placement_with_other_options_is_started_anew(hive: Hive) -> None:
    echo = hive.place("echo", tokens=5)
    (placement,) = hive.queen.placements
    hive.queen.placements = [msgspec.structs.replace(placement, options={"tokens": 2})]
    before = hive.engine(echo).pid
    hive.queen.tell(Control(ControlKind.PLACEMENTS))
    wait_for(lambda: (report := hive.queen.worker(echo)) is not None and report.pid not in {0, before})
    hive.queen.wait_ready(echo)
    end = hive.queen.ask(LONG, worker=echo).wait().end

    assert end is not None
    assert end.usage["completion_tokens"] == 2


def test_placement_that_goes_away_ends_its_engine(hive: Hive) -> None:
    echo = hive.place("echo", tokens=5)
    engine = hive.engine(echo)
    hive.queen.placements = []
    hive.queen.tell(Control(ControlKind.PLACEMENTS))

    wait_for(lambda: not engine.is_running())
    wait_for(lambda: hive.queen.worker(echo) is None)
    assert hive.queen.ask(LONG, worker=echo).wait().is_refused
