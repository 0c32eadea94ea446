import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.api.errors import envelope
from inference.api.wire import ChatRequest, CompletionRequest, Reader
from inference.domain.refusals import Refused

chat = Reader(ChatRequest)
completion = Reader(CompletionRequest)
GOOD = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [*ChatRequest.__struct_fields__, *CompletionRequest.__struct_fields__, "top_k", "unknown"]


def test_fields_that_are_not_ours_pass_through() -> None:
    request = chat.read(body(top_k=40, extra={"deep": [1, None]}))

    assert request.model == "m"


def test_every_optional_field_may_be_null() -> None:
    required = {"model", "messages", "prompt"}
    nulls = {name: None for name in ChatRequest.__struct_fields__ if name not in required}

    assert chat.read(body(**nulls)).temperature is None


def test_content_may_be_parts_and_an_assistant_may_only_call_tools() -> None:
    called = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {
            "role": "user",
            "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "x"}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
    ]

    assert [message.role for message in chat.read(body(messages=messages)).messages] == [
        "user",
        "assistant",
        "tool",
    ]


@pytest.mark.parametrize(
    "prompt", ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]]], ids=["text", "texts", "tokens", "lists of tokens"]
)
def test_prompt_has_four_shapes(prompt: object) -> None:
    assert completion.read(json.dumps({"model": "m", "prompt": prompt}).encode()).prompt == prompt


WRONG = {
    "no JSON": (b"{", None, "invalid_json"),
    "nothing": (b"", None, "invalid_json"),
    "NaN": (b'{"x": NaN}', None, "invalid_json"),
    "a list": (b"[]", None, "invalid_type"),
    "a lone surrogate": (b'{"model": "\\ud800"}', None, "invalid_json"),
    "a lone surrogate where nobody looks": (b'{"model": "m", "x": "\\udfff"}', None, "invalid_json"),
    "no UTF-8": (b'{"model": "m\xff"}', None, "invalid_json"),
    "too deep": (b'{"model": "m", "x": ' + b"[" * 100_000, None, "invalid_json"),
    "two values": (json.dumps(GOOD).encode() + b" {}", None, "invalid_json"),
    "no model": (b'{"messages": [{"role": "user", "content": "x"}]}', "model", "missing_required_parameter"),
    "no messages": (b'{"model": "m"}', "messages", "missing_required_parameter"),
}
WRONG_FIELDS = {
    "model": [
        ("", "model", "invalid_value"),
        (1, "model", "invalid_type"),
        ("x" * 200, "model", "invalid_value"),
    ],
    "messages": [
        ([], "messages", "invalid_value"),
        ("hi", "messages", "invalid_type"),
        ([None], "messages[0]", "invalid_type"),
        ([{}], "messages[0].role", "missing_required_parameter"),
        ([{"role": "robot", "content": "x"}], "messages[0].role", "invalid_value"),
        ([{"role": "user"}], "messages[0].content", "missing_required_parameter"),
        ([{"role": "user", "content": 1}], "messages[0].content", "invalid_type"),
        ([{"role": "user", "content": []}], "messages[0].content", "invalid_value"),
        (
            [{"role": "user", "content": [{"type": "text"}]}],
            "messages[0].content[0].text",
            "missing_required_parameter",
        ),
        ([{"role": "user", "content": [{"type": "smell"}]}], "messages[0].content[0].type", "invalid_value"),
        ([{"role": "tool", "content": "x"}], "messages[0].tool_call_id", "missing_required_parameter"),
    ],
    "stream": [("yes", "stream", "invalid_type")],
    "stream_options": [({"include_usage": True}, "stream_options", "invalid_value")],
    "n": [(0, "n", "invalid_value"), (17, "n", "invalid_value"), (1.5, "n", "invalid_type")],
    "max_tokens": [(0, "max_tokens", "invalid_value"), (2**40, "max_tokens", "invalid_value")],
    "max_completion_tokens": [(-1, "max_completion_tokens", "invalid_value")],
    "temperature": [(2.1, "temperature", "invalid_value"), ("hot", "temperature", "invalid_type")],
    "top_p": [(-0.1, "top_p", "invalid_value")],
    "stop": [(["a"] * 5, "stop", "invalid_value"), (1, "stop", "invalid_type")],
    "seed": [(2**63, "seed", "invalid_value")],
    "logit_bias": [({"5": "x"}, "logit_bias[...]", "invalid_type")],
    "top_logprobs": [(3, "top_logprobs", "invalid_value")],
    "tools": [([{"type": "function"}], "tools[0].function", "missing_required_parameter")],
    "response_format": [
        ({"type": "xml"}, "response_format.type", "invalid_value"),
        ({"type": "json_schema"}, "response_format.json_schema", "missing_required_parameter"),
    ],
    "metadata": [({"a": 1}, "metadata[...]", "invalid_type")],
}


@pytest.mark.parametrize("case", WRONG)
def test_body_that_is_no_request_is_refused(case: str) -> None:
    content, param, code = WRONG[case]

    refusal = refused(chat, content)

    assert (refusal.status, refusal.param, refusal.code) == (400, param, code)


@pytest.mark.parametrize(
    ("field", "value", "param", "code"),
    [(field, *case) for field, cases in WRONG_FIELDS.items() for case in cases],
)
def test_wrong_field_is_named(field: str, value: object, param: str, code: str) -> None:
    refusal = refused(chat, body(**{field: value}))

    assert (refusal.status, refusal.type, refusal.param, refusal.code) == (
        400,
        "invalid_request_error",
        param,
        code,
    )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": ["a", ""]}, "prompt"),
        ({"prompt": [[1], []]}, "prompt"),
        ({"prompt": "a", "best_of": 1, "n": 2}, "best_of"),
        ({"prompt": "a", "best_of": 2, "stream": True}, "best_of"),
        ({"prompt": "a", "logprobs": 6}, "logprobs"),
    ],
)
def test_wrong_completion_is_named(fields: dict[str, object], param: str) -> None:
    assert refused(completion, json.dumps({"model": "m", **fields}).encode()).param == param


def test_message_speaks_openai_and_not_our_parser() -> None:
    assert (
        refused(chat, body(n="a")).message
        == "Invalid type for 'n': expected an integer, but got a string instead."
    )


def test_estimate_grows_with_the_text() -> None:
    assert chat.read(body()).prompt_tokens_estimate == 4 + len("hello") // 4
    assert completion.read(b'{"model": "m", "prompt": [1, 2, 3]}').prompt_tokens_estimate == 3


def test_newer_name_of_the_token_limit_wins() -> None:
    assert chat.read(body(max_tokens=5, max_completion_tokens=7)).token_limit == 7
    assert chat.read(body(max_tokens=5)).token_limit == 5


@settings(max_examples=300, deadline=None)
@given(fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=5))
def test_any_json_is_a_request_or_a_400(fields: dict[str, object]) -> None:
    content = json.dumps({**GOOD, "prompt": "x", **fields}).encode()
    for reader in (chat, completion):
        assert_request_or_400(reader, content)


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_request_or_a_400(content: bytes) -> None:
    for reader in (chat, completion):
        assert_request_or_400(reader, content)


def assert_request_or_400(reader: Reader, content: bytes) -> None:
    refusal = None
    try:
        reader.read(content)
    except Refused as error:
        refusal = error
    if refusal is not None:
        assert refusal.status == 400
        json.loads(envelope(refusal.message, refusal.type, refusal.code, refusal.param))


def refused(reader: Reader, content: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        reader.read(content)
    return caught.value


def body(**fields: object) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()
