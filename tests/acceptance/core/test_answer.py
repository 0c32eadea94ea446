"""The first thing that a newcomer does, and what their client library does."""

import asyncio
import json
import shlex
import subprocess

import httpx
import openai
import pytest

from tests.acceptance.figures import note
from tests.system import CURL, System

QUESTION = [{"role": "user", "content": "What is rbee?"}]


def test_printed_curl_streams_an_answer_about_rbee(home: System) -> None:
    command = printed_curl(home)

    output = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    events = [line.removeprefix("data: ") for line in output.splitlines() if line.startswith("data: ")]
    assert events[-1:] == ["[DONE]"], output
    text = "".join(
        choice["delta"].get("content") or ""
        for event in events[:-1]
        for choice in json.loads(event)["choices"]
    )
    assert "OpenAI-compatible API" in text
    note("seconds from `rbee up` to its curl (installed)", f"{home.started_in_s:.1f}")


def test_curl_of_the_business_case_needs_no_content_type_and_no_key(home: System) -> None:
    body = json.dumps({"model": "rbee-mini", "messages": QUESTION})
    command = f"curl -sS {home.url}/v1/chat/completions -d {shlex.quote(body)}"

    output = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60
    ).stdout

    answer = json.loads(output)
    assert "choices" in answer, output
    assert "OpenAI-compatible API" in answer["choices"][0]["message"]["content"]
    assert (
        answer["usage"]["total_tokens"]
        == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]
    )


def test_openai_client_gets_the_same_answer_in_four_ways(home: System) -> None:
    client = openai.OpenAI(base_url=f"{home.url}/v1", api_key="unused")
    whole = client.chat.completions.create(model="rbee-mini", messages=QUESTION, temperature=0)
    stream = client.chat.completions.create(
        model="rbee-mini",
        messages=QUESTION,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)

    async def in_asyncio() -> tuple[str, str]:
        async with openai.AsyncOpenAI(base_url=f"{home.url}/openai/v1", api_key="unused") as both:
            answer = await both.chat.completions.create(model="rbee-mini", messages=QUESTION, temperature=0)
            pieces = [
                chunk.choices[0].delta.content or ""
                async for chunk in await both.chat.completions.create(
                    model="rbee-mini", messages=QUESTION, temperature=0, stream=True
                )
                if chunk.choices
            ]
            return answer.choices[0].message.content or "", "".join(pieces)

    text = whole.choices[0].message.content
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == text
    assert asyncio.run(in_asyncio()) == (text, text)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens  # of which another part may be cached
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1


def test_openai_client_timeout_and_abort_leave_the_next_answer_whole(home: System) -> None:
    client = openai.OpenAI(base_url=f"{home.url}/v1", api_key="unused", max_retries=0)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.001).chat.completions.create(model="rbee-mini", messages=QUESTION)
    with client.chat.completions.create(model="rbee-mini", messages=QUESTION, stream=True) as stream:
        next(iter(stream))

    answer = client.chat.completions.create(model="rbee-mini", messages=QUESTION, temperature=0)

    assert "OpenAI-compatible API" in (answer.choices[0].message.content or "")


def test_completions_and_models_answer_under_both_prefixes(home: System) -> None:
    for prefix in ("/v1", "/openai/v1"):
        models = httpx.get(f"{home.url}{prefix}/models").json()
        assert [model["id"] for model in models["data"]] == [model["id"] for model in models["models"]]
        assert "rbee-mini" in [model["id"] for model in models["data"]]
        assert httpx.get(f"{home.url}{prefix}/models/rbee-mini").json()["object"] == "model"
        done = httpx.post(
            f"{home.url}{prefix}/completions",
            json={"model": "rbee-mini", "prompt": "rbee is", "max_tokens": 5},
        )
        assert done.json()["usage"]["completion_tokens"] <= 5


def printed_curl(system: System) -> str:
    found = CURL.search(system.output)
    assert found, system.output
    return found.group(0)
