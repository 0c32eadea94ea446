"""Scripts that mean harm end as errors: soon, in little memory, and without taking the process with them."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import rhai_py

#: Bodies of `fn f(t, w)`, one a line; each has to end in a RhaiError.
BODIES = """
loop {}
while true {}
do {} until false
for i in 0..9223372036854775807 {}
for i in range(0.0, 1e18, 0.0000001) {}
let s = "x"; loop { s += s; }
let s = "x"; loop { s = s + "aaaaaaaaaaaaaaaa"; }
let s = "a"; s.pad(1000, 'a'); let r = s; r.replace("a", s); r
let s = "a"; s.pad(1000, 'a'); loop { let r = s; r.replace("a", s); }
let s = ""; s.pad(1000000000, 'x');
let s = ""; s.pad(1000000000, "xyz");
let a = []; loop { a.push(1); }
let a = [1]; loop { a = [a, a]; }
let a = []; loop { a = [a]; }
let a = []; a.pad(1000000000, 1);
let b = blob(1000000000, 1);
let b = blob(200); loop { b += b; }
let a = []; let b = []; b.pad(250, 1); loop { a += b; }
let m = #{}; loop { m = #{a: m}; }
let m = #{}; let i = 0; loop { m[`${i}`] = i; i += 1; }
let a = []; a.pad(250, 3); loop { a.sort(|x, y| -1); }
let a = []; a.pad(250, 3); loop { a == a }
let a = []; a.pad(250, 3); loop { let b = a; }
let a = []; for i in 0..250 { a.push(i * 7919 % 251); } loop { a.sort(|x, y| if (x ^ y) % 3 == 0 { 1 } else { -1 }); }
let a = []; a.pad(250, 3); let b = a; let c = a; let f = || [a.len(), b.len(), c.len()]; let l = []; l.pad(250, f); loop { let k = l; let n = [k, l]; let o = n; }
let x = 0; let f = || x; loop { let g = f; f = || g; }
let x = 1; let f = || x; loop { let g = [f, f]; f = || g; }
let a = []; loop { a.push(w.filter(|x| true)); }
loop { w.filter(|x| true) }
loop { w.least_loaded() }
w.filter(|x| { loop {} })
w.min_by(|x| { loop {} })
w.filter(|x| { w.filter(|y| { w.filter(|z| true).len() > 0 }).len() > 0 })
f(t, w)
[1].map(|x| f(t, w))
w.filter(|x| f(t, w))
let f = Fn("f"); f.call(t, w)
let f = Fn("eval"); f.call("loop {}")
eval("loop {}")
import "x" as y;
sleep(10)
timestamp()
exit()
9223372036854775807 + 1
(-9223372036854775807 - 1) / -1
-(-9223372036854775807 - 1)
abs(-9223372036854775807 - 1)
1 / 0
1 % 0
2 ** 1000
[1, 2, 3][-9223372036854775807]
"abc"[9223372036854775807]
range(0, 10, 0)
let x = 5; x[9223372036854775807]
throw t
throw w
throw
1e300.to_int()
loop { try { loop {} } catch { } }
t.a.b.c.d
this.x
0xffffffffffffffffffffffff
let t = none; t.x
let s = ""; s.pad(64, ""); throw s
"""

NESTED = {
    "parentheses": "(" * 5000 + "1" + ")" * 5000,
    "signs": "- " * 7000 + "1",
    "negations": "!" * 7000 + "true",
    "sums": "1+" * 5000 + "1",
    "fields": "t" + ".a" * 5000,
    "indices": "t" + "[0]" * 5000,
    "blocks": "{" * 5000 + "}" * 5000,
    "ifs": "if true {" * 1500 + "}" * 1500,
    "else ifs": "if t == 1 {} else " * 900 + "{}",
    "arrays": "[" * 5000 + "]" * 5000,
    "maps": "#{a:" * 2000 + "1" + "}" * 2000,
    "closures": "|x| " * 3000 + "1",
    "conjunctions": "true && " * 2000 + "true",
    "methods": "w" + ".idle()" * 2000,
    "interpolations": "`${" * 2000 + "1" + "}`" * 2000,
    "switches": "switch 1 { _ => " * 900 + "1" + "}" * 900,
    "handlers": "try{" * 800 + "}catch{}" * 800,
    "comments": "/*" * 4000,
    "long text": '"' + "x" * 5000 + '"',
    "long array": "[" + "1," * 5000 + "1]",
    "long map": "#{" + ",".join(f"a{n}: 1" for n in range(1000)) + "}",
    "long script": "1;" * 10_000,
    "variables": "".join(f"let v{n} = 1;" for n in range(500)),
    "null bytes": "\0" * 100,
}


@pytest.fixture(scope="module")
def world() -> tuple[rhai_py.Record, rhai_py.Workers]:
    rows = [{"load": 1.0, "in_flight": n % 3, "vram_free_mb": n} for n in range(1000)]
    return rhai_py.Record("task", {"type": "x"}), rhai_py.Workers(
        [rhai_py.Record("worker", row) for row in rows]
    )


@pytest.mark.parametrize("body", [line for line in BODIES.splitlines() if line])
def test_hostile_body_ends_as_an_error(engine: rhai_py.Engine, world: tuple[object, ...], body: str) -> None:
    with pytest.raises(rhai_py.RhaiError) as caught:
        engine.compile(f"fn f(t, w) {{ {body} }}").call("f", *world)
    assert caught.value.kind != "panic"
    assert caught.value.line == 1


@pytest.mark.parametrize("name", NESTED)
def test_nested_source_ends_as_an_error(engine: rhai_py.Engine, world: tuple[object, ...], name: str) -> None:
    with pytest.raises(rhai_py.RhaiError) as caught:
        engine.compile(f"fn f(t, w) {{ {NESTED[name]} }}").call("f", *world)
    assert caught.value.kind in {"limit", "parse"}


METHODS = [
    "abs",
    "all",
    "append",
    "as_string",
    "bits",
    "bytes",
    "chars",
    "chop",
    "clear",
    "contains",
    "concat",
    "crop",
    "dedup",
    "drain",
    "ends_with",
    "extract",
    "fill_with",
    "filter",
    "find",
    "floor",
    "for_each",
    "get",
    "index_of",
    "insert",
    "is_empty",
    "keys",
    "len",
    "make_upper",
    "map",
    "max_by",
    "merge",
    "min_by",
    "mixin",
    "order_by",
    "pad",
    "parse_le_int",
    "pop",
    "push",
    "reduce",
    "remove",
    "replace",
    "retain",
    "reverse",
    "set",
    "shift",
    "some",
    "sort",
    "sort_by",
    "splice",
    "split",
    "split_at",
    "starts_with",
    "sub_string",
    "tag",
    "to_array",
    "to_blob",
    "to_chars",
    "to_debug",
    "to_float",
    "to_hex",
    "to_int",
    "to_json",
    "to_string",
    "to_upper",
    "trim",
    "truncate",
    "values",
    "write_le",
    "write_utf8",
    "zip",
    "first",
    "least_loaded",
    "idle",
    "with_model",
    "with_capacity",
    "sticky",
    "exclude",
    "online",
    "available",
]

EDGES = ["0", "-1", "(-9223372036854775807 - 1)", "9223372036854775807", "0..9223372036854775807", "1.5", '""', '"a"', "'a'", "()",
         "[]", 'Fn("g")', "#{}", "blob(2)"]  # fmt: skip


@pytest.mark.parametrize(
    "subject", ["[1, 2, 3]", "[]", '"abc"', '"日本語"', '""', "blob(3)", "5", "1.5", "#{a: 1}", "w", "t"]
)
def test_methods_end_whatever_they_are_given(
    engine: rhai_py.Engine, world: tuple[object, ...], subject: str
) -> None:
    lists = [[], *([one] for one in EDGES), *([one, two] for one in EDGES for two in EDGES)]
    limited = 0
    for arguments in lists:
        calls = (
            f"try {{ let x = {subject}; x.{method}({', '.join(arguments)}); }} catch {{}}"
            for method in METHODS
        )
        try:
            engine.compile(f"fn g(x) {{ x }} fn f(t, w) {{ {' '.join(calls)} }}").call(
                "f", *world, timeout_ms=10_000
            )
        except rhai_py.RhaiError as error:
            assert error.kind == "limit"  # noqa: PT017
            limited += 1
    assert limited < len(lists) / 10


def test_deep_recursion_fits_a_thread_with_a_small_stack() -> None:
    """The limits at their ceilings, on a stack that could not hold what they allow."""
    limits = rhai_py.Limits(call_levels=64, expr_depth=128, function_expr_depth=128, operations=10_000_000)
    nested = "abs(" * 50 + "f()" + ")" * 50
    script = rhai_py.Engine(limits=limits).compile(f"fn f() {{ {nested} }}")
    values = rhai_py.Engine().compile(
        "fn f() { let a = []; for i in 0..250 { a = [a]; } to_string(a) + (a == a) }"
    )
    seen: list[object] = []

    def work() -> None:
        try:
            script.call("f", timeout_ms=5000)
        except rhai_py.RhaiError as error:
            seen.append(error.message)
        seen.append(values.call("f", timeout_ms=5000))

    before = threading.stack_size(256 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert seen == ["more than 64 calls inside each other", "[" * 251 + "]" * 251 + "true"]


MEMORY = """
import resource, rhai_py
engine = rhai_py.Engine()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for body in (
    "let f = 0; f = || f; let a = []; a.pad(200, 1); f = || [f, a]; 1",
    "let a = [1]; let f = || a; a = [f]; 1",
    "let m = #{}; m.f = || m; m.f = || m; 1",
    "let a = []; a.pad(250, 3); let b = a; let f = || [a, b]; let l = []; l.pad(250, f); loop { let k = l; let n = [k, l]; }",
    "let s = 'x'; s = `${s}`; s.pad(1000, 'y'); let a = []; a.pad(200, 1); loop { let t = s + ''; }",
):
    try:
        script = engine.compile("fn f() { " + body + " }")
    except rhai_py.RhaiParseError:
        continue
    for _ in range(400):
        try:
            script.call("f", timeout_ms=2)
        except rhai_py.RhaiError:
            pass
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are counted otherwise elsewhere")
def test_hostile_calls_keep_no_memory() -> None:
    grown = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=120
    )
    assert int(grown.stdout) < 48


def test_closures_that_would_hold_themselves_are_refused(engine: rhai_py.Engine) -> None:
    script = engine.compile("fn f() { let x = 1; let f = || x; f = || f; f = || f; 1 }")
    with pytest.raises(rhai_py.RhaiRuntimeError, match="a closure cannot use 'f', which holds a closure"):
        script.call("f")


def test_nothing_is_ever_shared(engine: rhai_py.Engine) -> None:
    body = "let a = [1]; let n = 2; let g = |x| [x, a, n]; [a, n].map(|v| v.is_shared()) + [a.is_shared(), n.is_shared(), g.call(3)]"
    assert engine.compile(f"fn f() {{ {body} }}").call("f") == [False, False, False, False, [3, [1], 2]]
