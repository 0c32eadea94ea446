from __future__ import annotations

import time
from typing import NoReturn

import pytest
import rhai_py
from rhai_py import Engine, Record, RhaiRuntimeError, RhaiTimeoutError, Workers, none


def engine_with(**functions: object) -> Engine:
    return Engine(functions=functions)  # type: ignore[arg-type]


def test_host_function_takes_and_returns_values(task: Record) -> None:
    seen: list[object] = []

    def note(record: object, number: object, items: object) -> object:
        seen.extend([record, number, items])
        return {"n": [1, 2.5, None], "record": record, "none": none}

    script = engine_with(note=note).compile(
        'fn f(t) { let r = note(t, 1, [true, "x"]); [r.n, r.record.model, r.record, r.none] }'
    )
    assert script.call("f", task, timeout_ms=5000) == [[1, 2.5, None], "llama-3-70b", task, none]
    assert seen == [task, 1, [True, "x"]]


def test_host_function_with_defaults_takes_fewer_arguments() -> None:
    def add(a: int, b: int = 10, c: int = 100) -> int:
        return a + b + c

    assert engine_with(add=add).compile("fn f() { [add(1), add(1, 2), add(1, 2, 3)] }").call(
        "f", timeout_ms=5000
    ) == [
        111,
        103,
        6,
    ]


def test_host_function_works_as_a_method_and_in_closures(fleet: list[Record]) -> None:
    script = engine_with(is_free=lambda worker: worker.get("in_flight") == 0).compile(
        "fn f(w) { [w.filter(|x| is_free(x)).len(), w[1].is_free()] }"
    )
    assert script.call("f", Workers(fleet), timeout_ms=5000) == [3, False]


def test_exception_becomes_a_runtime_error_with_its_cause() -> None:
    def quota(tenant: str) -> NoReturn:
        raise LookupError(f"no tenant {tenant}")

    script = engine_with(quota=quota).compile('fn f() {\n  quota("x")\n}')
    with pytest.raises(RhaiRuntimeError) as caught:
        script.call("f", timeout_ms=5000)
    assert caught.value.message == "host function 'quota' raised LookupError: no tenant x"
    assert (caught.value.kind, caught.value.line, caught.value.column) == ("runtime", 2, 3)
    assert isinstance(caught.value.__cause__, LookupError)


def test_script_may_catch_an_exception_but_not_an_interrupt() -> None:
    def fail() -> NoReturn:
        raise ValueError("x")

    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    engine = engine_with(fail=fail, interrupt=interrupt)
    assert engine.compile("fn f() { try { fail(); } catch { return 7; } }").call("f", timeout_ms=5000) == 7
    with pytest.raises(KeyboardInterrupt):
        engine.compile("fn f() { try { interrupt(); } catch { return 7; } }").call("f", timeout_ms=5000)


def test_deadline_holds_after_a_slow_host_function() -> None:
    script = engine_with(slow=lambda: time.sleep(0.05)).compile("fn f() { slow(); 1 }")
    with pytest.raises(RhaiTimeoutError):
        script.call("f", timeout_ms=10)


def test_host_function_may_call_a_script_whose_budget_is_its_own() -> None:
    inner = Engine(limits=rhai_py.Limits(operations=200)).compile("fn g() { for i in 0..20 {} 5 }")
    script = engine_with(inner=lambda: inner.call("g", timeout_ms=5000)).compile(
        "fn f() { let n = 0; for i in 0..50 { n += inner(); } n }"
    )
    assert script.call("f", timeout_ms=5000) == 250


def test_value_that_cannot_be_passed_on_is_named() -> None:
    script = engine_with(give=lambda: {"a": [object()]}).compile("fn f() { give() }")
    with pytest.raises(RhaiRuntimeError) as caught:
        script.call("f", timeout_ms=5000)
    assert (
        caught.value.message
        == "host function 'give' returned a: [0]: a value of type object cannot be passed to a script"
    )


@pytest.mark.parametrize(
    ("name", "function", "error"),
    [
        ("admit", lambda: 1, ValueError),
        ("not a name", lambda: 1, ValueError),
        ("f", 5, TypeError),
        ("f", lambda *many: 1, TypeError),
        ("f", lambda a, b, c, d, e, f, g, h, i: 1, TypeError),
    ],
)
def test_unfit_host_function_is_refused(name: str, function: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        engine_with(**{name: function})


def test_wrong_number_of_arguments_is_a_missing_function() -> None:
    with pytest.raises(RhaiRuntimeError) as caught:
        engine_with(give=lambda a: a).compile("fn f() { give(1, 2) }").call("f", timeout_ms=5000)
    assert (caught.value.kind, caught.value.message) == (
        "missing_function", "there is no give(integer, integer): 'give' takes other arguments",
    )  # fmt: skip
