"""Rendering: what is streamed and what is not say the same."""

import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from hive_agent.engines.base import Counts
from hive_agent.frames import ResultRenderer, StreamRenderer
from hive_agent.protocol import VERSION, Endpoint, TaskBody

texts = st.text(max_size=12)
indexes = st.integers(0, 2)
logprobs = st.none() | st.builds(
    lambda values: {"content": values},
    st.lists(st.fixed_dictionaries({"token": texts, "logprob": st.floats(-9, 0)}), max_size=2),
)
tool_call = st.fixed_dictionaries(
    {"index": st.integers(0, 1), "function": st.fixed_dictionaries({"arguments": texts})},
    optional={"id": st.sampled_from(["call_a", "call_b"])},
)
delta = st.fixed_dictionaries(
    {},
    optional={
        "role": st.just("assistant"),
        "content": texts | st.none(),
        "reasoning_content": texts,
        "tool_calls": st.lists(tool_call, max_size=2),
    },
)
chat_choice = st.fixed_dictionaries(
    {"index": indexes, "delta": delta, "finish_reason": st.sampled_from([None, None, "stop", "length"])},
    optional={"logprobs": logprobs},
)
text_choice = st.fixed_dictionaries(
    {"index": indexes, "text": texts, "logprobs": logprobs, "finish_reason": st.sampled_from([None, "stop"])}
)


@given(st.lists(st.lists(chat_choice, max_size=2), max_size=12), st.booleans())
def test_streamed_chat_adds_up_to_the_result(events: list[list[dict[str, Any]]], include_usage: bool) -> None:
    task = body(Endpoint.CHAT, include_usage=include_usage)
    streamed, result = rendered(task, events)

    assert spoken(messages(streamed)) == spoken(
        {
            each["index"]: (
                each["message"]["content"] or "",
                each["message"].get("reasoning_content", ""),
                [call["function"]["arguments"] for call in each["message"].get("tool_calls", [])],
                each["finish_reason"],
                (each["logprobs"] or {}).get("content", []),
            )
            for each in result["choices"]
        }
    )


@given(st.lists(st.lists(text_choice, max_size=2), max_size=12))
def test_streamed_text_adds_up_to_the_result(events: list[list[dict[str, Any]]]) -> None:
    streamed, result = rendered(body(Endpoint.COMPLETIONS), events)
    said: dict[int, str] = {}
    for chunk in streamed:
        for choice in chunk["choices"]:
            said[choice["index"]] = said.get(choice["index"], "") + choice["text"]

    assert said == {each["index"]: each["text"] for each in result["choices"]}


@given(st.lists(st.lists(chat_choice, max_size=2), max_size=6), st.booleans())
def test_stream_keeps_openais_etiquette(events: list[list[dict[str, Any]]], include_usage: bool) -> None:
    streamed, _ = rendered(body(Endpoint.CHAT, include_usage=include_usage), events)

    assert all({"id", "object", "created", "model", "choices"} <= set(chunk) for chunk in streamed)
    assert [("usage" in chunk) for chunk in streamed] == [include_usage] * len(streamed)
    if include_usage:
        assert [chunk["usage"] for chunk in streamed[:-1]] == [None] * (len(streamed) - 1)
        assert streamed[-1]["choices"] == []
        assert streamed[-1]["usage"]["total_tokens"] == 12
        streamed = streamed[:-1]
    assert all(chunk["choices"] for chunk in streamed)
    if streamed:
        assert any(choice["delta"].get("role") == "assistant" for choice in streamed[0]["choices"])


def test_tool_calls_come_together_from_their_pieces() -> None:
    renderer = ResultRenderer(body(Endpoint.CHAT))
    for piece in (
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"function": {"arguments": '{"city":'}},
        {"function": {"arguments": '"Utrecht"}'}},
    ):
        renderer.add(
            raw([{"index": 0, "delta": {"tool_calls": [{"index": 0, **piece}]}, "finish_reason": None}])
        )
    renderer.add(raw([{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]))

    assert json.loads(renderer.result(Counts()))["choices"] == [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city":"Utrecht"}'},
                    }
                ],
            },
            "logprobs": None,
            "finish_reason": "tool_calls",
        }
    ]


def rendered(task: TaskBody, events: list[list[dict[str, Any]]]) -> tuple[list[Any], Any]:
    stream, whole = StreamRenderer(task), ResultRenderer(task)
    counts = Counts(prompt_tokens=5, completion_tokens=7)
    out = b""
    for choices in events:
        out += stream.chunk(raw(choices))
        whole.add(raw(choices))
    out += stream.last(counts)
    parts = out.split(b"\n\n")
    assert parts[-2:] == [b"data: [DONE]", b""]
    return [json.loads(part.removeprefix(b"data: ")) for part in parts[:-2]], json.loads(whole.result(counts))


def spoken(said: dict[int, Any]) -> dict[int, Any]:
    """Without the choices that never said anything: the role that begins every stream is one, too."""
    return {index: each for index, each in said.items() if each != ("", "", [], None, [])}


def messages(chunks: list[Any]) -> dict[int, tuple[str, str, list[str], str | None, list[Any]]]:
    """What a client puts together from a stream."""
    content: dict[int, str] = {}
    reasoning: dict[int, str] = {}
    calls: dict[int, dict[int, str]] = {}
    finished: dict[int, str | None] = {}
    probabilities: dict[int, list[Any]] = {}
    for chunk in chunks:
        for choice in chunk["choices"]:
            index, change = choice["index"], choice["delta"]
            content[index] = content.get(index, "") + (change.get("content") or "")
            reasoning[index] = reasoning.get(index, "") + change.get("reasoning_content", "")
            for call in change.get("tool_calls", []):
                known = calls.setdefault(index, {})
                for number in range(call["index"] + 1):
                    known.setdefault(number, "")
                known[call["index"]] += call["function"]["arguments"]
            finished[index] = choice["finish_reason"] or finished.get(index)
            probabilities.setdefault(index, []).extend((choice.get("logprobs") or {}).get("content", []))
    return {
        index: (
            content[index],
            reasoning[index],
            [text for _, text in sorted(calls.get(index, {}).items())],
            finished[index],
            probabilities[index],
        )
        for index in content
    }


def raw(choices: list[dict[str, Any]]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(choices).encode())


def body(endpoint: Endpoint, *, include_usage: bool = False) -> TaskBody:
    return TaskBody(
        version=VERSION,
        task="t",
        attempt=1,
        queen="q",
        worker="w",
        model="m",
        endpoint=endpoint,
        stream=True,
        include_usage=include_usage,
        deadline_ms=0,
        created_s=1,
        answer_id="chatcmpl-1",
        request=b"{}",
        envelope=b"",
    )
