"""Bad input gets a clear 4xx in OpenAI's envelope: never a 5xx, never a traceback."""

import json
import random
import string
from collections import Counter

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from tests.acceptance.figures import SEED, note, scaled
from tests.system import System

GOOD = {"model": "rbee-mini", "messages": [{"role": "user", "content": "What is rbee?"}], "max_tokens": 1}
WRONG = [
    None,
    True,
    -1,
    0,
    1e400,
    2**70,
    "",
    "\ud800",
    "x" * 5000,
    [],
    [[]],
    {},
    {"a": {"b": []}},
    [None],
    ["\x00"],
    0.5,
]
HEADERS = [
    {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": "multipart/form-data"},
    {"content-encoding": "gzip"},
    {"authorization": "Bearer " + "x" * 300},
    {"authorization": "Basic abc"},
    {"authorization": ""},
    {"accept": "text/html"},
    {"x-request-id": "y" * 500},
    {"x-stainless-retry-count": "many"},
    {"idempotency-key": "z" * 400},
    {"expect": "nothing"},
]


def test_malformed_bodies_and_headers_are_4xx_in_the_envelope(home: System) -> None:
    chance = random.Random(SEED)
    statuses: Counter[int] = Counter()
    count = scaled(1700, least=150)
    with httpx.Client(base_url=home.url, timeout=60) as client:
        for _ in range(count):
            path = chance.choice(["/v1/chat/completions", "/v1/completions", "/openai/v1/chat/completions"])
            answer = client.post(path, content=malformed(chance), headers=chance.choice([*HEADERS, {}]))
            statuses[answer.status_code] += 1
            assert answer.status_code == 200 or 400 <= answer.status_code < 500, answer.text
            if answer.status_code != 200:
                assert_envelope(answer)
    note("malformed requests", count)
    note("malformed requests by status", dict(sorted(statuses.items())))


def test_unknown_paths_and_methods_are_4xx_in_the_envelope(home: System) -> None:
    for method, path in [
        ("GET", "/v1/nothing"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/chat/completions"),
        ("GET", "/v1/models/no-such-model"),
        ("GET", "/v1/models/%00"),
        ("GET", "/v1/" + "a" * 2000),
        ("GET", "/v1/%2e%2e/api/v1/keys"),
        ("PATCH", "/v1/completions"),
    ]:
        answer = httpx.request(method, home.url + path)
        assert 400 <= answer.status_code < 500, (method, path, answer.status_code)
        assert_envelope(answer)


def test_schemathesis_finds_no_server_error(home: System) -> None:
    schema = schemathesis.openapi.from_url(f"{home.url}/openapi.json")
    schema.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
    seen: Counter[int] = Counter()
    operations = [result.ok() for result in schema.get_all_operations()]
    examples = scaled(500, least=50) // len(operations) + 1

    for operation in operations:
        strategy = st.one_of(
            operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
        )

        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        @given(case=strategy)
        def run(case: schemathesis.Case) -> None:
            answer = case.call(base_url=home.url, timeout=60)
            seen[answer.status_code] += 1
            assert answer.status_code < 500, answer.text
            assert "Traceback" not in answer.text

        run()
    note("schemathesis cases", sum(seen.values()))
    note("schemathesis cases by status", dict(sorted(seen.items())))


def malformed(chance: random.Random) -> bytes:
    kind = chance.randrange(6)
    if kind == 0:
        return bytes(chance.randrange(256) for _ in range(chance.randrange(200)))
    if kind == 1:
        text = json.dumps(GOOD)
        cut = chance.randrange(len(text))
        return (text[:cut] + chance.choice(string.punctuation) + text[cut + 1 :]).encode()
    if kind == 2:
        return b"[" * chance.choice([10, 1000, 100_000])
    if kind == 3:
        return b'{"model": "rbee-mini", "messages": %s}' % chance.choice(
            [b"NaN", b"Infinity", b"\xff", b'"\\ud800"', b"1e999"]
        )
    field = chance.choice(
        ["model", "messages", "stream", "temperature", "max_tokens", "n", "stop", "stream_options", "tools", "logit_bias",
         "response_format", "prompt", "top_p", "seed", "user", "metadata"]
    )  # fmt: skip
    body = {**GOOD, "prompt": "x", field: chance.choice(WRONG)}
    if kind == 5:
        body["messages"] = [{"role": chance.choice(WRONG), "content": chance.choice(WRONG)}]
    return json.dumps(body).encode()


def assert_envelope(answer: httpx.Response) -> None:
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    assert "Traceback" not in answer.text
    assert error["code"] is None or isinstance(error["code"], str)
