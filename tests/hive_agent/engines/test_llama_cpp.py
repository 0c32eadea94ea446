import json
from pathlib import Path
from typing import Any

import pytest

from hive_agent.engines.base import EngineError
from hive_agent.engines.llama_cpp import ENGINE
from hive_agent.engines.llama_cpp.counter import LlamaCounter
from hive_agent.engines.llama_cpp.gguf import Header, read_header
from hive_agent.engines.llama_cpp.shape import shape
from hive_agent.errors import SourceUnavailable
from hive_agent.protocol import Endpoint
from tests.hive_agent.tiny_gguf import CONTEXT_TOKENS


def test_request_is_streamed_with_counts_and_without_what_reaches_into_other_slots() -> None:
    request = {"messages": [], "max_completion_tokens": 5, "id_slot": 3, "top_k": 7, "stream_options": {}}

    assert json.loads(ENGINE.translate(Endpoint.CHAT, json.dumps(request).encode())) == {
        "messages": [],
        "max_tokens": 5,
        "top_k": 7,
        "stream": True,
        "timings_per_token": True,
        "return_progress": True,
    }


def test_counts_of_choices_add_up_and_share_their_prompt() -> None:
    counter = LlamaCounter(choices_per_prompt=2)
    for index, produced in ((1, 1), (0, 1), (0, 2), (1, 2), (1, 3)):
        counter.read(event(index, cache_n=6, prompt_n=2, predicted_n=produced))

    assert (counter.counts.prompt_tokens, counter.counts.cached_tokens, counter.counts.completion_tokens) == (
        8,
        6,
        5,
    )


def test_prompts_of_one_request_add_up() -> None:
    counter = LlamaCounter()
    counter.read(b"null")
    counter.read(event(0, prompt_n=3, predicted_n=2))
    counter.read(event(1, prompt_n=2, predicted_n=2))

    assert (counter.counts.prompt_tokens, counter.counts.completion_tokens) == (5, 4)


def test_prompt_in_progress_is_counted_as_far_as_it_came_and_not_shown() -> None:
    counter = LlamaCounter()
    progress = {"prompt_progress": {"total": 900, "cache": 10, "processed": 512}}
    shown = counter.read(json.dumps(json.loads(event(0, prompt_n=0)) | progress).encode())

    assert bytes(shown.choices) == b""
    assert (counter.counts.prompt_tokens, counter.counts.cached_tokens) == (512, 10)


@pytest.mark.parametrize(
    ("request_", "slots"),
    [
        ({}, 1),
        ({"n": 3}, 3),
        ({"prompt": "hi"}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1], [2]], "n": 2}, 4),
        ({"n": "many"}, 1),
    ],
)
def test_slots_of_a_request(request_: dict[str, Any], slots: int) -> None:
    assert shape(json.dumps(request_).encode()).slots == slots


def test_errors_become_openais() -> None:
    too_long = EngineError(message="request (9 tokens) exceeds", type="exceed_context_size_error", code=400)
    broken = EngineError(message="secret path", code=500)

    assert ENGINE.explain(400, too_long).code == "context_length_exceeded"
    assert ENGINE.explain(500, broken).message == "The worker failed while answering."


def test_header_of_a_model_is_read(tiny_gguf: Path) -> None:
    assert read_header(tiny_gguf) == Header("llama", CONTEXT_TOKENS)


@pytest.mark.parametrize(
    "content", [b"", b"GGUF", b"GGUF" + b"\xff" * 40, b"not a model at all, but long enough"]
)
def test_file_that_is_not_gguf_is_said_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)

    with pytest.raises(SourceUnavailable, match="is not a GGUF file"):
        read_header(path)


def test_truncated_models_never_break_the_reader(tmp_path: Path, tiny_gguf: Path) -> None:
    whole = tiny_gguf.read_bytes()
    path = tmp_path / "model.gguf"
    for length in range(0, 3000, 97):
        path.write_bytes(whole[:length])
        with pytest.raises(SourceUnavailable):
            read_header(path)


def event(index: int, **timings: int) -> bytes:
    return json.dumps(
        {"choices": [{"index": index, "delta": {}, "finish_reason": None}], "timings": timings}
    ).encode()
