import asyncio
import os
import signal
import time

import pytest

from hive_agent.protocol import Control, ControlKind, Frame, FrameKind, Outcome, TaskError
from inference.domain import dispatch, stream
from inference.domain.envelope import open_envelope
from inference.transport import reader
from rbee_cli.up.redis import Redis
from tests.inference.domain.lane import (
    USAGE,
    Lane,
    NobodyLeft,
    failure_of,
    make_caller,
    make_task,
    open_lane,
    read,
)


async def test_an_answer_comes_as_the_hive_wrote_it(lane: Lane) -> None:
    task = make_task()
    starting = lane.start(task)
    hive = lane.hives[0]
    body = await hive.claim()
    assert (body.task, body.attempt, body.request, body.queen) == (task.id, 1, task.body, lane.reader.queen)
    envelope = open_envelope(body.envelope)
    assert (envelope.task, envelope.attempt, envelope.hive) == (task.id, 1, hive.id)
    await hive.answer(body, b"one", b"two", b"three")
    answer = await starting
    assert answer.first is not None
    assert answer.first.data == b"one"
    assert await read(answer) == b"onetwothree"
    assert answer.end is not None
    assert (answer.end.outcome, answer.end.usage) == (Outcome.COMPLETED, USAGE)
    assert lane.is_idle()


async def test_an_answer_that_is_not_streamed_is_one_piece(lane: Lane) -> None:
    starting = lane.start(make_task(stream=False))
    body = await lane.hives[0].claim()
    await lane.hives[0].begin(body)
    await lane.hives[0].result(body, b"x" * 1_000_000)
    await lane.hives[0].end(body)
    pieces = [piece async for piece in (await starting).frames()]
    assert pieces == [b"x" * 1_000_000]


async def test_the_first_frame_is_awaited_however_long_it_takes(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "CLAIM_TIMEOUT_S", 0.05)
    monkeypatch.setattr(dispatch, "BEGIN_TIMEOUT_S", 0.05)
    starting = lane.start()
    body = await lane.hives[0].claim()
    await lane.hives[0].begin(body)
    await asyncio.sleep(0.4)
    assert not starting.done()
    await lane.hives[0].chunks(body, b"late")
    await lane.hives[0].end(body)
    assert await read(await starting) == b"late"
    assert lane.tried == [set()]


async def test_a_task_that_nobody_claims_goes_elsewhere(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "CLAIM_TIMEOUT_S", 0.1)
    first, second = lane.hives
    starting = lane.start()
    body = await second.claim()
    assert body.attempt == 2
    assert await first.claim_now() is None  # its message is there, the body is not
    await second.answer(body, b"hello")
    assert await read(await starting) == b"hello"
    assert (lane.fences, lane.tried) == ([], [set(), {first.id}])
    assert lane.is_idle()


async def test_a_refused_task_goes_elsewhere_at_once(lane: Lane) -> None:
    first, second = lane.hives
    starting = lane.start()
    await first.refuse(await first.claim())
    began = time.monotonic()
    await second.answer(await second.claim(), b"hello")
    assert await read(await starting) == b"hello"
    assert time.monotonic() - began < 1
    assert lane.fences == []


async def test_when_all_refuse_the_chooser_has_the_last_word(lane: Lane) -> None:
    starting = lane.start()
    for hive in lane.hives:
        await hive.refuse(await hive.claim())
    with pytest.raises(NobodyLeft):
        await starting
    assert lane.is_idle()


async def test_three_attempts_are_all(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "CLAIM_TIMEOUT_S", 0.1)
    async with open_lane(redis_url, "a", "b", "c", "d") as lane:
        starting = lane.start()
        failure = await failure_of(starting)
        assert (failure.status, failure.code, failure.headers["retry-after"]) == (503, "no_workers", "1")
        assert await lane.hives[3].deliveries() == 0
        assert lane.is_idle()


async def test_refusals_of_the_full_are_not_counted_among_them(redis_url: str) -> None:
    async with open_lane(redis_url, *"abcde") as lane:
        starting = lane.start()
        for hive in lane.hives[:4]:
            await hive.refuse(await hive.claim())
            (worker,) = [worker for worker in lane.colony.workers if worker.hive_id == hive.id]
            # Until its next heartbeat says otherwise.
            await lane.until(lambda worker=worker: worker.in_flight >= worker.capacity)
        await lane.hives[4].answer(await lane.hives[4].claim(), b"hello")
        assert await read(await starting) == b"hello"


async def test_a_replaced_hive_is_fenced_before_another_begins(lane: Lane) -> None:
    first, second = lane.hives
    task = make_task()
    starting = lane.start(task)
    old = await first.claim()
    await first.begin(old)
    first.epoch = 2
    await first.beat()
    body = await second.claim()
    assert (body.attempt, lane.fences) == (2, [(task.id, 2)])
    await first.chunks(old, b"from the dead")  # a zombie's frames count no more
    await first.end(old)
    await second.answer(body, b"alive")
    assert await read(await starting) == b"alive"
    assert Control(ControlKind.CANCEL, task.id, 1, Outcome.PLATFORM_FAILED) in await first.controls()
    assert lane.settled == []
    assert lane.is_idle()


async def test_a_claim_that_never_begins_is_fenced(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "CLAIM_TIMEOUT_S", 0.05)
    monkeypatch.setattr(dispatch, "BEGIN_TIMEOUT_S", 0.1)
    starting = lane.start()
    old = await lane.hives[0].claim()
    body = await lane.hives[1].claim()
    assert (body.attempt, lane.fences) == (2, [(old.task, 2)])
    await lane.hives[1].answer(body, b"alive")
    assert await read(await starting) == b"alive"


async def test_a_fenced_task_without_another_hive_is_booked_as_failed(redis_url: str) -> None:
    async with open_lane(redis_url, "only") as lane:
        hive = lane.hives[0]
        starting = lane.start()
        body = await hive.claim()
        await hive.begin(body)
        hive.epoch = 2
        await hive.beat()
        with pytest.raises(NobodyLeft):
            await starting
        await lane.until(lambda: lane.settled)
        (envelope, attempt) = lane.settled[0]
        assert (envelope.task, envelope.attempt, attempt) == (body.task, 1, 2)
        assert lane.is_idle()


async def test_a_task_that_was_settled_meanwhile_does_not_begin_again(lane: Lane) -> None:
    lane.fence_answer = lambda: False
    starting = lane.start()
    hive = lane.hives[0]
    await hive.begin(await hive.claim())
    hive.epoch = 2
    await hive.beat()
    failure = await failure_of(starting)
    assert (failure.status, failure.code) == (500, "worker_error")
    assert await lane.hives[1].deliveries() == 0
    assert lane.settled == []


async def test_a_fence_that_fails_keeps_the_task_from_moving(lane: Lane) -> None:
    answers = iter([OSError("the database is away"), True])

    def answer() -> bool:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        return found

    lane.fence_answer = answer
    starting = lane.start()
    hive = lane.hives[0]
    body = await hive.claim()
    await hive.begin(body)
    hive.epoch = 2
    await hive.beat()
    assert (await failure_of(starting)).code == "worker_error"
    assert await lane.hives[1].deliveries() == 0
    await lane.until(lambda: [attempt for _, attempt in lane.settled] == [2])  # once the database is back


async def test_a_begin_that_is_read_after_its_hive_was_replaced_is_lost(lane: Lane) -> None:
    first, second = lane.hives
    starting = lane.start()
    old = await first.claim()
    first.epoch = 2
    await first.beat()
    await lane.until(lambda: lane.colony.hives[first.id].epoch == 2)
    first.epoch = 1
    await first.begin(old)
    await second.answer(await second.claim(), b"alive")
    assert await read(await starting) == b"alive"
    assert lane.fences == [(old.task, 2)]


async def test_an_answer_that_was_whole_before_its_hive_was_replaced_is_delivered(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    hive.epoch = 2
    await hive.beat()
    await lane.until(lambda: lane.colony.hives[hive.id].epoch == 2)
    frames = [
        Frame(body.task, 1, 0, FrameKind.BEGUN, b"\x92\x01\xa1w"),
        Frame(body.task, 1, 0, FrameKind.CHUNK, b"whole"),
        Frame(body.task, 1, 1, FrameKind.END, b"\x92\xa9completed\x80"),
    ]
    await hive.write(body.queen, frames)
    assert await read(await starting) == b"whole"
    assert (lane.fences, lane.settled) == ([], [])


async def test_a_caller_that_leaves_during_the_fence_leaves_no_task_unbooked(lane: Lane) -> None:
    hive = lane.hives[0]
    is_fencing = asyncio.Event()

    async def fence(*_: object) -> bool:
        if not is_fencing.is_set():
            is_fencing.set()
            await asyncio.sleep(10)
        return True

    lane.dispatcher._failover._fence = fence
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    hive.epoch = 2
    await hive.beat()
    await is_fencing.wait()
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    await lane.until(lambda: lane.settled)
    assert [(envelope.task, attempt) for envelope, attempt in lane.settled] == [(body.task, 2)]


async def test_a_cancel_while_redis_is_away_is_told_later(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"half")
    answer = await starting
    await lane.pipe.close()
    answer.cancel()
    assert await hive.controls() == []
    await lane.pipe.connect()
    async with asyncio.timeout(5):
        while await hive.controls() != [Control(ControlKind.CANCEL, body.task, 1, Outcome.CLIENT_CANCELLED)]:
            await asyncio.sleep(0.02)


async def test_a_hive_that_is_lost_after_the_first_chunk_ends_the_answer(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"half")
    answer = await starting
    lane.dispatcher._on_hive_lost(hive.id)
    pieces = answer.frames()
    assert await anext(pieces) == b"half"
    failure = await failure_of(anext(pieces))
    assert (failure.status, failure.code) == (500, "worker_error")
    await lane.until(lambda: lane.settled)
    assert lane.fences == [(body.task, 2)]
    assert [(envelope.attempt, attempt) for envelope, attempt in lane.settled] == [(1, 2)]
    assert lane.is_idle()


async def test_frames_of_a_hive_that_was_not_given_the_task_do_not_count(lane: Lane) -> None:
    hive, thief = lane.hives
    starting = lane.start()
    other = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.refuse(await hive.claim())
    second = await thief.claim()
    await thief.begin(second)  # so that its stream is read
    await thief.chunks(body, b"stolen")
    await thief.end(body)
    await thief.chunks(second, b"its own")
    await thief.end(second)
    assert await read(await other) == b"its own"
    assert not starting.done()
    await hive.chunks(body, b"true")
    await hive.end(body)
    assert await read(await starting) == b"true"


async def test_a_hole_fails_the_answer_and_stops_the_hive(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"0")
    answer = await starting
    await hive.send(body, FrameKind.CHUNK, 2, b"2")
    failure = await failure_of(read(answer))
    assert (failure.status, failure.code) == (500, "stream_broken")
    assert [control.outcome for control in await hive.controls()] == [Outcome.PLATFORM_FAILED]
    await hive.send(body, FrameKind.END, 3, b"\x92\xa9completed\x80")
    await lane.until(lane.is_idle)


async def test_an_end_that_counts_more_frames_than_came_is_a_hole(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"0")
    await hive.send(body, FrameKind.END, 2, b"\x92\xa9completed\x80")
    assert (await failure_of(read(await starting))).code == "stream_broken"
    assert lane.is_idle()


async def test_an_error_before_the_first_chunk_is_the_tasks_own(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.error(
        body, TaskError(400, "invalid_request_error", "context_length_exceeded", "Too long.", "messages")
    )
    await hive.end(body, Outcome.REJECTED)
    failure = await failure_of(starting)
    assert (failure.status, failure.type, failure.code, failure.message, failure.param) == (
        400, "invalid_request_error", "context_length_exceeded", "Too long.", "messages",
    )  # fmt: skip
    await lane.until(lane.is_idle)
    assert await hive.controls() == []


async def test_an_error_in_the_middle_follows_what_came_before(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"half")
    await hive.error(body, TaskError(599, "server_error", "worker_error", "The engine died."))
    await hive.end(body, Outcome.WORKER_FAILED)
    answer = await starting
    pieces = answer.frames()
    assert await anext(pieces) == b"half"
    failure = await failure_of(anext(pieces))
    assert (failure.status, failure.message) == (599, "The engine died.")
    await lane.until(lane.is_idle)


@pytest.mark.parametrize(
    ("outcome", "code"), [(Outcome.TIMED_OUT, "timeout"), (Outcome.PLATFORM_FAILED, "worker_error")]
)
async def test_an_end_without_completion_is_never_a_whole_answer(
    lane: Lane, outcome: Outcome, code: str
) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"half")
    await hive.end(body, outcome)
    assert (await failure_of(read(await starting))).code == code


async def test_a_client_that_reads_nothing_has_its_task_cancelled(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    piece = b"x" * 16_384
    await hive.chunks(body, *[piece] * 17)
    answer = await starting
    await lane.until(lambda: answer.is_cancelled)
    assert answer._bytes == 0
    assert (await failure_of(read(answer))).code == "client_too_slow"
    assert await hive.controls() == [Control(ControlKind.CANCEL, body.task, 1, Outcome.CLIENT_CANCELLED)]
    await hive.end(body, Outcome.CLIENT_CANCELLED)
    await lane.until(lane.is_idle)
    assert stream.BUFFER_BYTES == 262_144


async def test_cancelling_twice_tells_the_hive_once(lane: Lane) -> None:
    caller = make_caller(concurrent_tasks=1)
    hive = lane.hives[0]
    starting = lane.start(make_task(caller))
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"half")
    answer = await starting
    answer.cancel()
    answer.cancel(Outcome.TIMED_OUT)
    assert await read(answer) == b""
    assert not lane.is_idle()  # what it used is not known yet
    await hive.chunks(body, b"more")
    await hive.end(body, Outcome.CLIENT_CANCELLED, {"prompt_tokens": 3, "completion_tokens": 4})
    await lane.until(lane.is_idle)
    answer.cancel()
    assert await hive.controls() == [Control(ControlKind.CANCEL, body.task, 1, Outcome.CLIENT_CANCELLED)]
    assert await lane.reserver.used_today(caller.tenant_id) == 7


async def test_a_caller_that_leaves_while_waiting_cancels_its_task(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await lane.until(lambda: any(stream.begun for stream in lane.dispatcher.live.values()))
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await hive.controls() == [Control(ControlKind.CANCEL, body.task, 1, Outcome.CLIENT_CANCELLED)]
    await hive.end(body, Outcome.CLIENT_CANCELLED)
    await lane.until(lane.is_idle)


async def test_a_caller_that_leaves_before_anybody_claims_leaves_nothing_behind(lane: Lane) -> None:
    caller = make_caller(concurrent_tasks=1, requests_per_minute=5)
    for turns in range(6):  # also before Redis has answered the reservation
        starting = lane.start(make_task(caller))
        for _ in range(turns):
            await asyncio.sleep(0)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
    await lane.until(lane.is_idle)
    assert await lane.hives[0].claim_now() is None
    assert await lane.reserver.used_today(caller.tenant_id) == 0
    assert await lane.pipe.call("ZCARD", f"rbee:lim:{caller.tenant_id}:tasks") == 0


async def test_a_task_past_its_deadline_is_ended_by_the_queen(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "DEADLINE_GRACE_S", 0.0)
    hive = lane.hives[0]
    starting = lane.start(make_task(deadline_ms=time.time_ns() // 1_000_000 + 300))
    body = await hive.claim()
    await hive.begin(body)
    failure = await failure_of(starting)
    assert (failure.status, failure.code) == (504, "timeout")
    assert [control.outcome for control in await hive.controls()] == [Outcome.TIMED_OUT]
    assert (await failure_of(lane.start(make_task(deadline_ms=0)))).code == "timeout"


async def test_a_client_that_stalls_in_a_write_has_its_task_cancelled(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "STALLED_S", 0.1)
    monkeypatch.setattr(dispatch, "SWEEP_INTERVAL_S", 0.05)
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"half")
    pieces = (await starting).frames()
    assert await anext(pieces) == b"half"
    await asyncio.sleep(1.3)
    assert (await failure_of(anext(pieces))).code == "client_too_slow"
    assert [control.outcome for control in await hive.controls()] == [Outcome.CLIENT_CANCELLED]


async def test_a_cancelled_task_that_never_ends_is_let_go(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "LINGER_S", 0.1)
    caller = make_caller()
    hive = lane.hives[0]
    starting = lane.start(make_task(caller))
    body = await hive.claim()
    await hive.begin(body)
    await hive.chunks(body, b"half")
    (await starting).cancel()
    await lane.until(lane.is_idle)
    assert (
        await lane.reserver.used_today(caller.tenant_id) == 30
    )  # what it used is not known: all that it reserved


async def test_a_killed_redis_ends_every_task_with_an_explicit_error(
    mortal_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "RENEW_INTERVAL_S", 0.2)
    assert mortal_redis.process
    async with open_lane(mortal_redis.url, "a") as lane:
        hive = lane.hives[0]
        streaming = lane.start()
        body = await hive.claim()
        await hive.begin(body)
        await hive.chunks(body, b"half")
        answer = await streaming
        waiting = lane.start()
        await hive.begin(await hive.claim())
        os.kill(mortal_redis.process.pid, signal.SIGKILL)
        mortal_redis.process.wait(5)
        await lane.until(lambda: not lane.pipe.is_connected)
        assert (await failure_of(lane.start())).code == "redis_unreachable"
        mortal_redis.respawn()
        mortal_redis.wait_ready()
        for failure in (await failure_of(read(answer)), await failure_of(waiting)):
            assert (failure.status, failure.type, failure.code) == (503, "server_error", "stream_lost")
        assert lane.is_idle()
        await lane.until(lambda: lane.pipe.is_connected)
        assert (await failure_of(lane.start())).code == "rebuilding"  # nobody set the epoch again
        assert lane.settled == []


async def test_a_dropped_connection_loses_and_repeats_nothing(lane: Lane) -> None:
    hive = lane.hives[0]
    starting = lane.start()
    body = await hive.claim()
    await hive.begin(body)
    for number in range(300):
        await hive.chunks(body, b"%d " % number)
        if number in (50, 150, 250):
            await lane.hive_pipe.call("CLIENT", "KILL", "ID", await _client_id(lane, "reader"))
    await hive.end(body)
    assert await read(await starting) == b"".join(b"%d " % number for number in range(300))


async def test_a_thousand_tasks_run_side_by_side(lane: Lane) -> None:
    count = 1000
    starts = [lane.start(make_task(answer_id=f"{number}")) for number in range(count)]

    async def serve() -> None:
        bodies = [await lane.hives[0].claim() for _ in range(count)]
        for body in bodies:
            frames = [Frame(body.task, 1, 0, FrameKind.BEGUN, b"\x92\x01\xa1w")]
            frames += [
                Frame(body.task, 1, n, FrameKind.CHUNK, b"%s.%d " % (body.answer_id.encode(), n))
                for n in range(5)
            ]
            await lane.hives[0].write(body.queen, frames)
            await lane.hives[0].send(body, FrameKind.END, 5, b"\x92\xa9completed\x80")

    serving = asyncio.create_task(serve())
    answers = [await read(await start) for start in starts]
    await serving
    assert answers == [b"".join(b"%d.%d " % (number, n) for n in range(5)) for number in range(count)]
    assert lane.is_idle()


async def _client_id(lane: Lane, name: str) -> str:
    async with asyncio.timeout(5):
        while True:
            for line in (await lane.hive_pipe.call("CLIENT", "LIST")).decode().splitlines():
                facts = dict(fact.split("=", 1) for fact in line.split(" "))
                if facts["name"] == name:
                    return facts["id"]
            await asyncio.sleep(0.005)
