import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from hive_agent.protocol import FRAMES_FIELD, STREAM_EXPIRY_S, Frame, FrameKind, encode, out_stream
from inference.transport import reader as reader_module
from inference.transport.reader import TokenReader
from inference.transport.resp import RedisPipe


@dataclass
class Kept:
    """A sink that keeps what comes."""

    hive_id: str
    attempt: int = 1
    frames: list[bytes] = field(default_factory=list)
    is_lost: bool = False

    def on_frame(self, frame: Frame) -> None:
        self.frames.append(frame.data)

    def on_stream_lost(self) -> None:
        self.is_lost = True


@pytest.fixture
async def reader(redis_url: str) -> AsyncIterator[TokenReader]:
    own = RedisPipe(redis_url, name="reader")
    await own.connect()
    reader = TokenReader(own, "q1")
    await reader.start()
    yield reader
    await reader.stop()
    await own.close()


def expect(reader: TokenReader, pipe: RedisPipe, task: str, hive: str = "a", attempt: int = 1) -> Kept:
    sink = Kept(hive, attempt)
    reader.expect(task, f"h:{hive}:", sink, pipe)
    return sink


async def write(pipe: RedisPipe, hive: str, *frames: Frame) -> object:
    return await pipe.call("XADD", key(hive), "NOMKSTREAM", "*", FRAMES_FIELD, encode(frames))


def key(hive: str) -> str:
    return f"h:{hive}:{out_stream('q1')}"


def chunk(task: str, data: bytes, attempt: int = 1) -> Frame:
    return Frame(task, attempt, 0, FrameKind.CHUNK, data)


async def until(claim: object) -> None:
    async with asyncio.timeout(5):
        while not claim():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_frames_reach_their_tasks_over_many_hives(pipe: RedisPipe, reader: TokenReader) -> None:
    sinks = {f"{hive}{n}": expect(reader, pipe, f"{hive}{n}", hive) for hive in "abc" for n in range(3)}
    for turn in range(50):
        for hive in "abc":
            await write(pipe, hive, *(chunk(f"{hive}{n}", b"%d" % turn) for n in range(3)))
    await until(lambda: all(len(sink.frames) == 50 for sink in sinks.values()))
    assert {task: b"".join(sink.frames) for task, sink in sinks.items()} == {
        task: b"".join(b"%d" % turn for turn in range(50)) for task in sinks
    }


async def test_frames_of_another_attempt_hive_or_task_are_passed_over(
    pipe: RedisPipe, reader: TokenReader
) -> None:
    mine = expect(reader, pipe, "t", "a", attempt=2)
    expect(reader, pipe, "other", "b")
    await write(pipe, "a", chunk("t", b"zombie", attempt=1), chunk("unknown", b"?"))
    await write(pipe, "b", chunk("t", b"stolen", attempt=2))
    await write(pipe, "a", chunk("t", b"mine", attempt=2))
    await until(lambda: mine.frames)
    await asyncio.sleep(0.05)
    assert mine.frames == [b"mine"]
    reader.forget("t")
    await write(pipe, "a", chunk("t", b"late", attempt=2))
    await asyncio.sleep(0.05)
    assert mine.frames == [b"mine"]


async def test_streams_are_renewed_while_the_reader_moves_and_trimmed_behind_it(
    pipe: RedisPipe, reader: TokenReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "RENEW_INTERVAL_S", 0.1)
    sink = expect(reader, pipe, "t")
    for _ in range(200):
        await write(pipe, "a", chunk("t", b"x"))
    await until(lambda: len(sink.frames) == 200)
    await pipe.call("PEXPIRE", key("a"), 1000)
    await asyncio.sleep(0.3)
    assert await pipe.call("XLEN", key("a")) == 0
    assert await pipe.call("PTTL", key("a")) > 8000
    reader.forget("t")  # idle ones are kept too, for a while
    await pipe.call("PEXPIRE", key("a"), 1000)
    await asyncio.sleep(0.3)
    assert await pipe.call("PTTL", key("a")) > 8000
    await reader.stop()
    await asyncio.sleep(0.3)
    assert 0 < await pipe.call("PTTL", key("a")) <= STREAM_EXPIRY_S * 1000 - 200


async def test_what_was_read_last_does_not_stay_until_there_is_another_task(
    pipe: RedisPipe, reader: TokenReader
) -> None:
    sink = expect(reader, pipe, "t")
    await write(pipe, "a", chunk("t", b"the last words"))
    await until(lambda: bool(sink.frames))
    reader.forget("t")

    deadline = asyncio.get_running_loop().time() + reader_module.RENEW_INTERVAL_S + 1
    while await pipe.call("XLEN", key("a")):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)
    again = expect(reader, pipe, "u")
    await write(pipe, "a", chunk("u", b"another"))
    await until(lambda: again.frames == [b"another"])


async def test_a_stream_that_is_gone_loses_its_tasks_and_no_others(
    pipe: RedisPipe, reader: TokenReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "RENEW_INTERVAL_S", 0.1)
    gone, kept = expect(reader, pipe, "t"), expect(reader, pipe, "u", "b")
    await asyncio.sleep(0.2)
    await pipe.call("DEL", key("a"))
    assert await write(pipe, "a", chunk("t", b"x")) is None  # its hive finds out as well
    await until(lambda: gone.is_lost)
    again = expect(reader, pipe, "v")  # the next task makes it anew
    await write(pipe, "a", chunk("v", b"fresh"))
    await write(pipe, "b", chunk("u", b"on"))
    await until(lambda: again.frames and kept.frames)
    assert (again.frames, kept.frames, kept.is_lost) == ([b"fresh"], [b"on"], False)


async def test_a_hive_that_spoils_its_stream_spoils_nobody_elses(
    pipe: RedisPipe, reader: TokenReader
) -> None:
    spoiled, kept = expect(reader, pipe, "t"), expect(reader, pipe, "u", "b")
    await write(pipe, "a", chunk("t", b"x"))
    await until(lambda: spoiled.frames)
    await pipe.call("SET", key("a"), "no stream")
    await until(lambda: spoiled.is_lost)
    await write(pipe, "b", chunk("u", b"on"))
    await until(lambda: kept.frames)
    nonsense = expect(reader, pipe, "v", "c")
    for data in (b"", b"\xc1", encode("text"), encode([[1, 2, 3, 4, 5]])):
        await pipe.call("XADD", key("c"), "*", FRAMES_FIELD, data)
    await pipe.call("XADD", key("c"), "*", "other", "field")
    await write(pipe, "c", chunk("v", b"on"))
    await until(lambda: nonsense.frames)
    assert (kept.frames, nonsense.frames) == ([b"on"], [b"on"])


async def test_tasks_are_given_up_when_redis_stays_away(
    pipe: RedisPipe, reader: TokenReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_module, "REDIS_GRACE_S", 0.2)
    sink = expect(reader, pipe, "t")
    await asyncio.sleep(0.05)
    await reader._pipe.close()
    await until(lambda: sink.is_lost)


async def test_an_idle_reader_wakes_for_the_first_task(pipe: RedisPipe, reader: TokenReader) -> None:
    for turn in range(3):
        await asyncio.sleep(0.1)
        sink = expect(reader, pipe, f"t{turn}")
        await write(pipe, "a", chunk(f"t{turn}", b"x"))
        await until(lambda sink=sink: sink.frames)
        reader.forget(f"t{turn}")
