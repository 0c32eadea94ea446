from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest
import rhai_py
from rhai_py import (
    Engine,
    RhaiError,
    RhaiLimitError,
    RhaiParseError,
    RhaiRuntimeError,
    RhaiTimeoutError,
)

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("throw `no ${1 + 1}`", "runtime", "no 2"),
        ("throw", "runtime", "the script threw an error"),
        ("throw #{code: 5}", "runtime", '#{"code": 5}'),
        ("1 + nope(2)", "missing_function", "there is no function nope(integer)"),
        (
            '"x".to_uper()',
            "missing_function",
            "there is no function to_uper(string); did you mean 'to_upper'?",
        ),
        ("helpr(1)", "missing_function", "there is no function helpr(integer); did you mean 'helper'?"),
        (
            "helper(1, 2)",
            "missing_function",
            "there is no helper(integer, integer): 'helper' takes other arguments",
        ),
        ("(5).length", "missing_field", "integer has no field 'length'"),
        ("1 / 0", "runtime", "Division by zero: 1 / 0"),
        ("let x = 1; if x { 2 }", "runtime", "Data type incorrect: integer (expecting bool)"),
    ],
)
def test_error_in_a_script(engine: Engine, body: str, kind: str, message: str) -> None:
    script = engine.compile(f"fn helper(x) {{ x }}\nfn f() {{\n  {body}\n}}")
    with pytest.raises(RhaiRuntimeError) as caught:
        script.call("f")
    assert (caught.value.kind, caught.value.message, caught.value.line) == (kind, message, 3)


def test_error_in_a_function_that_was_called_has_its_own_place(engine: Engine) -> None:
    script = engine.compile("fn f() { g(1) }\nfn g(x) {\n  [x].map(|y|\n    y.nope)\n}")
    with pytest.raises(RhaiRuntimeError) as caught:
        script.call("f")
    assert (caught.value.line, caught.value.column) == (4, 7)


def test_missing_entry_point_names_the_nearest(engine: Engine) -> None:
    script = engine.compile("fn route_task(task, workers) { workers.first() }")
    with pytest.raises(RhaiRuntimeError) as caught:
        script.call("route_tasks", 1, 2)
    assert (caught.value.kind, caught.value.message) == (
        "missing_function", "the script has no function 'route_tasks'; did you mean 'route_task'?",
    )  # fmt: skip
    with pytest.raises(RhaiRuntimeError, match="function 'route_task' takes 2 arguments, not 1"):
        script.call("route_task", 1)


def test_error_tree() -> None:
    kinds = {
        RhaiParseError: "parse",
        RhaiRuntimeError: "runtime",
        RhaiLimitError: "limit",
        RhaiTimeoutError: "timeout",
    }
    for error, kind in kinds.items():
        assert error.__mro__[1] is RhaiError
        by_hand = error("by hand")
        assert (by_hand.kind, by_hand.line, by_hand.column, by_hand.message) == (kind, None, None, "")
    assert issubclass(RhaiError, Exception)


def test_error_can_be_pickled(run: Run) -> None:
    with pytest.raises(RhaiRuntimeError) as caught:
        run("throw 1")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.kind, copy.line) == (str(caught.value), "runtime", 1)


def test_all_lists_what_can_be_imported() -> None:
    public = {name for name in vars(rhai_py) if not name.startswith("_")}
    assert public == set(rhai_py.__all__) - {"__version__"}
