"""Prompts and outputs are nowhere on a disk, and in Redis for no longer than their answer is under way.

A colony of its own with the log level `debug` gets requests that carry canaries in every place, and end in every way: answered,
refused, broken, rejected by a script, too late, left by the client, and cut off by a queen and a hive that are killed. Then
everything is scanned that the colony wrote. The scanner is shown to find what is planted in the same places, and a queen
that logs one line with a prompt.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
import redis

from tests.acceptance.compliance.canaries import (
    Canaries,
    Hit,
    Place,
    assert_finds,
    database,
    folder,
    redis_memory,
    scan,
)
from tests.acceptance.figures import SEED, note, scaled
from tests.acceptance.tenants.planted import bug_in, queen
from tests.system import System, running

REQUESTS = scaled(1000, least=36)
AT_ONCE = 8
GONE_AFTER_S = 20.0  # bodies and token streams live for ten seconds at most when nobody takes them
PROGRAMS = ("lib",)  # copies of PostgreSQL and Redis
SCRIPT = (
    'fn should_admit(task, customer) { if task.max_tokens == 77 { reject("Not this one") } else { admit() } }'
)
TALKATIVE = bug_in(
    "inference.api.text",
    "import logging\n"
    "before = module._run_task\n"
    "async def _run_task(*args, **kwargs):\n"
    "    logging.getLogger('rbee').warning('asked: %s', kwargs['body'])\n"
    "    await before(*args, **kwargs)\n"
    "module._run_task = _run_task\n",
)


class Sealed(System):
    """All that it writes is in one folder."""

    def environment(self) -> dict[str, str]:
        temporary = self.data_dir.parent / "tmp"
        temporary.mkdir(mode=0o1777, exist_ok=True)
        temporary.chmod(0o1777)
        return {
            **super().environment(),
            "TMPDIR": str(temporary),
            "RBEE_LOG_LEVEL": "debug",
            "RBEE_TASK_TIMEOUT_S": "6",
        }


@dataclass
class Colony:
    system: System
    key: str

    @property
    def settings(self) -> dict[str, str]:
        return self.system.children("uvicorn")[0].environ()

    @property
    def database_url(self) -> str:
        return self.settings["RBEE_DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        return self.settings["RBEE_REDIS_URL"]

    def disk(self) -> Place:
        return folder(self.system.data_dir.parent, without=PROGRAMS)

    def places(self) -> list[Place]:
        return [self.disk(), database(self.database_url), redis_memory(self.redis_url)]


@pytest.fixture(scope="module")
def colony() -> Iterator[Colony]:
    with running(business=True, kind=Sealed) as system:
        system.run("tenant", "create", "acme", "--plan", "enterprise")
        key = system.run_json("key", "create", "--tenant", "acme", "--name", "canaries")["key"]
        for name, options in (("echo", []), ("slow", ["--option", "delay_ms=60", "--option", "tokens=400"])):
            system.run(
                "model",
                "add",
                "echo:",
                "--name",
                name,
                "--engine",
                "echo",
                "--hive",
                "local",
                "--free",
                *options,
            )
        system.scheduler_file.parent.mkdir(parents=True, exist_ok=True)
        system.scheduler_file.write_text(SCRIPT)
        found = Colony(system, key)
        wait_for_script(found)
        yield found


@pytest.mark.timeout(1800)
def test_prompts_and_outputs_are_nowhere_but_in_the_live_stream(colony: Colony) -> None:
    canaries = Canaries()
    requests = [Request(number, canaries) for number in range(REQUESTS)]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        outcomes = list(threads.map(lambda each: each.send(colony), requests))
    seen = {request.kind: outcome for request, outcome in zip(requests, outcomes, strict=True)}
    assert seen == EXPECTED, "each way was gone"

    with open_streams(colony, canaries, 4):
        live = scan_until_found(canaries, redis_memory(colony.redis_url))
        kill(colony, "uvicorn")
        time.sleep(0.5)
    assert live, "what streams is in Redis while it does, and the scanner sees it there"
    assert [hit for hit in live if not is_live_stream(hit)] == []
    colony.system.wait_ready()
    wait_until_served(colony)
    with open_streams(colony, canaries, 4):
        kill(colony, "hive_agent", "run")
        time.sleep(0.5)
    wait_until_served(colony)

    in_redis_for_s = wait_until_none(canaries, redis_memory(colony.redis_url))
    hits = scan(canaries, colony.places())

    assert hits == []
    note("zero retention: requests, canaries", f"{REQUESTS}, {len(canaries.names)}")
    note("zero retention: hits on disks, in tables and in Redis", len(hits))
    note("zero retention: gone from Redis after killed processes", f"{in_redis_for_s:.1f} s")


def test_answers_under_an_idempotency_key_are_sealed(colony: Colony) -> None:
    """They are kept for a quarter of an hour, in Redis only, and nobody opens them without the key."""
    canaries = Canaries()
    request = Request(KINDS.index("repeated"), canaries)
    first, again = request.post(colony), request.post(colony)

    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content
    assert [hit for hit in scan(canaries, colony.places()) if not is_live_stream(hit)] == []
    kept = redis.Redis.from_url(colony.redis_url).keys("rbee:idem:*:answer")
    assert kept


def test_the_scanner_finds_what_is_planted_on_the_disk_in_tables_and_in_redis(colony: Colony) -> None:
    client, number = redis.Redis.from_url(colony.redis_url), iter(range(1000))
    places = {
        "disk": (
            colony.disk(),
            lambda data: plant_file(colony.system.data_dir / "logs" / "planted.log", data),
        ),
        "redis": (
            redis_memory(colony.redis_url),
            lambda data: client.set(f"planted:{next(number)}", data, ex=60),
        ),
        "tables": (database(colony.database_url), lambda data: plant_row(colony.database_url, data)),
    }
    try:
        for place, plant in places.values():
            assert_finds(plant, [place])
        compressed = Canaries()
        for name in ("a long row", "another", "a third"):  # the end of a page may lie in the middle of one
            plant_row(colony.database_url, (compressed.make(name) + " and so on" * 2000).encode())
        assert scan(compressed, [colony.disk()])
    finally:
        (colony.system.data_dir / "logs" / "planted.log").unlink()
        client.delete(*client.keys("planted:*"))


def test_a_queen_that_logs_a_prompt_is_found(colony: Colony, tmp_path: Path) -> None:
    canaries = Canaries()
    with queen(colony.system, tmp_path, TALKATIVE) as port:
        asked = httpx.post(
            f"http://127.0.0.1:{port}/v1/chat/completions",
            json={"model": "echo", "messages": [{"role": "user", "content": canaries.make("prompt")}]},
            headers={"authorization": f"Bearer {colony.key}"},
            timeout=30,
        )
        assert asked.status_code == 200
        hits = scan(canaries, [folder(tmp_path)])
    assert [(hit.canary, hit.encoding) for hit in hits] == [("prompt", "plain")]
    note("zero retention: planted bug, a log line with a prompt", "found")


# ---- requests, and how each kind ends

EXPECTED = {
    "answered": "200",
    "streamed": "200",
    "by a real model": "200",
    "completed": "200",
    "repeated": "200",
    "rejected": "403 policy_rejected",
    "no JSON": "400 invalid_json",
    "wrong type": "400 invalid_type",
    "no such model": "404 model_not_found",
    "no such page": "404 unknown_url",
    "wrong key": "401 invalid_api_key",
    "too late": "504 timeout",
    "left": "left",
}
KINDS = list(EXPECTED)


class Request:
    """`number` says which kind it is of. Every text that it sends has a canary of its own."""

    def __init__(self, number: int, canaries: Canaries) -> None:
        self.kind = KINDS[number % len(KINDS)]
        self.number = number
        self._canaries = canaries
        self._chance = random.Random(SEED + number)
        self.headers = {
            "x-client-request-id": self.new("X-Client-Request-Id"),
            "user-agent": self.new("User-Agent"),
            "x-title": self.new("X-Title"),
            "traceparent": self.new("traceparent"),
        }
        self.body = self._body()

    def new(self, where: str) -> str:
        return self._canaries.make(f"{where} of {self.number}, {self.kind}")

    def _body(self) -> dict[str, object]:
        function = {
            "name": self.new("function")[:64],
            "arguments": json.dumps({"path": self.new("tool argument")}),
        }
        file = {"filename": f"{self.new('file name')}.pdf", "file_data": self.new("file")}
        messages = [
            {"role": "system", "content": self.new("system prompt"), "name": self.new("name")},
            {"role": "user", "content": [{"type": "text", "text": self.new("part")}]},
            {
                "role": "assistant",
                "tool_calls": [{"id": self.new("call"), "type": "function", "function": function}],
            },
            {"role": "tool", "content": self.new("tool result"), "tool_call_id": self.new("call id")},
            {
                "role": "user",
                "content": f"Say {self.new('prompt and output')} and {self.new('prompt and output')}",
            },
        ]
        if self.kind != "by a real model":
            messages[1]["content"].append({"type": "file", "file": file})  # type: ignore[attr-defined]
        body: dict[str, object] = {
            "model": "echo",
            "messages": messages,
            "user": self.new("user"),
            "metadata": {self.new("metadata key"): self.new("metadata")},
            "prompt_cache_key": self.new("prompt_cache_key"),
            "stop": [self.new("stop")],
            "max_tokens": 40,
        }
        if self.kind == "streamed":
            body |= {"stream": True, "safety_identifier": self.new("safety_identifier")}
        elif self.kind == "by a real model":
            body |= {"model": "rbee-mini", "max_tokens": 8, "messages": messages[:1] + messages[-1:]}
        elif self.kind == "completed":
            del body["messages"]
            body |= {"prompt": f"{self.new('prompt')} {self.new('prompt')}", "stream": True}
        elif self.kind == "rejected":
            body["max_tokens"] = 77
        elif self.kind == "wrong type":
            body["temperature"] = self.new("temperature")
        elif self.kind == "no such model":
            body["model"] = self.new("model")
        elif self.kind == "too late":
            body |= {"model": "slow", "max_tokens": 400}
        elif self.kind == "left":
            body |= {"model": "slow", "max_tokens": 400, "stream": True}
        return body

    def post(self, colony: Colony) -> httpx.Response:
        path = "completions" if self.kind == "completed" else "chat/completions"
        if self.kind == "no such page":
            path = self.new("path")
        key = self.new("key") if self.kind == "wrong key" else colony.key
        headers = {**self.headers, "authorization": f"Bearer {key}", "content-type": "application/json"}
        if self.kind == "repeated":
            headers["idempotency-key"] = self.headers["x-title"]
        content = json.dumps(self.body)
        url = f"{colony.system.url}/v1/{path}?{self.new('query')}={self.new('query')}"
        if self.kind == "left":
            with httpx.stream("POST", url, content=content, headers=headers, timeout=60) as answer:
                next(answer.iter_lines())
            return answer
        if self.kind == "no JSON":
            content = content[:-1]
        return httpx.post(url, content=content, headers=headers, timeout=60)

    def send(self, colony: Colony) -> str:
        """How it ended."""
        answer = self.post(colony)
        if self.kind == "left":
            return "left"
        if answer.status_code == 200:
            return "200"
        return f"{answer.status_code} {answer.json()['error']['code']}"


@contextlib.contextmanager
def open_streams(colony: Colony, canaries: Canaries, count: int) -> Iterator[None]:
    """Whose tokens come, and that end with whoever is killed."""
    held = []  # an iterator that nobody holds closes its answer
    with contextlib.ExitStack() as stack:
        for number in range(count):
            request = Request(KINDS.index("left") + number * len(KINDS), canaries)
            answer = stack.enter_context(
                httpx.stream(
                    "POST", f"{colony.system.url}/v1/chat/completions", json=request.body, timeout=60,
                    headers={**request.headers, "authorization": f"Bearer {colony.key}"},
                )
            )  # fmt: skip
            held.append(answer.iter_lines())
            next(held[-1])
        yield


def is_live_stream(hit: Hit) -> bool:
    return hit.where.startswith("key b'h:") and (":out:" in hit.where or ":body:" in hit.where)


def kill(colony: Colony, *words: str) -> None:
    for process in colony.system.children(*words):
        process.kill()


def wait_until_served(colony: Colony, timeout_s: float = 60) -> None:
    body = {"model": "slow", "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            asked = httpx.post(
                f"{colony.system.url}/v1/chat/completions",
                json=body,
                headers={"authorization": f"Bearer {colony.key}"},
                timeout=10,
            )
            if asked.status_code == 200:
                return
        time.sleep(0.2)
    raise AssertionError(colony.system.output[-3000:])


def wait_for_script(colony: Colony) -> None:
    deadline = time.monotonic() + 30
    while Request(KINDS.index("rejected"), Canaries()).send(colony) != EXPECTED["rejected"]:
        assert time.monotonic() < deadline, "the script is not in force"
        time.sleep(0.2)


def scan_until_found(canaries: Canaries, place: Place) -> list[Hit]:
    """What streams is there for a moment only."""
    deadline = time.monotonic() + 5
    while not (hits := scan(canaries, [place])) and time.monotonic() < deadline:
        pass
    return hits


def wait_until_none(canaries: Canaries, place: Place) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    while hits := scan(canaries, [place]):
        assert time.monotonic() - began < GONE_AFTER_S, hits
        time.sleep(0.5)
    return time.monotonic() - began


def plant_file(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def plant_row(url: str, data: bytes) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("SET ROLE rbee_colony")
        connection.execute(
            "INSERT INTO tenants_keptanswer (id, tenant_id, request_sha256, body_sha256, status, answer_sealed, created_at)"
            " SELECT gen_random_uuid(), id, %s, '', 200, %s, now() FROM tenants_tenant LIMIT 1",
            [os.urandom(32), data],
        )
