from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rhai_py import Engine, Record, RhaiError, Verdict, freeze, none

Run = Callable[..., Any]

ECHO = Engine().compile("fn f(x) { x } fn g(x) { x.field } fn h(x, y) { x == y }")

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    TEXT,
    st.binary(max_size=50),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=15,
)


def same(a: object, b: object) -> bool:
    """Equal in value and in type, at every level."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


@settings(deadline=None)
@given(VALUES)
def test_value_survives_the_way_there_and_back(value: object) -> None:
    assert same(ECHO.call("f", value, timeout_ms=1000), value)
    assert same(ECHO.call("f", freeze(value), timeout_ms=1000), value)
    assert same(ECHO.call("g", Record("r", {"field": value}), timeout_ms=1000), value)


@settings(deadline=None)
@given(st.integers())
def test_integer_out_of_range_is_an_error(number: int) -> None:
    if -(2**63) <= number < 2**63:
        assert ECHO.call("f", number) == number
    else:
        with pytest.raises(RhaiError) as caught:
            ECHO.call("f", number)
        assert caught.value.message == f"argument 1: {number} does not fit in a 64-bit integer"


def test_special_values(run: Run) -> None:
    assert math.isnan(ECHO.call("f", math.nan))  # type: ignore[arg-type]
    assert ECHO.call("f", math.inf) == math.inf
    assert ECHO.call("f", (1, (2,))) == [1, [2]]
    assert ECHO.call("f", Verdict(False, "x", "y")) == Verdict(False, "x", "y")
    assert ECHO.call("f", none) is none
    assert run("['x', \"y\"]") == ["x", "y"]


def test_dict_argument_is_the_scripts_own(run: Run) -> None:
    customer = {"tier": "free", "tags": ["a"]}
    assert run('a.tier = "pro"; a.tags.push("b"); a.extra = 1; a', customer) == {
        "tier": "pro", "tags": ["a", "b"], "extra": 1,
    }  # fmt: skip
    assert customer == {"tier": "free", "tags": ["a"]}


def test_missing_key_of_a_dict_argument_is_an_error(run: Run) -> None:
    for body in ("a.teir", 'a["teir"]'):
        with pytest.raises(RhaiError) as caught:
            run(body, {"tier": "free"})
        assert (caught.value.kind, caught.value.message) == ("missing_field", "the map has no field 'teir'")
    assert run('[a.get("teir"), "teir" in a]', {"tier": "free"}) == [None, False]


def loop() -> list[object]:
    items: list[object] = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "argument 1: a value of type object cannot be passed to a script"),
        ({"a": [1, {2, 3}]}, "argument 1: a: [1]: a value of type set cannot be passed to a script"),
        ({1: 2}, "argument 1: the keys of a dict must be strings, not 1"),
        ("\ud800", "argument 1: a string with a lone surrogate"),
    ],
)
def test_value_that_cannot_be_passed_is_named(value: object, message: str) -> None:
    with pytest.raises(RhaiError) as caught:
        ECHO.call("f", value)
    assert (caught.value.kind, caught.value.message) == ("argument", message)


def test_value_that_holds_itself_is_refused() -> None:
    with pytest.raises(RhaiError, match="nested deeper than 48 levels"):
        ECHO.call("f", loop())
    with pytest.raises(RhaiError, match="nested deeper than 48 levels"):
        freeze(loop())


@pytest.mark.parametrize("body", ["|x| x", "[|x| x]", "0..5"])
def test_value_that_cannot_be_returned_is_an_error(run: Run, body: str) -> None:
    with pytest.raises(RhaiError) as caught:
        run(body)
    assert caught.value.kind == "argument"


def test_value_nested_too_deeply_is_not_returned(run: Run) -> None:
    with pytest.raises(RhaiError, match="nested deeper than 48 levels"):
        run("let a = []; for i in 0..100 { a = [a]; } a")
