"""What every engine has to do, the same test for all."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psutil
import pytest

from hive_agent.engine_client import EngineClient, EngineLost, EngineRejected
from hive_agent.engine_process import EngineProcess
from hive_agent.engines import NAMES, load_engine
from hive_agent.engines.base import Counts, Event
from hive_agent.errors import EngineFailed
from hive_agent.protocol import Endpoint
from hive_agent.shared_state import WorkerEntry

CHAT: dict[str, Any] = {
    "messages": [{"role": "user", "content": "one two three"}],
    "max_tokens": 32,
    "seed": 7,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "llama_cpp": {"context_tokens": 8192, "slots": 2},
    "echo": {"tokens": 7000, "delay_ms": 2.0, "slots": 2, "context_tokens": 8192},
}
ENDLESS = {"max_tokens": 7000, "ignore_eos": True}


@dataclass
class Running:
    process: EngineProcess
    client: EngineClient
    entry: WorkerEntry
    log: Path
    asked: int = 0
    said: "dict[str, Said]" = field(default_factory=dict)

    async def ask(
        self, request: dict[str, Any], task: str = "", endpoint: Endpoint = Endpoint.CHAT
    ) -> "Said":
        self.asked += 1
        task = task or f"task{self.asked}"
        engine = self.process.engine
        translated = engine.translate(endpoint, json.dumps(request).encode())
        counter = engine.counter(translated)
        said = self.said[task] = Said(task, [], counter.counts)
        async for event in self.client.events(self.entry, engine, f"{task}:1", endpoint, translated, counter):
            said.events.append(event)
        return said

    async def has_begun(self, task: str) -> None:
        while task not in self.said or not self.said[task].counts.completion_tokens:
            await asyncio.sleep(0.005)

    def log_of(self, task: str) -> dict[str, str]:
        (line,) = [line for line in self.log.read_text().splitlines() if f"task={task} " in line]
        return dict(re.findall(r"(\w+)=(\S+)", line))


@dataclass
class Said:
    task: str
    events: list[Event]
    counts: Counts

    def text(self) -> str:
        said = ""
        for event in self.events:
            for choice in json.loads(bytes(event.choices) or b"[]"):
                said += choice.get("text") or choice.get("delta", {}).get("content") or ""
        return said

    def finish_reason(self) -> str:
        reasons = [
            choice["finish_reason"]
            for event in self.events
            for choice in json.loads(bytes(event.choices) or b"[]")
            if choice["finish_reason"]
        ]
        return str(reasons[-1])


@pytest.fixture(params=NAMES)
async def engine(request: pytest.FixtureRequest, tiny_gguf: Path, tmp_path: Path) -> AsyncIterator[Running]:
    async with running(request.param, tiny_gguf, tmp_path) as started:
        yield started


@asynccontextmanager
async def running(name: str, gguf: Path, folder: Path) -> AsyncIterator[Running]:
    engine = load_engine(name)
    log = folder / "engine.log"
    process = EngineProcess(engine, gguf if engine.has_file else None, OPTIONS[name], log)
    client = EngineClient()
    try:
        health = await process.start()
        assert (health.slots, health.context_tokens, health.device) == (2, 8192, "cpu")
        entry = WorkerEntry(
            id="w",
            model="m",
            engine=name,
            url=process.url,
            key=process.key,
            slots=2,
            capacity=8,
            is_ready=True,
        )
        yield Running(process, client, entry, log)
    finally:
        await client.close()
        await process.stop()


async def test_chat_is_streamed_and_counted(engine: Running) -> None:
    said = await engine.ask(CHAT)

    assert said.text() != ""
    assert said.finish_reason() == "length"
    assert said.counts.completion_tokens == 32
    assert said.counts.prompt_tokens >= 3


async def test_completion_is_streamed_and_counted(engine: Running) -> None:
    said = await engine.ask(
        {"prompt": "one two three", "max_tokens": 32, "seed": 7}, endpoint=Endpoint.COMPLETIONS
    )

    assert said.text() != ""
    assert said.counts.completion_tokens == 32
    assert said.counts.prompt_tokens >= 3


async def test_log_says_what_the_client_was_told(engine: Running) -> None:
    said = await engine.ask(CHAT)
    line = engine.log_of(said.task)

    assert line["outcome"] == "completed"
    assert (int(line["prompt_tokens"]), int(line["completion_tokens"])) == (
        said.counts.prompt_tokens,
        said.counts.completion_tokens,
    )


async def test_abort_takes_less_than_a_second_and_tells_the_counts(engine: Running) -> None:
    asking = asyncio.create_task(engine.ask({**CHAT, **ENDLESS}, task="long"))
    await engine.has_begun("long")
    began = time.monotonic()
    await engine.client.abort(engine.entry, "long:1")
    said = await asking
    line = engine.log_of("long")

    assert time.monotonic() - began < 1
    assert said.events[-1].aborted
    assert line["outcome"] == "aborted"
    assert 0 < int(line["completion_tokens"]) < 7000
    assert (int(line["prompt_tokens"]), int(line["completion_tokens"])) == (
        said.counts.prompt_tokens,
        said.counts.completion_tokens,
    )


async def test_client_that_hangs_up_aborts_its_task(engine: Running) -> None:
    asking = asyncio.create_task(engine.ask({**CHAT, **ENDLESS}, task="gone"))
    await engine.has_begun("gone")
    asking.cancel()
    await asyncio.sleep(0.5)

    assert engine.log_of("gone")["outcome"] == "aborted"


async def test_waiting_task_is_aborted_before_its_turn(engine: Running) -> None:
    long = [asyncio.create_task(engine.ask({**CHAT, **ENDLESS}, task=f"long{number}")) for number in range(2)]
    await engine.has_begun("long0")
    await engine.has_begun("long1")
    waiting = asyncio.create_task(engine.ask(CHAT, task="waiting"))
    await asyncio.sleep(0.02)
    await engine.client.abort(engine.entry, "waiting:1")
    said = await waiting
    for number, task in enumerate(long):
        await engine.client.abort(engine.entry, f"long{number}:1")
        await task

    assert said.counts == Counts()
    assert engine.log_of("waiting")["outcome"] == "aborted"


async def test_prompt_that_does_not_fit_is_a_400(engine: Running) -> None:
    with pytest.raises(EngineRejected) as raised:
        await engine.ask({"messages": [{"role": "user", "content": "one two " * 5000}]})

    assert (raised.value.error.status, raised.value.error.code) == (400, "context_length_exceeded")


async def test_messages_of_the_wrong_shape_are_a_400(engine: Running) -> None:
    with pytest.raises(EngineRejected) as raised:
        await engine.ask({"messages": "hello"})

    assert (raised.value.error.status, raised.value.error.type) == (400, "invalid_request_error")


async def test_nothing_is_told_without_the_key(engine: Running) -> None:
    async with aiohttp.ClientSession() as session:
        for path in ("/v1/chat/completions", "/v1/completions", "/abort/task:1"):
            async with session.post(engine.process.url + path, json=CHAT) as response:
                assert response.status == 401
        async with session.get(f"{engine.process.url}/health") as response:
            assert response.status == 401
        async with session.get(f"{engine.process.url}/slots") as response:
            assert response.status == 404


async def test_engine_with_another_key_is_lost_not_the_clients_fault(engine: Running) -> None:
    engine.entry = msgspec.structs.replace(engine.entry, key="of another engine")

    with pytest.raises(EngineLost):
        await engine.ask(CHAT)


async def test_killed_engine_is_lost_and_noticed(engine: Running) -> None:
    watching = asyncio.create_task(engine.process.watch())
    asking = asyncio.create_task(engine.ask({**CHAT, **ENDLESS}, task="killed"))
    await engine.has_begun("killed")
    psutil.Process(engine.process.pid).kill()

    with pytest.raises(EngineLost):
        await asking
    with pytest.raises(EngineFailed):
        await watching


async def test_engine_ends_when_its_input_ends(engine: Running) -> None:
    assert engine.process.process is not None
    assert engine.process.process.stdin is not None
    engine.process.process.stdin.close()

    assert await asyncio.wait_for(engine.process.process.wait(), 5) == 1


@pytest.mark.parametrize("name", NAMES)
def test_unknown_option_is_named(name: str) -> None:
    assert load_engine(name).check_options({"colour": "blue"}).startswith(f"{name} has no option 'colour'")


@pytest.mark.parametrize("name", NAMES)
def test_option_of_the_wrong_type_is_named(name: str) -> None:
    assert (
        load_engine(name).check_options({"slots": "many"})
        == f"option 'slots' of {name} takes int, not 'many'"
    )
    assert load_engine(name).check_options({"slots": True}) == f"option 'slots' of {name} takes int, not True"


async def test_file_that_is_no_model_is_said_so(tmp_path: Path) -> None:
    path = tmp_path / "not.gguf"
    path.write_bytes(b"hello")
    process = EngineProcess(load_engine("llama_cpp"), path, {}, tmp_path / "engine.log")
    try:
        with pytest.raises(EngineFailed, match="is not a GGUF file"):
            await process.start()
    finally:
        await process.stop()


def test_unknown_engine_is_refused() -> None:
    with pytest.raises(EngineFailed, match="there is no engine 'fake'"):
        load_engine("fake")


def test_echo_is_never_a_default() -> None:
    assert [name for name in NAMES if load_engine(name).may_be_default] == ["llama_cpp"]
