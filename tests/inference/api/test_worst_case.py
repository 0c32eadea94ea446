"""What is held for a task before it runs: nothing that it may use is missing in it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from billing.domain.pricing import PriceVersion
from inference.api.text import DEFAULT_ANSWER_TOKENS, TEMPLATE_TOKENS, _most_micros
from inference.api.wire import ChatRequest

TIMEOUT_S = 600
MICRO = 1_000_000  # a micro-unit for each token
HOUR = 3_600_000  # and for each millisecond


def most(prices: dict[str, int], *, context: int | None = None, **fields: Any) -> int:
    body = body_of(**fields)
    queen: Any = SimpleNamespace(env=SimpleNamespace(task_timeout_s=TIMEOUT_S))
    model: Any = SimpleNamespace(context_tokens=context)
    price = PriceVersion(id="0" * 32, model="m", currency="EUR", prices=prices)
    return _most_micros(queen, msgspec.json.decode(body, type=ChatRequest), body, model, price)


def prompt_of(body: bytes) -> int:
    return len(body) + TEMPLATE_TOKENS


def body_of(**fields: Any) -> bytes:
    return msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "hello"}], **fields})


def test_prompt_is_never_longer_than_its_bytes_and_its_template() -> None:
    assert most({"prompt_tokens": MICRO}) == prompt_of(body_of())
    assert most({"prompt_tokens": MICRO}, context=50) == 50


def test_cached_tokens_that_are_dearer_are_all_the_prompt() -> None:
    whole = prompt_of(body_of())
    assert most({"prompt_tokens": MICRO, "cached_tokens": MICRO // 10}) == whole
    assert most({"prompt_tokens": MICRO, "cached_tokens": 5 * MICRO}) == 5 * whole
    assert most({"cached_tokens": 5 * MICRO}) == 5 * whole


@pytest.mark.parametrize(
    ("fields", "context", "tokens"),
    [
        ({"max_tokens": 7}, None, 7),
        ({"max_tokens": 7, "n": 3}, None, 21),
        ({"max_tokens": 700}, 50, 50),
        ({}, 50, 50),
        ({}, None, DEFAULT_ANSWER_TOKENS),
    ],
)
def test_every_answer_may_be_as_long_as_it_is_let(
    fields: dict[str, int], context: int | None, tokens: int
) -> None:
    assert most({"completion_tokens": MICRO}, context=context, **fields) == tokens


def test_engine_may_be_at_it_until_the_task_is_stopped() -> None:
    assert most({"engine_ms": HOUR}) == TIMEOUT_S * 1000


def test_task_is_one_request() -> None:
    assert most({"requests": 30 * MICRO}) == 30


def test_parts_add_up() -> None:
    prices = {"prompt_tokens": MICRO, "completion_tokens": MICRO, "engine_ms": HOUR, "requests": 30 * MICRO}
    assert most(prices, max_tokens=7) == prompt_of(body_of(max_tokens=7)) + 7 + TIMEOUT_S * 1000 + 30
