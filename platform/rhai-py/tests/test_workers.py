from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rhai_py import Record, RhaiRuntimeError, Workers, none

Run = Callable[..., Any]

CHOOSING = [
    "first()",
    "least_loaded()",
    "most_vram_free()",
    "round_robin()",
    'min_by("load")',
    'max_by("load")',
    "min_by(|w| w.load)",
    "max_by(|w| w.load)",
]


@pytest.mark.parametrize(
    ("chain", "index"),
    [
        ("first()", 0),
        ("least_loaded()", 0),
        ("most_vram_free()", 4),
        ("round_robin()", 2),
        ('min_by("load")', 0),
        ('max_by("load")', 2),
        ('min_by("name")', 0),
        ('max_by("name")', 4),
        ("min_by(|w| -w.vram_free_mb)", 4),
        ("max_by(|w| w.vram_free_mb * w.load)", 2),
        ('filter(|w| w.gpu_type == "H100").first()', 3),
        ('filter(|w| w.gpu_type == "H100").filter(|w| w.load > 0.3).least_loaded()', 4),
        ("idle().most_vram_free()", 4),
        ("idle().filter(|w| w.load > 0.2).first()", 2),
        ('with_model("sdxl").first()', 4),
        ("with_capacity(3000).least_loaded()", 3),
        ("with_capacity(2000.5).first()", 3),
        ('filter(|w| w.geo.region == "US").round_robin()', 3),
    ],
)
def test_choice(run: Run, fleet: list[Record], chain: str, index: int) -> None:
    assert run(f"a.{chain}", Workers(fleet, round_robin=12)) is fleet[index]


@pytest.mark.parametrize("chain", CHOOSING)
@pytest.mark.parametrize(
    "narrowing",
    [
        "",
        "idle().",
        'with_model("x").',
        "with_capacity(1).",
        "filter(|w| w.nope).",
    ],
)
def test_choice_from_an_empty_list_is_none(run: Run, chain: str, narrowing: str) -> None:
    assert run(f"a.{narrowing}{chain}", Workers([])) is none


def test_field_of_none_is_an_error_that_says_so(run: Run) -> None:
    with pytest.raises(
        RhaiRuntimeError, match="none has no field 'hive': there was nothing to choose"
    ) as caught:
        run("a.first().hive", Workers([]))
    assert caught.value.kind == "missing_field"


def test_least_loaded_breaks_ties(run: Run) -> None:
    def worker(**fields: object) -> Record:
        return Record("worker", {"load": 1} | fields)

    plain, busy, roomy, same = worker(), worker(in_flight=2), worker(vram_free_mib=9), worker(vram_free_mb=9)
    assert run("a.least_loaded()", Workers([busy, plain, roomy, same])) is roomy
    assert run("a.least_loaded()", Workers([busy, plain])) is plain
    assert run("a.least_loaded()", Workers([same, roomy])) is same


def test_worker_with_a_broken_reading_is_chosen_last(run: Run) -> None:
    broken, fine = Record("worker", {"load": float("nan")}), Record("worker", {"load": 5.0})
    assert run("a.least_loaded()", Workers([broken, fine])) is fine
    assert run('a.min_by("load")', Workers([broken, fine])) is fine
    assert run('a.max_by("load")', Workers([broken, fine])) is fine


def test_list_can_be_counted_indexed_and_iterated(run: Run, fleet: list[Record], workers: Workers) -> None:
    assert run("[a.len(), a.len, a.is_empty(), a.is_empty]", workers) == [5, 5, False, False]
    assert run("[a[0], a[-1], a[5], a[-6]]", workers) == [fleet[0], fleet[4], none, none]
    assert run("let n = []; for w in a { n.push(w.name); } n", workers) == ["w0", "w1", "w2", "w3", "w4"]
    assert run("[b in a, none in a]", workers, fleet[2]) == [True, False]
    assert run("`${a}`", workers) == "5 workers"
    assert (len(workers), workers.to_list(), repr(workers)) == (5, fleet, "Workers(5 records)")


def test_list_that_a_script_returns_holds_the_same_records(
    run: Run, fleet: list[Record], workers: Workers
) -> None:
    kept = run('a.filter(|w| w.gpu_type == "H100")', workers)
    assert isinstance(kept, Workers)
    assert kept.to_list() == fleet[3:]


def test_filter_does_not_change_the_list(run: Run, workers: Workers) -> None:
    assert run("let few = a.filter(|w| w.load > 0.3); [few.len(), a.len()]", workers) == [3, 5]


def test_closure_may_use_the_list_and_other_variables(run: Run, task: Record, workers: Workers) -> None:
    assert run("a.filter(|w| w.model == b.model && a.len() == 5).len()", workers, task) == 4
    assert (
        run(
            "let limit = 0.3; a.filter(|w| a.filter(|v| v.load < w.load && v.load > limit).len() > 0).len()",
            workers,
        )
        == 2
    )


def test_thousand_workers_pass(run: Run) -> None:
    many = [Record("worker", {"load": 1.0 / (n + 1), "gpu_type": "A100"}) for n in range(1000)]
    assert run('a.filter(|w| w.gpu_type == "A100").least_loaded()', Workers(many)) is many[999]


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ("filter(|w| w.load)", "the function given to filter must return true or false, not float"),
        ("min_by(|w| w)", "min_by orders by numbers or strings, not record"),
        ('max_by(|w| if w.load > 0.3 { 1 } else { "x" })', "max_by was given numbers and strings"),
        ('min_by("lod")', "worker has no field 'lod'; did you mean 'load'?"),
        ("filter(|w| w.nope)", "worker has no field 'nope'"),
        ("filtr(|w| true)", "there is no function filtr(workers, function); did you mean 'filter'?"),
        (
            'with_capacity("8")',
            "there is no with_capacity(workers, string): 'with_capacity' takes other arguments",
        ),
        ("count", "workers has no field 'count'"),
    ],
)
def test_misuse_is_explained(run: Run, workers: Workers, chain: str, message: str) -> None:
    with pytest.raises(RhaiRuntimeError) as caught:
        run(f"a.{chain}", workers)
    assert caught.value.message == message
    assert caught.value.line == 1


@pytest.mark.parametrize("method", ["least_loaded", "most_vram_free", "idle", 'with_model("x").first'])
def test_method_needs_its_field(run: Run, method: str) -> None:
    with pytest.raises(RhaiRuntimeError) as caught:
        run(f"a.{method}()", Workers([Record("worker", {"x": 1})]))
    assert caught.value.kind == "missing_field"


def test_only_records_make_a_list() -> None:
    with pytest.raises(TypeError, match="Workers takes Records, not dict"):
        Workers([{"load": 1}])  # type: ignore[list-item]
