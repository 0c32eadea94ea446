"""Any text as a script, by hypothesis: soups of tokens, scripts with something cut out, plain text. What the fuzz target in
`fuzz/` looks for with coverage to lead it; this one needs no other tools."""

from __future__ import annotations

import random
import time
from pathlib import Path

import hostility
import pytest
import rhai_py
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

POLICIES = sorted((Path(__file__).parent / "policies").glob("*.rhai"))
LIBRARY = [line.split()[0] for line in hostility.LIBRARY.read_text().splitlines()]
WORDS = """
    fn let const if else match switch while loop do until for in continue break return throw try catch this true false none
    ( ) [ ] { } #{ ?[ , ; : :: . ?. => | || && ! ~ + - * / % ** & ^ << >> == != < <= > >= = += -= *= /= .. ..= ?? ` ${ \\" " ' // /* */ @ # $ \\
    Fn call type_of is_shared eval import export print debug curry private global task workers hives w x f g 0 1 -1 255 1.5 1e308
    9223372036854775807 0xff 0b1 "a" 'x' `a${x}b` [] #{} () |x| |x,y| || fn\u00a0f \u65e5 \U0001f980 \0
"""
TOKENS = WORDS.split()

tokens = st.lists(st.sampled_from([*TOKENS, *LIBRARY]), max_size=60).map(" ".join)
bodies = st.one_of(tokens, st.text(max_size=80)).map(lambda text: f"fn f(task, workers) {{ {text} }}")
hostile = st.integers(0, 10**6).map(lambda number: hostility.script(1, number)[1])
sources = st.one_of(hostile, st.sampled_from(POLICIES).map(lambda path: path.read_text(encoding="utf-8")))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A part of it gone, doubled, or replaced by a token."""
    source = draw(sources)[:4000]
    pick = random.Random(draw(st.integers(0, 2**32)))
    for _ in range(draw(st.integers(1, 4))):
        start = pick.randrange(len(source) + 1)
        end = min(len(source), start + pick.choice([1, 2, 5, 30]))
        middle = pick.choice(["", source[start:end] * 2, pick.choice(TOKENS), pick.choice(LIBRARY)])
        source = source[:start] + middle + source[end:]
    return source


@pytest.fixture(scope="module")
def world() -> list[object]:
    rows = [
        {"id": f"w-{n}", "load": n / 7, "in_flight": n % 3, "vram_free_mb": n, "model": "m"}
        for n in range(20)
    ]
    return [
        rhai_py.Record("task", {"model": "m", "priority": 3}),
        rhai_py.Workers([rhai_py.Record("worker", row) for row in rows]),
    ]


FUZZ = settings(
    max_examples=300, deadline=None, database=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip


@FUZZ
@given(source=bodies)
def test_a_soup_of_tokens_ends(world: list[object], source: str) -> None:
    assert_ends(world, source)


@FUZZ
@given(source=damaged())
def test_a_damaged_script_ends(world: list[object], source: str) -> None:
    assert_ends(world, source)


@FUZZ
@given(source=st.text(max_size=300))
def test_any_text_ends(world: list[object], source: str) -> None:
    assert_ends(world, source)


def assert_ends(world: list[object], source: str) -> None:
    """Compiled, checked and called, with too little CPU for an endless loop to go unseen."""
    engine = rhai_py.Engine(variables=("hives",))
    started = time.thread_time()
    try:
        script = engine.compile(source)
        script.lint({}, {"worker": {"load": None}}, {"workers": "worker"}, {"hives": "workers"})
        for name, arity in script.functions[:5]:
            arguments = [world[index % 2] for index in range(arity)]
            script.call(name, *arguments, variables={"hives": world[1]}, timeout_ms=10_000, cpu_ms=20)
    except rhai_py.RhaiError as error:
        if error.kind == "panic":
            raise
    assert time.thread_time() - started < 0.5
