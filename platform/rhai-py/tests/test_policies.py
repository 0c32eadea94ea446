"""Routing and admission scripts in the style of operators, word for word, over workers that are there or not."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import pytest
import rhai_py
from rhai_py import Engine, Record, Verdict, Workers, none

FOLDER = Path(__file__).parent / "policies"
HOME, BUSINESS, QUOTA, COST = (
    (FOLDER / f"{name}.rhai").read_text() for name in ("home", "business", "quota", "cost")
)


def worker(name: str, **fields: object) -> Record:
    base: dict[str, object] = {"hive": name, "gpu_type": "A100", "capability": "text-gen", "load": 0.5}
    return Record("worker", base | fields)


def task(**fields: object) -> Record:
    base: dict[str, object] = {"type": "text-gen", "model": "llama-3-8b", "customer_tier": "pro"}
    return Record("task", base | fields)


PC, MAC, SERVER = (
    worker("gaming-pc", gpu_type="RTX4090"),
    worker("mac-studio"),
    worker("old-server", load=0.1),
)
A100, H100 = worker("n1", load=0.3), worker("n2", gpu_type="H100", load=0.9)
IMAGE, AUDIO = worker("n3", capability="image-gen"), worker("n4", capability="audio-gen")


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({"type": "image-gen", "model": "sdxl"}, PC),
        ({"model": "llama-3-70b"}, MAC),
        ({"model": "llama-3-8b"}, SERVER),
        ({"type": "audio-gen"}, SERVER),
    ],
)
def test_home_script_routes(engine: Engine, fields: dict[str, object], chosen: Record) -> None:
    assert engine.compile(HOME).call("route_task", task(**fields), Workers([PC, MAC, SERVER])) is chosen


@pytest.mark.parametrize(
    ("fields", "chosen"),
    [
        ({"customer_tier": "enterprise"}, H100),
        ({"customer_tier": "free"}, A100),
        ({"type": "image-gen"}, IMAGE),
        ({"type": "audio-gen"}, AUDIO),
        ({}, A100),
    ],
)
def test_business_script_routes(engine: Engine, fields: dict[str, object], chosen: Record) -> None:
    workers = Workers([H100, IMAGE, AUDIO, A100])
    assert engine.compile(BUSINESS).call("route_task", task(**fields), workers) is chosen


def test_free_tier_never_falls_back_to_an_h100(engine: Engine) -> None:
    assert engine.compile(BUSINESS).call("route_task", task(customer_tier="free"), Workers([H100])) is none


@pytest.mark.parametrize("source", [HOME, BUSINESS])
@pytest.mark.parametrize(
    "fields", [{}, {"type": "image-gen"}, {"model": "llama-3-70b", "customer_tier": "enterprise"}]
)
def test_scripts_answer_none_without_workers(engine: Engine, source: str, fields: dict[str, object]) -> None:
    assert engine.compile(source).call("route_task", task(**fields), Workers([])) is none


def test_cost_script_routes_or_has_no_opinion(engine: Engine) -> None:
    script, workers = engine.compile(COST), Workers([A100, H100, PC])
    assert script.call("route_task", task(model="llama-3-8b"), workers) is PC
    assert script.call("route_task", task(model="llama-3-405b"), workers) is H100
    assert script.call("route_task", task(model="mistral"), workers) is None
    assert script.call("route_task", task(model="llama-3-8b"), Workers([A100])) is none


@pytest.mark.parametrize(
    ("model", "customer", "verdict"),
    [
        ("llama-3-8b", {"tokens_used_today": 5, "daily_limit": 9, "tier": "free"}, Verdict(True)),
        (
            "llama-3-8b",
            {"tokens_used_today": 10, "daily_limit": 9, "tier": "free"},
            Verdict(False, "Quota exceeded"),
        ),
        (
            "llama-3-405b",
            {"tokens_used_today": 5, "daily_limit": 9, "tier": "pro"},
            Verdict(False, "Upgrade to enterprise"),
        ),
        ("llama-3-405b", {"tokens_used_today": 5, "daily_limit": 9, "tier": "enterprise"}, Verdict(True)),
    ],
)
def test_quota_script_decides(
    engine: Engine, model: str, customer: dict[str, object], verdict: Verdict
) -> None:
    decided = engine.compile(QUOTA).call("should_admit", task(model=model), Record("customer", customer))
    assert decided == verdict


def test_reject_with_a_code(engine: Engine) -> None:
    verdict = engine.compile('fn f() { reject("Come back later", "rate_limit_exceeded") }').call("f")
    assert verdict == Verdict(False, "Come back later", "rate_limit_exceeded")
    assert isinstance(verdict, Verdict)
    assert (verdict.admitted, verdict.message, verdict.code) == (
        False,
        "Come back later",
        "rate_limit_exceeded",
    )
    assert repr(verdict) == 'Verdict(admitted=False, message="Come back later", code="rate_limit_exceeded")'


def test_none_is_one_object(engine: Engine) -> None:
    assert copy.deepcopy(none) is none
    assert pickle.loads(pickle.dumps(none)) is none
    assert (bool(none), repr(none), type(none)) == (False, "none", rhai_py.None_)
    assert engine.compile("fn f(x) { [x == none, none == none, none != x, [1].map(|y| y == none)[0]] }").call(
        "f", none
    ) == [True, True, False, False]
    assert (
        engine.compile("fn f(w) { let x = w.first(); if x == none { none } else { x } }").call(
            "f", Workers([])
        )
        is none
    )
