from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest
import rhai_py
from rhai_py import Record, RhaiRuntimeError, Workers, freeze

Run = Callable[..., Any]


def test_record_comes_back_as_itself(run: Run, task: Record) -> None:
    assert run("a", task) is task
    assert run("[a, #{x: a}]", task) == [task, {"x": task}]
    assert run("a.x.y", Record("outer", {"x": {"y": task}})) is task


def test_record_reads_nested_dicts_and_lists(run: Run, task: Record) -> None:
    assert run("[a.geo.region, a.tags[1], a.tags.len(), a.geo]", task) == ["EU", "b", 2, {"region": "EU"}]


def test_missing_field_names_kind_field_and_nearest(run: Run) -> None:
    worker = Record("worker", {"gpu_type": "A100", "geo": {"region": "EU"}})
    with pytest.raises(RhaiRuntimeError) as caught:
        run("a.gpu_typ", worker)
    assert caught.value.kind == "missing_field"
    assert caught.value.message == "worker has no field 'gpu_typ'; did you mean 'gpu_type'?"
    assert (caught.value.line, caught.value.column) == (1, 13)
    for body in ("a.geo.regio", 'a.geo["regio"]'):
        with pytest.raises(
            RhaiRuntimeError, match=r"worker\.geo has no field 'regio'; did you mean 'region'\?"
        ):
            run(body, worker)


@pytest.mark.parametrize(
    "body", ["a.model = 1", "a.geo = #{}", "a.geo.region = 1", "a.nope = 1", "a.tags += [1]"]
)
def test_record_is_read_only(run: Run, task: Record, body: str) -> None:
    with pytest.raises(RhaiRuntimeError):
        run(body, task)
    assert task.get("model") == "llama-3-70b"


def test_values_read_from_a_record_are_copies(run: Run, task: Record) -> None:
    assert run('let tags = a.tags; tags.push("c"); [tags.len(), a.tags.len()]', task) == [3, 2]
    assert task.get("tags") == ["a", "b"]


def test_optional_fields_can_be_asked_for(run: Run, task: Record) -> None:
    assert run('["model" in a, "nope" in a, a.get("nope"), a.get("nope", 7), a.get("type", 7)]', task) == [
        True, False, None, 7, "text-gen",
    ]  # fmt: skip
    assert run("[a.keys(), a.len()]", task) == [["customer_tier", "geo", "model", "tags", "type"], 5]


def test_missing_field_can_be_caught_by_the_script(run: Run, task: Record) -> None:
    assert run("try { return a.nope; } catch { return 5; }", task) == 5


def test_update_changes_single_fields(run: Run, task: Record) -> None:
    task.update(model="x", priority=3)
    assert run("[a.model, a.priority, a.type]", task) == ["x", 3, "text-gen"]
    assert task.fields() == {
        "customer_tier": "free", "geo": {"region": "EU"}, "model": "x", "priority": 3, "tags": ["a", "b"],
        "type": "text-gen",
    }  # fmt: skip
    assert run("a", task) is task


def test_update_is_all_or_nothing(task: Record) -> None:
    with pytest.raises(rhai_py.RhaiError) as caught:
        task.update(model="y", type=object())
    assert caught.value.kind == "argument"
    assert task.get("model") == "llama-3-70b"


def test_update_reaches_lists_that_hold_the_record(run: Run, fleet: list[Record], workers: Workers) -> None:
    assert run("a.least_loaded()", workers) is fleet[0]
    fleet[4].update(load=0.0)
    assert run("a.least_loaded()", workers) is fleet[4]


def test_a_call_sees_a_record_in_one_state() -> None:
    record = Record("worker", {"low": 0, "high": 0})

    def move() -> int:
        record.update(low=1, high=1)
        return 0

    engine = rhai_py.Engine(functions={"move_on": move})
    script = engine.compile("fn f(w) { let low = w.low; move_on(); [low, w.high] }")
    assert script.call("f", record, timeout_ms=1000) == [0, 0]
    assert script.call("f", record, timeout_ms=1000) == [1, 1]


def test_record_does_not_keep_itself_alive(engine: rhai_py.Engine) -> None:
    import weakref

    script = engine.compile("fn f(a) { 1 }")
    record = Record("task", {"x": 1})
    script.call("f", Workers([record]))
    gone = weakref.ref(record)
    del record
    gc.collect()
    assert gone() is None


def test_get_raises_key_error(task: Record) -> None:
    with pytest.raises(KeyError, match="did you mean 'model'"):
        task.get("modell")
    assert (task.kind, repr(task)) == ("task", 'Record("task", customer_tier, geo, model, tags, type)')


def test_two_records_differ_even_with_equal_fields(run: Run) -> None:
    one, other = Record("w", {"x": 1}), Record("w", {"x": 1})
    assert run("[a == a, a == b, a != b]", one, other) == [True, False, True]


def test_frozen_value_is_used_by_many_calls(engine: rhai_py.Engine, task: Record) -> None:
    facts = freeze({"prices": {"eu": 0.25}, "list": [{"n": 1}, {"n": 2}], "task": task})
    script = engine.compile("fn f(facts) { [facts.prices.eu, facts.list[1].n, facts.task, facts.list] }")
    for _ in range(3):
        assert script.call("f", facts) == [0.25, 2, task, [{"n": 1}, {"n": 2}]]
    assert engine.compile("fn f(x) { x }").call("f", freeze(7)) == 7
    with pytest.raises(RhaiRuntimeError, match="object has no field 'price'; did you mean 'prices'"):
        engine.compile("fn f(x) { x.price }").call("f", facts)


def test_record_wants_string_keys_and_a_kind() -> None:
    with pytest.raises(rhai_py.RhaiError, match="keys of a dict must be strings, not 1"):
        Record("w", {1: 2})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="kind must not be empty"):
        Record("", {})
