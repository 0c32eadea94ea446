from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from rhai_py import Engine, Limits, RhaiLimitError, RhaiTimeoutError

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("limits", "fits", "passes", "message"),
    [
        ({"operations": 100}, "for i in 0..9 {}", "for i in 0..99 {}", "more than 100 operations"),
        ({"call_levels": 5}, "g(3)", "g(9)", "more than 5 calls inside each other"),
        ({"string_bytes": 10}, "let s = `a${12345678}`; s", "let s = `abc${12345678}`; s", "a string of more than 10 bytes"),
        ({"array_items": 4}, "let a = [1, 2]; a += [3, 4]", "let a = [1, 2]; a.append([3, 4, 5]); a", "an array of more than 4 items"),
        ({"array_items": 4}, "[[1], [2]]", "let a = [1]; [[a, a], a]", "an array of more than 4 items"),
        ({"map_items": 2}, "let m = #{a: 1}; m.b = 2; m", "let m = #{a: 1}; m.b = 2; m.c = 3; m", "a map of more than 2 items"),
        ({"variables": 3}, "let a = 1; let b = 1;", "let a = 1; let b = 1; let c = 1; let d = 1;", "more than 3 variables"),
        ({"memory_bytes": 5000}, "let a = [1]; a.pad(9, 1)", "let a = []; a.pad(250, 1); let b = a; b", "more than 5000 bytes of memory"),
    ],
)  # fmt: skip
def test_limit_of_a_call(limits: dict[str, int], fits: str, passes: str, message: str) -> None:
    engine = Engine(limits=Limits(**limits))
    source = "fn g(n) {{ if n > 0 {{ g(n - 1) }} }}\nfn f() {{ {} }}"
    engine.compile(source.format(fits)).call("f", timeout_ms=1000)
    with pytest.raises(RhaiLimitError) as caught:
        engine.compile(source.format(passes)).call("f", timeout_ms=1000)
    assert (caught.value.kind, caught.value.message) == ("limit", message)
    assert caught.value.line == 2


@pytest.mark.parametrize(
    ("limits", "fits", "passes", "message"),
    [
        ({"script_bytes": 20}, "fn f() { 1 }", "fn f() { 1 } // longer", "the script has 22 bytes; at most 20 are allowed"),
        ({"functions": 1}, "fn f() { 1 }", "fn f() { 1 } fn g() { 1 }", "more than 1 functions"),
        ({"function_expr_depth": 16}, "fn f() { [[1]] }", "fn f() { [[[[[[1]]]]]] }", "an expression nested more than 32 levels deep, 16 in a function"),
        ({"expr_depth": 16}, "const A = [1]; fn f() { A }", "const A = [[[[[[1]]]]]]; fn f() { A }", "an expression nested more than 16 levels deep, 32 in a function"),
        ({"array_items": 3}, "fn f() { [1, 2] }", "fn f() { [1, 2, 3, 4] }", "Size of array literal exceeds the maximum limit (3)"),
        ({"map_items": 1}, "fn f() { #{a: 1} }", "fn f() { #{a: 1, b: 2} }", "Number of properties in object map literal exceeds the maximum limit (1)"),
        ({"string_bytes": 3}, 'fn f() { "abc" }', 'fn f() { "abcd" }', "Length of string exceeds the maximum limit (3)"),
    ],
)  # fmt: skip
def test_limit_of_a_source(limits: dict[str, int], fits: str, passes: str, message: str) -> None:
    engine = Engine(limits=Limits(**limits))
    engine.compile(fits)
    with pytest.raises(RhaiLimitError) as caught:
        engine.compile(passes)
    assert (caught.value.kind, caught.value.message) == ("limit", message)


def test_operations_inside_closures_count() -> None:
    engine = Engine(limits=Limits(operations=1000))
    for method in ("map", "filter", "for_each", "some", "sort_by"):
        body = f"for i in 0..200 {{ [1, 2, 3, 4, 5, 6, 7, 8].{method}(|x| x + 1 == 0); }}"
        with pytest.raises(RhaiLimitError, match="more than 1000 operations"):
            engine.compile(f"fn f() {{ {body} }}").call("f", timeout_ms=1000)


def test_deadline_ends_a_call() -> None:
    script = Engine(limits=Limits(operations=1_000_000_000)).compile("fn f() { loop {} }")
    started = time.perf_counter()
    with pytest.raises(RhaiTimeoutError) as caught:
        script.call("f", timeout_ms=30)
    assert 0.03 <= time.perf_counter() - started < 1
    assert (caught.value.kind, caught.value.message) == ("timeout", "took longer than 30 ms")


def test_deadline_cannot_be_caught_by_the_script() -> None:
    script = Engine(limits=Limits(operations=1_000_000_000)).compile(
        "fn f() { loop { try { loop {} } catch {} } }"
    )
    with pytest.raises(RhaiTimeoutError):
        script.call("f", timeout_ms=5)


@pytest.mark.parametrize(
    ("limits", "error"),
    [
        ({"operations": 1_000_000_000}, RhaiTimeoutError),
        ({"operations": 2000}, RhaiLimitError),
        ({"memory_bytes": 5000}, RhaiLimitError),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        "loop { try { g() } catch {} }",
        "loop { try { [1].map(|x| { g() }); } catch (e) { 1 } }",
        "try { g() } catch { }",
        "try { g() } catch { return 5; }",
        "let r = try_it(); 7",
    ],
)
def test_what_ends_a_call_inside_a_function_cannot_be_caught_around_it(
    limits: dict[str, int], error: type[Exception], body: str
) -> None:
    """Rhai lets a script catch the error of a function, whatever it was inside."""
    engine = Engine(limits=Limits(**limits))
    script = engine.compile(
        "fn g() { let a = []; loop { a.push(1); if a.len() > 200 { let b = a; a = []; } } }"
        f"fn try_it() {{ try {{ g() }} catch {{ }} }} fn f() {{ {body} }}"
    )
    started = time.perf_counter()
    with pytest.raises(error):
        script.call("f", timeout_ms=5 if error is RhaiTimeoutError else 10_000)
    assert time.perf_counter() - started < 0.5


def test_what_must_leave_the_process_cannot_be_caught_around_a_function() -> None:
    def leave() -> None:
        raise KeyboardInterrupt

    script = Engine(functions={"leave": leave}).compile(
        "fn g() { leave() } fn f() { for i in 0..5 { try { g() } catch { } } }"
    )
    with pytest.raises(KeyboardInterrupt):
        script.call("f")


def test_computing_is_limited_apart_from_the_clock() -> None:
    """A host function that waits costs no CPU; a loop does."""
    engine = Engine(limits=Limits(operations=1_000_000_000), functions={"wait": lambda: time.sleep(0.1)})
    waits, loops = engine.compile("fn f() { wait(); 1 }"), engine.compile("fn f() { loop { } }")
    assert waits.call("f", timeout_ms=10_000, cpu_ms=20) == 1
    before = time.thread_time()
    with pytest.raises(RhaiTimeoutError, match="computed for longer than 20 ms") as caught:
        loops.call("f", timeout_ms=10_000, cpu_ms=20)
    assert caught.value.line == 1
    assert 0.02 <= time.thread_time() - before < 0.05


def test_a_call_inside_a_call_has_a_budget_of_its_own() -> None:
    inner = Engine(limits=Limits(operations=50)).compile("fn f(endless) { while endless { } }")

    def ask(endless: bool) -> bool:
        try:
            inner.call("f", endless, timeout_ms=5000, cpu_ms=5000)
        except RhaiLimitError:
            return False
        return True

    script = Engine(functions={"ask": ask}).compile("fn f() { [ask(true), ask(false), ask(true)] }")
    assert script.call("f") == [False, True, False]


@pytest.mark.parametrize("timeout_ms", [0, -1, float("nan"), float("inf")])
def test_deadline_must_be_a_time(run: Run, timeout_ms: float) -> None:
    with pytest.raises(ValueError, match="cpu_ms"):
        Engine().compile("fn f() { 1 }").call("f", cpu_ms=timeout_ms)
    with pytest.raises(ValueError, match="timeout_ms"):
        run("1", timeout_ms=timeout_ms)


def test_limits_are_values() -> None:
    assert Limits() == Limits(operations=50_000)
    assert Limits() != Limits(operations=50_001)
    assert hash(Limits(variables=7)) == hash(Limits(variables=7))
    assert repr(Limits()) == (
        "Limits(operations=50000, call_levels=16, expr_depth=32, function_expr_depth=32, string_bytes=1024, "
        "array_items=256, map_items=64, variables=64, functions=32, script_bytes=16384, memory_bytes=8388608)"
    )
    assert Engine(limits=Limits(variables=7)).limits.variables == 7


@pytest.mark.parametrize(
    "field", ["operations", "call_levels", "array_items", "variables", "script_bytes", "memory_bytes"]
)
def test_no_limit_can_be_turned_off(field: str) -> None:
    for value in (0, 2**40):
        with pytest.raises(ValueError, match=f"{field} must be between 1 and"):
            Limits(**{field: value})
