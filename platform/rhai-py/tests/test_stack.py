"""Stack overflow and aborts are out of reach: what no `catch` could catch, so it is measured, in processes of their own.

On Linux the stack of a process's main thread grows as it is used and never shrinks, so that its size tells the deepest
evaluation so far.
"""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rhai_py

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc of Linux")
CEILINGS = {
    "call_levels": 64, "expr_depth": 128, "function_expr_depth": 128, "array_items": 4096, "map_items": 4096, "operations": 200_000,
    "memory_bytes": 2**30, "script_bytes": 2**20,
}  # fmt: skip
STACK_BYTES = 256 << 20
MARGIN = 2

# What can stand around a call, opening and closing.
AROUND = [
    ("abs(", ")"), ("[", "]"), ("#{a: ", "}"), ("`${", "}`"), ("!(", ")"), ("1 + (", ")"), ("if true { ", " }"), ("{ ", " }"), ("(", ")"),
    ("match 1 { _ => ", " }"), ("try { ", " } catch {}"), ("[1].map(|x| ", ")"), ("w.filter(|x| ", ")"), ("w.sort_by(|x| ", ")"),
    ("[3, 1, 2].sort(|x, y| ", ")"), ("loop { return ", " }"), ("for i in [1] { ", " }"), ("true && (", ")"), ("() ?? (", ")"),
    ("w[", "]"), ("w.min_by(|x| ", ")"), ("host(", ")"), ("return ", ""), ("throw ", ""), ("while true { ", " }"), ("(|x| ", ").call(1)"),
    ("do { ", " } while false"), ("[1].reduce(|s, x| ", ")"), ("w.f(", ")"), ("try { throw 1 } catch { ", " }"), ("let x = ", ""),
    ("t.a.b[", "]"), ("-(", ")"), ("(t == (", "))"), ("if (", ") == 1 { 2 }"), ("[1, ", "].len()"), ("#{a: 1, b: (", ")}.b"),
]  # fmt: skip

# What recurses on a value.
ON_VALUES = [
    "a == a", "`${a}`", "a.to_debug()", "[a].contains(a)", "[a, a].dedup()", "[a].index_of(a)", "let b = a; b == a", "a in [a]",
    "#{x: a} == #{x: a}", "#{x: a}.to_json()", "[a].map(|x| x)", "match a { 1 => 2, _ => 3 }", "a = 1; a", "#{x: a}.to_string()",
]  # fmt: skip


def deepest(engine: rhai_py.Engine, opening: str, closing: str, inner: str) -> rhai_py.Script | None:
    """The deepest nesting that compiles; None where none does."""
    found, least, most = None, 1, engine.limits.expr_depth * 4
    while least <= most:
        depth = (least + most) // 2
        try:
            found = engine.compile(f"fn f(t, w) {{ {opening * depth}{inner}{closing * depth} }}")
            least = depth + 1
        except rhai_py.RhaiError:
            most = depth - 1
    return found


def scripts(engine: rhai_py.Engine) -> Iterator[rhai_py.Script | None]:
    pick = random.Random(7)
    pairs = [(a[0] + b[0], b[1] + a[1]) for a, b in pick.sample(list(itertools.product(AROUND, AROUND)), 30)]
    for opening, closing in [*AROUND, *pairs]:
        yield deepest(engine, opening, closing, "f(t, w)")
        yield deepest(engine, opening, closing, "1")
    most = engine.limits.array_items - 8
    uses = " ".join(f"try {{ {use} }} catch {{}}" for use in ON_VALUES)
    for wrap in ["[a]", "#{a: a}"]:
        grow = f"let a = 1; for i in 0..{most} {{ try {{ a = {wrap}; }} catch {{ break; }} }}"
        yield engine.compile(f"fn f(t, w) {{ {grow} {uses} a }}")
        yield engine.compile(f"fn f(t, w) {{ {grow} throw a }}")


def stack_used() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmStk:"))


def measure(limits: dict[str, int]) -> None:
    """Prints the stack that scripts used at their deepest, what is kept for them, how many ran and how they ended."""
    engine = rhai_py.Engine(limits=rhai_py.Limits(**limits), functions={"host": lambda x: x})
    workers = rhai_py.Workers([rhai_py.Record("worker", {"a": n}) for n in range(3)])
    ends: dict[str, int] = {}
    base = stack_used()
    for script in scripts(engine):
        if script is None:
            continue
        kind = "ok"
        try:
            script.call("f", None, workers, timeout_ms=60_000)
        except rhai_py.RhaiError as error:
            kind = error.kind
        ends[kind] = ends.get(kind, 0) + 1
    print(json.dumps({"base": base, "used": stack_used(), "kept": engine.limits.stack_bytes, "ends": ends}))


def measured(limits: dict[str, int]) -> dict[str, int]:
    import resource  # not on Windows

    def large_stack() -> None:
        resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, resource.getrlimit(resource.RLIMIT_STACK)[1]))

    code = f"import test_stack; test_stack.measure({limits!r})"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, preexec_fn=large_stack, capture_output=True, text=True,
        check=False, timeout=170,
    )  # fmt: skip
    assert process.returncode == 0, (process.returncode, process.stderr[-500:])
    return json.loads(process.stdout)  # type: ignore[no-any-return]


@LINUX
@pytest.mark.parametrize("limits", [{}, CEILINGS], ids=["defaults", "ceilings"])
def test_the_deepest_evaluation_uses_less_than_half_of_its_stack(limits: dict[str, int]) -> None:
    """The whole stack of the process counts as used by scripts, so the margin is larger than this."""
    seen = measured(limits)
    assert seen["used"] > 2 * seen["base"], "nothing was measured"
    assert seen["used"] * MARGIN <= seen["kept"], seen
    ends = dict(seen["ends"])  # type: ignore[call-overload]
    assert "panic" not in ends
    assert ends["limit"] > 20


SMALL = """
import threading, rhai_py
threading.stack_size(64 * 1024)
limits = rhai_py.Limits(**{limits})
engine = rhai_py.Engine(limits=limits)

def ends(source):
    try:
        return type(engine.compile(source).call("f", timeout_ms=60_000)).__name__
    except rhai_py.RhaiError as error:
        return error.message

def run():
    deep = "let a = 1; for i in 0..4000 {{ a = [a]; }} "
    print(ends("fn f() {{ " + deep + "a }}"))
    print(ends("fn f() {{ " + deep + "|| a }}"))
    print(ends("fn f() {{ " + deep + "throw a }}")[:40])
    print(ends("fn f() {{ let a = []; loop {{ a = [a, f()]; }} }}"))
    print(ends("const A = {{ " + deep.replace("4000", "300") + "a }}; fn f() {{ A }}"))
    print(ends("fn f() {{ " + "(" * 60 + "1" + ")" * 60 + " }}"))
    print(ends("fn f() {{ " + "if f() == 1 {{}} else " * 120 + "{{}} }}"))
    print(ends("fn f() {{ " + "(" * 10_000 + " }}")[:20])

thread = threading.Thread(target=run)
thread.start()
thread.join()
"""


def test_no_value_or_script_is_too_deep_for_a_small_thread() -> None:
    """What leaves a call is dropped on the thread that called, whose stack may be anything."""
    code = SMALL.format(limits=CEILINGS)
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert process.returncode == 0, process.returncode
    assert process.stdout.splitlines() == [
        "nested deeper than 48 levels",
        "nested deeper than 48 levels",
        "[" * 40,
        "more than 64 calls inside each other",
        "A: nested deeper than 48 levels",
        "int",
        "more than 64 calls inside each other",
        "an expression nested",
    ]
