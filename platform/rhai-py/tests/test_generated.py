"""Thousands of generated scripts, in a process of their own: each ends, none panics, the process stays small."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import rhai_py

SCRIPTS = 3000
MEMORY_MIB = 64

NAMES = ["a", "b", "c", "t", "w", "x"]
INTEGERS = [
    "0",
    "1",
    "-1",
    "2",
    "63",
    "64",
    "255",
    "9223372036854775807",
    "(-9223372036854775807 - 1)",
    "1000000000",
]
LITERALS = [
    '"abc"',
    '""',
    "'x'",
    "1.5",
    "1e308",
    "()",
    "true",
    "[]",
    "[1, 2]",
    "#{}",
    "none",
    "`${a}`",
    "blob(3)",
]
OPERATORS = [
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "==",
    "!=",
    "<",
    ">=",
    "&",
    "|",
    "^",
    "<<",
    ">>",
    "in",
    "??",
    "..",
    "..=",
]
ASSIGNMENTS = ["=", "+=", "-=", "*=", "/=", "<<=", "**="]
RANGES = [
    "a",
    "b",
    "w",
    "t",
    "0..9",
    "0..=9223372036854775807",
    "range(0, 5)",
    "[1, 2, 3]",
    "a.chars()",
    "bits(a)",
]
METHODS = """
    len push pop shift insert remove append pad truncate chop reverse splice extract drain retain filter map reduce reduce_rev
    for_each find find_map some all sort sort_by dedup index_of contains split split_at concat zip order_by to_string
    to_debug get set keys values mixin merge fill_with clear is_empty first least_loaded most_vram_free round_robin min_by
    max_by idle with_model with_capacity trim replace crop sub_string to_upper make_upper to_chars chars bits bytes to_blob
    to_array as_string write_utf8 parse_le_int write_le abs to_int to_float floor round to_hex type_of is_shared call
    starts_with to_json nope
"""


class Generator:
    """Writes bodies of `fn f(t, w)` that mostly compile."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.methods = METHODS.split()

    def body(self) -> str:
        start = "".join(f"let {name} = {self.expression(0)}; " for name in "abc")
        count = self.random.randint(2, 12)
        tries = (f"try {{ {self.statement(self.random.randint(1, 3))} }} catch {{ }}" for _ in range(count))
        return f"{start}let x = 1; {' '.join(tries)}"

    def statement(self, depth: int) -> str:
        pick, sub = self.random.choice, depth - 1
        if depth <= 0:
            return f"{self.expression(0)};"
        variable = pick("abc")
        return pick([
            lambda: f"let {variable} = {self.expression(depth)};",
            lambda: f"{variable} {pick(ASSIGNMENTS)} {self.expression(depth)};",
            lambda: f"{variable}[{self.expression(sub)}] = {self.expression(sub)};",
            lambda: f"{variable}.y = {self.expression(sub)};",
            lambda: f"for i in {pick(RANGES)} {{ {self.statement(sub)} {self.statement(sub)} }}",
            lambda: f"while {self.test(sub)} {{ {self.statement(sub)} }}",
            lambda: f"loop {{ {self.statement(sub)} if {self.test(sub)} {{ break; }} }}",
            lambda: f"try {{ {self.statement(sub)} }} catch (e) {{ {self.statement(sub)} }}",
            lambda: f"throw {self.expression(sub)};",
            lambda: f"return {self.expression(sub)};",
            lambda: f"{self.expression(depth)};",
        ])()  # fmt: skip

    def expression(self, depth: int) -> str:
        pick, sub = self.random.choice, depth - 1
        if depth <= 0:
            return pick([*NAMES, *INTEGERS, *LITERALS])
        return pick([
            lambda: f"{self.expression(sub)}.{pick(self.methods)}({self.arguments(sub)})",
            lambda: f"{pick(NAMES)}.{pick(self.methods)}({self.arguments(sub)})",
            lambda: f"{pick(self.methods)}({self.arguments(sub)})",
            lambda: f"({self.expression(sub)} {pick(OPERATORS)} {self.expression(sub)})",
            lambda: f"[{self.arguments(sub)}]",
            lambda: f"#{{a: {self.expression(sub)}, b: {self.expression(sub)}}}",
            lambda: f"{pick(NAMES)}[{pick([*NAMES, *INTEGERS])}]",
            lambda: f"{pick(NAMES)}.{pick(['a', 'load', 'geo', 'type', 'len', 'tags'])}",
            lambda: f"|{pick(['x', 'x, y', 'q'])}| {self.expression(sub)}",
            lambda: f"if {self.test(sub)} {{ {self.statement(sub)} }} else {{ {self.expression(sub)} }}",
            lambda: f"match {pick(NAMES)} {{ 1 => {self.expression(sub)}, 2..9 => 0, _ => {self.expression(sub)} }}",
            lambda: f"`a${{{self.expression(sub)}}}b`",
            lambda: f"f({self.expression(sub)}, {self.expression(sub)})",
        ])()  # fmt: skip

    def test(self, depth: int) -> str:
        return f"({self.expression(depth)} {self.random.choice(['==', '!=', '<', '>'])} {self.expression(depth)})"

    def arguments(self, depth: int) -> str:
        return ", ".join(
            self.expression(depth - self.random.randint(0, 2)) for _ in range(self.random.randint(0, 3))
        )


def run_all(seed: int) -> None:
    """Prints how many scripts ended in which way, then the memory that they took."""
    engine = rhai_py.Engine()
    task = rhai_py.Record("task", {"a": 1, "type": "x", "tags": ["a"], "geo": {"x": 1}})
    rows = [{"load": n / 3, "in_flight": n % 2, "vram_free_mb": n, "model": "m", "a": n} for n in range(20)]
    workers = rhai_py.Workers([rhai_py.Record("worker", row) for row in rows])
    generator, ends = Generator(seed), {"ok": 0}
    import resource  # not on Windows, where others import this module

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(SCRIPTS):
        body = generator.body()
        sys.stderr.write(f"{body}\n")
        kind = "ok"
        try:
            engine.compile(f"fn f(t, w) {{ {body} }}").call("f", task, workers)
        except rhai_py.RhaiError as error:
            kind = error.kind
        ends[kind] = ends.get(kind, 0) + 1
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
    sys.stdout.write(f"{ends['ok']} {ends.get('panic', 0)} {grown}\n")


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are counted otherwise elsewhere")
def test_generated_scripts_end() -> None:
    """On failure the last line of stderr is the script to blame."""
    process = subprocess.run(
        [sys.executable, __file__, "7"], capture_output=True, text=True, check=False, timeout=150
    )
    assert process.returncode == 0, process.stderr.splitlines()[-1]
    fine, panics, grown_mib = map(int, process.stdout.split())
    assert fine > SCRIPTS / 10
    assert panics == 0
    assert grown_mib < MEMORY_MIB


if __name__ == "__main__":
    run_all(int(sys.argv[1]))
