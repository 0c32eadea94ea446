"""Variables that the host gives to one call."""

from __future__ import annotations

import threading

import pytest
from rhai_py import Engine, Record, RhaiError, RhaiParseError, RhaiRuntimeError, Workers

ENGINE = Engine(variables=("hives", "now"))


def call(body: str, *args: object, **variables: object) -> object:
    source = f"fn g() {{ hives }} fn f({', '.join('ab'[: len(args)])}) {{ {body} }}"
    return ENGINE.compile(source).call("f", *args, variables=variables)


def test_variable_is_read_in_any_function_and_closure() -> None:
    hives = Workers([Record("hive", {"name": "mac", "gpus": 2})])
    assert call("hives.first().name", hives=hives) == "mac"
    assert call("g().first().name", hives=hives) == "mac"
    assert call("[1, 2].map(|x| x + hives.first().gpus)", hives=hives) == [3, 4]
    assert call("[1].map(|x| [2].map(|y| hives.len() + x + y))", hives=hives) == [[4]]
    assert call("let f = || hives; f.call() == hives && now == 5", hives=3, now=5) is True


def test_variable_that_is_not_given_is_unit() -> None:
    assert call("[hives, now, [1].map(|x| hives)]", now=1) == [None, 1, [None]]
    assert ENGINE.compile("fn f() { hives }").call("f") is None


def test_script_may_use_the_name_for_its_own() -> None:
    assert call("let hives = 5; { let hives = 6; } hives += 1; [hives, g()]", hives=1) == [6, 1]
    assert ENGINE.compile("fn f(hives) { hives }").call("f", 7, variables={"hives": 1}) == 7
    assert call("let r = []; for hives in 0..2 { r.push(hives); } r + [1].map(|hives| hives)", hives=9) == [
        0,
        1,
        1,
    ]


def test_dict_is_a_record() -> None:
    assert call("hives.a.b", hives={"a": {"b": 3}}) == 3
    with pytest.raises(RhaiRuntimeError, match="hives has no field 'c'"):
        call("hives.c", hives={"a": 1})


@pytest.mark.parametrize("body", ["hives = 1", "hives += 1", "hives.x = 1", "hives[0] = 1"])
def test_variable_cannot_be_changed(body: str) -> None:
    with pytest.raises(RhaiError):
        call(body, hives=[1])


def test_variable_must_be_declared() -> None:
    with pytest.raises(RhaiRuntimeError, match="without a variable 'hive'; did you mean 'hives'") as caught:
        call("1", hive=1)
    assert caught.value.kind == "argument"
    with pytest.raises(RhaiParseError, match="Undefined variable: hives"):
        Engine().compile("fn f() { hives }")


@pytest.mark.parametrize("name", ["", "a b", "none", "if", "admit"])
def test_name_must_be_free(name: str) -> None:
    with pytest.raises(ValueError, match="a variable cannot be called"):
        Engine(variables=[name])
    with pytest.raises(ValueError, match="a variable cannot be called"):
        Engine(variables=["x", "x"])


def test_constant_cannot_have_the_name_of_a_variable() -> None:
    with pytest.raises(RhaiParseError, match="'hives' is a variable of the host") as caught:
        ENGINE.compile("const A = 1;\nconst hives = 2;\nfn f() { hives }")
    assert caught.value.line == 2


def test_constants_are_computed_without_variables() -> None:
    script = ENGINE.compile("const A = hives; fn f() { [A, hives] }")
    assert script.call("f", variables={"hives": 1}) == [None, 1]


def test_value_that_cannot_be_passed_is_named() -> None:
    with pytest.raises(RhaiRuntimeError, match="variable hives: a: a value of type object cannot be passed"):
        call("1", hives={"a": object()})


def test_nested_call_has_variables_of_its_own() -> None:
    inner = ENGINE.compile("fn f() { now }")
    outer = Engine(functions={"ask": lambda: inner.call("f")}, variables=["now"])
    script = outer.compile("fn f() { [now, ask(), now] }")
    assert script.call("f", variables={"now": 1}) == [1, None, 1]


def test_failed_call_leaves_nothing_behind() -> None:
    script = ENGINE.compile("fn f(x) { if x { throw now } now }")
    with pytest.raises(RhaiRuntimeError):
        script.call("f", True, variables={"now": 1})
    assert script.call("f", False) is None


def test_threads_see_their_own_values() -> None:
    script = ENGINE.compile("fn f() { let n = 0; for i in 0..500 { n += now; } n }")
    wrong: list[object] = []

    def work(value: int) -> None:
        calls = (script.call("f", variables={"now": value}, timeout_ms=5000) for _ in range(200))
        wrong.extend(answer for answer in calls if answer != 500 * value)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
