from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rhai_py import RhaiLimitError, RhaiParseError

Run = Callable[..., Any]


def test_closure_reads_outer_variables(run: Run) -> None:
    assert run("let n = 2; [1, 2, 3].map(|x| x * n + a)", 10) == [12, 14, 16]


def test_closure_can_be_kept_and_passed_on(run: Run) -> None:
    assert run("let n = 2; let double = |x| x * n; [double.call(4), [1, 2].map(double)]") == [8, [2, 4]]


def test_closure_may_use_the_value_that_its_method_runs_on(run: Run) -> None:
    assert run("let l = [1, 2, 3]; l.filter(|x| x < l.len())") == [1, 2]


def test_closures_nest(run: Run) -> None:
    assert run("let k = 10; [1, 2].map(|x| [3, 4].map(|y| x * y + k))") == [[13, 14], [16, 18]]


def test_closure_may_have_variables_of_its_own(run: Run) -> None:
    assert run("let n = 1; [1, 2].map(|x| { let s = n; s += x; let t = [s]; t.push(0); t })") == [
        [2, 0],
        [3, 0],
    ]


def test_closure_keeps_the_value_that_it_was_made_with(run: Run) -> None:
    assert run("let n = 1; let f = |x| x + n; n = 100; f.call(1)") == 2


@pytest.mark.parametrize(
    "closure",
    [
        "|x| n += x",
        "|x| { n = x; x }",
        "|x| { if x > 1 { n[0] = 1; } x }",
        "|x| n.push(x)",
        "|x| { n.sub.push(x); x }",
    ],
)
def test_closure_that_would_change_an_outer_variable_is_refused(run: Run, closure: str) -> None:
    with pytest.raises(RhaiParseError) as caught:
        run(f"let n = 0; [1, 2].map({closure})")
    assert (
        caught.value.message
        == "a closure holds a copy of 'n' and cannot change the outer variable; use a for loop"
    )
    assert caught.value.line == 1


def test_function_with_the_name_of_a_closure_variable_is_not_refused(run: Run) -> None:
    assert run("let n = 1; let l = [1].map(|x| x + n); n += 1; n += 1; [l, n]") == [[2], 3]


def test_closure_may_use_sixteen_outer_variables(run: Run) -> None:
    def body(count: int) -> str:
        names = [f"v{n}" for n in range(count)]
        return "".join(f"let {name} = 1; " for name in names) + f"[1].map(|x| [{', '.join(names)}].len())"

    assert run(body(16)) == [16]
    with pytest.raises(RhaiLimitError, match="a closure may use at most 16 outer variables"):
        run(body(17))
