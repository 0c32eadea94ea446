from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import redis

from billing.models import Price
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from inference import rules
from inference.domain.catalog import NewModel, add_model, prices_in_force, remove_model
from inference.domain.errors import InvalidInput
from inference.enums import Engine
from inference.models import Model
from tests.factories.inference import make_model
from tests.factories.tenants import TESTER, unique


@pytest.mark.parametrize(
    ("text", "kept", "name"),
    [
        ("builtin:rbee-mini", "builtin:rbee-mini", "rbee-mini"),
        ("Qwen/Qwen3-0.6B-GGUF", "hf:Qwen/Qwen3-0.6B-GGUF", "Qwen3-0.6B-GGUF"),
        ("hf:Qwen/Qwen3-0.6B-GGUF:q8/a.gguf", "hf:Qwen/Qwen3-0.6B-GGUF:q8/a.gguf", "Qwen3-0.6B-GGUF"),
        ("/models/My Model.gguf", "/models/My Model.gguf", "My-Model"),
        ("~/m.gguf", "~/m.gguf", "m"),
        ("echo:", "echo:", "echo"),
    ],
)
def test_source_has_one_written_form_and_a_name(text: str, kept: str, name: str) -> None:
    source = rules.source(text)

    assert (source.text, source.model_name) == (kept, name)
    assert rules.model_name(name) == name


def test_echo_is_never_guessed() -> None:
    with pytest.raises(ValueError, match="say engine echo"):
        rules.guess_engine(rules.source("echo:"))
    assert rules.guess_engine(rules.source("Qwen/Qwen3-0.6B-GGUF")) == Engine.LLAMA_CPP


@pytest.mark.usefixtures("db")
def test_same_price_again_is_the_same_version_and_another_is_a_further_one(redis_url: str) -> None:
    prices = {"prompt_tokens": 200_000, "completion_tokens": 800_000}
    model = make_model(is_free=False, prices=prices)
    same = NewModel(source=model.source, name=model.name, hives=[], prices=prices)

    add_model(same, actor=TESTER)
    add_model(NewModel(source=model.source, name=model.name, hives=[], is_free=True), actor=TESTER)

    assert [price.version for price in Price.objects.filter(model=model.name).order_by("version")] == [1, 2]
    assert prices_in_force([model])[model.name].is_free


@pytest.mark.usefixtures("db")
def test_refused_model_leaves_nothing(redis_url: str, settings: Any) -> None:
    settings.RBEE = dataclasses.replace(settings.RBEE, mode="business")
    name = unique("model")

    with pytest.raises(InvalidInput):
        add_model(NewModel(source="builtin:rbee-mini", name=name, hives=[]), actor=TESTER)

    assert not Model.objects.filter(name=name).exists()
    with colony_tx("tests"):
        assert not AuditEntry.objects.filter(event="model.added", details__name=name).exists()


@pytest.mark.usefixtures("db")
def test_change_and_its_audit_entry_stand_or_fall_together(redis_url: str) -> None:
    name = unique("model")

    def add_and_fail() -> None:
        with colony_tx("tests"):
            make_model(name=name)
            raise RuntimeError("forced")

    with pytest.raises(RuntimeError, match="forced"):
        add_and_fail()

    assert not Model.objects.filter(name=name).exists()
    with colony_tx("tests"):
        assert not AuditEntry.objects.filter(details__name=name).exists()
        assert not Price.objects.filter(model=name).exists()


def test_queens_are_told_after_the_commit(committed_db: None, redis_url: str) -> None:
    listener = redis.Redis.from_url(redis_url).pubsub(ignore_subscribe_messages=True)
    listener.subscribe("rbee:invalidate")
    listener.get_message(timeout=1)

    remove_model(make_model(), actor=TESTER)

    heard = set()
    while message := listener.get_message(timeout=0.5):
        heard.add(message["data"])
    listener.close()
    assert b"models" in heard
