"""Tasks that run to their end, through everything that a hive is made of."""

import json

import pytest

from hive_agent.protocol import Endpoint, Outcome
from tests.hive_agent.hive import Hive

HELLO = {"messages": [{"role": "user", "content": "one two three"}]}


def test_streamed_chat_is_rendered_counted_and_booked(shared_hive: Hive, echo: str) -> None:
    asked = shared_hive.queen.ask(HELLO, worker=echo, include_usage=True)
    reply = asked.wait()
    chunks = reply.chunks()

    assert reply.begun is not None
    assert reply.begun.worker == echo
    assert {(each["id"], each["object"], each["created"], each["model"]) for each in chunks} == {
        (f"chatcmpl-{asked.task}", "chat.completion.chunk", 1700000000, "the-model")
    }
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "one"}
    said = "".join(each["choices"][0]["delta"].get("content", "") for each in chunks[:-1])
    assert said == "one two three" * 6 + "one two"
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop"
    assert [each["usage"] for each in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 20,
        "total_tokens": 23,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    assert reply.end is not None
    assert reply.end.outcome == Outcome.COMPLETED
    receipt = asked.receipt()
    assert receipt.outcome == Outcome.COMPLETED
    assert receipt.usage == reply.end.usage
    assert receipt.usage == {"prompt_tokens": 3, "cached_tokens": 0, "completion_tokens": 20, "engine_ms": 0}
    assert receipt.frames == len(reply.frames) - 2
    assert receipt.began_at_ms <= receipt.first_token_at_ms <= receipt.ended_at_ms


def test_usage_is_left_out_unless_asked_for(shared_hive: Hive, echo: str) -> None:
    chunks = shared_hive.queen.ask(HELLO, worker=echo).wait().chunks()

    assert [sorted(each) for each in chunks] == [["choices", "created", "id", "model", "object"]] * 21


def test_answer_that_is_not_streamed_is_one_result(shared_hive: Hive, echo: str) -> None:
    asked = shared_hive.queen.ask({**HELLO, "max_tokens": 2}, worker=echo, stream=False)

    assert asked.wait().result == {
        "id": f"chatcmpl-{asked.task}",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "the-model",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "one two"},
                "logprobs": None,
                "finish_reason": "length",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0},
        },
    }
    assert asked.receipt().usage["completion_tokens"] == 2


def test_text_completion_is_streamed_as_such(shared_hive: Hive, echo: str) -> None:
    request = {"prompt": "one two", "max_tokens": 3}
    chunks = shared_hive.queen.ask(request, worker=echo, endpoint=Endpoint.COMPLETIONS).wait().chunks()

    assert {each["object"] for each in chunks} == {"text_completion"}
    assert "".join(each["choices"][0]["text"] for each in chunks) == "one twoone"


@pytest.mark.parametrize("stream", [True, False])
def test_llama_counts_are_in_its_log_the_receipt_and_the_answer(
    shared_hive: Hive, llama: str, stream: bool
) -> None:
    request = {**HELLO, "max_completion_tokens": 30, "temperature": 0, "seed": 1}
    asked = shared_hive.queen.ask(request, worker=llama, stream=stream, include_usage=True)
    reply = asked.wait()
    line = shared_hive.log_line(llama, asked.task)
    usage = reply.chunks()[-1]["usage"] if stream else reply.result["usage"]
    receipt = asked.receipt()

    assert line.outcome == "completed"
    assert line.completion_tokens == 30
    assert {name: receipt.usage[name] for name in line.usage} == line.usage
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (
        line.prompt_tokens,
        line.completion_tokens,
    )
    assert "timings" not in json.dumps(reply.chunks() if stream else reply.result)


def test_llama_answers_the_same_streamed_and_not(shared_hive: Hive, llama: str) -> None:
    request = {**HELLO, "max_tokens": 40, "temperature": 0, "n": 2}
    streamed, whole = (
        shared_hive.queen.ask(request, worker=llama, stream=stream).wait() for stream in (True, False)
    )
    said = {0: "", 1: ""}
    for chunk in streamed.chunks():
        for choice in chunk["choices"]:
            said[choice["index"]] += choice["delta"].get("content") or ""

    assert said == {each["index"]: each["message"]["content"] for each in whole.result["choices"]}
    assert [each["finish_reason"] for each in whole.result["choices"]] == ["length", "length"]


def test_prompt_that_is_too_long_is_rejected_and_costs_nothing(shared_hive: Hive, llama: str) -> None:
    request = {"messages": [{"role": "user", "content": "far too long " * 3000}]}
    asked = shared_hive.queen.ask(request, worker=llama)
    reply = asked.wait()

    assert reply.error is not None
    assert (reply.error.status, reply.error.type, reply.error.code) == (
        400,
        "invalid_request_error",
        "context_length_exceeded",
    )
    assert reply.end is not None
    assert reply.end.outcome == Outcome.REJECTED
    assert asked.receipt().usage["completion_tokens"] == 0


def test_field_of_the_wrong_type_is_rejected_with_the_engines_words(shared_hive: Hive, llama: str) -> None:
    error = shared_hive.queen.ask({**HELLO, "temperature": "hot"}, worker=llama).wait().error

    assert error is not None
    assert (error.status, error.code) == (400, "invalid_value")
    assert "temperature" in error.message


def test_no_file_of_the_hive_holds_a_prompt_or_an_answer(shared_hive: Hive, llama: str, echo: str) -> None:
    canary = "canary-7f3a"
    for worker in (llama, echo):
        request = {"messages": [{"role": "user", "content": canary * 3}], "max_tokens": 5}
        shared_hive.queen.ask(request, worker=worker).wait()
        shared_hive.queen.ask({**request, "temperature": canary}, worker=worker).wait()
    found = [
        path
        for path in [shared_hive.log, *shared_hive.folder.rglob("*")]
        if path.is_file() and canary.encode() in path.read_bytes()
    ]

    assert found == []


def test_files_of_the_hive_are_for_its_owner_only(shared_hive: Hive, echo: str) -> None:
    shared_hive.queen.ask(HELLO, worker=echo).wait()
    paths = [shared_hive.folder, *shared_hive.folder.rglob("*")]

    assert {path: path.stat().st_mode & 0o077 for path in paths} == dict.fromkeys(paths, 0)
