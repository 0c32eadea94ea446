"""Writes scripts that mean harm, by what they try. Run them in a process that may be lost."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

LIBRARY = Path(__file__).parent.parent / "src" / "library.txt"
Write = Callable[[random.Random], str]

EDGES = ["0", "1", "-1", "7", "64", "255", "256", "9223372036854775807", "(-9223372036854775807 - 1)", "1.5", "-0.0", "1e308", "0.0/0.0",
         "1.0/0.0", '""', '"a"', '"日本"', "long", "'x'", "()", "true", "[]", "[1, 2, 3]", "big", "nested", "#{}", "#{a: 1}", "map", "blob(3)",
         "blob", "none", "t", "w", "hives", "0..9223372036854775807", "-1..1", "0..=9223372036854775807", "|x| x", "|x, y| x > y",
         "|x| { loop {} }", "|| f(t, w)", 'Fn("f")', 'Fn("len")', "admit()", "w.first()", 'Fn("nope")']  # fmt: skip
PRELUDE = (
    'let long = "x"; long.pad(1000, "y"); let big = []; big.pad(250, 3); let blob = blob(200, 7); '
    "let nested = []; for i in 0..60 { nested = [nested]; } let map = #{}; for i in 0..60 { map[`k${i}`] = i; } "
)


def body(text: str) -> str:
    return f"fn f(t, w) {{ {text} }}"


def endless_loop(pick: random.Random) -> str:
    inner = pick.choice(
        [
            "",
            "let x = 1;",
            "x += 1;",
            "w.first();",
            "x = [x]; x = 0;",
            "continue;",
            "`${x}`;",
            "t.a;",
            "hives;",
        ]
    )
    head = pick.choice(
        [
            "loop",
            "while true",
            "while x != 0.5",
            "for i in 0..9223372036854775807",
            "for i in range(0.0, 1e18, 1e-9)",
        ]
    )
    depth = pick.randint(1, 6)
    return body(f"let x = 0; {f'{head} {{ ' * depth}{inner}{' }' * depth}")


def recursion(pick: random.Random) -> str:
    wraps = [
        "{}",
        "1 + {}",
        "abs({})",
        "[{}]",
        "#{{a: {}}}",
        "`${{{}}}`",
        "{}.len()",
        "if {} == 1 {{ 2 }}",
        "!({})",
    ]
    call = pick.choice(
        [
            "f(t, w)", "g(t)", "w.filter(|x| f(t, w))", "[1, 2].map(|x| f(t, w))", "w.min_by(|x| g(x))", "w.sort_by(|x| g(x))",
            "[3, 1, 2].sort(|x, y| g(x))", "[1].reduce(|s, x| g(x))", 'Fn("f").call(t, w)', "[1].map(Fn(`g`))", "w.max_by(Fn(`g`))",
        ]
    )  # fmt: skip
    for _ in range(pick.randint(0, 5)):
        call = pick.choice(wraps).format(call)
    return (
        body(call)
        + f" fn g(x) {{ {pick.choice(['f(x, x)', 'g(x)', 'g(g(x))', 'h(x) + h(x)'])} }} fn h(x) {{ g(x) }}"
    )


def string_growth(pick: random.Random) -> str:
    step = pick.choice(
        ["s += s;", "s = s + s;", "s = `${s}${s}`;", 's.pad(s.len() * 2 + 1, "日");', 's.replace("a", s);', "s = s.to_upper() + s;",
         "l.push(s); s += `${l.len()}`;", "l = s.chars(); s += l;", "l = s.split(``); s += l;", 's = [s, s].to_string();', "s += s.to_debug();",
         "l = s.to_chars(); l += l;", 'l = s.split("a", 1000000);', "s.crop(0); s += s;"]
    )  # fmt: skip
    start = pick.choice(['"a"', '"日本"', '"' + "a" * pick.randint(1, 1000) + '"'])
    return body(
        f"let l = []; let s = {start}; loop {{ try {{ {step} }} catch {{ {pick.choice(['', 's = `a`;'])} }} }}"
    )


def list_growth(pick: random.Random) -> str:
    start = pick.choice(["[1]", "[[], []]", "[`x`, 2, 3.5]", "blob(10, 1)", "#{a: 1}", "[w, w]", "[t]"])
    step = pick.choice(
        ["a += a;", "a = [a, a];", "a = [a, a, a];", "a.push(a);", "a.append(a);", "a.insert(0, a);", "a.pad(255, a);", "a = a + a;",
         "a.splice(0..1, a);", "a = a.map(|x| a);", "b = #{a: a, b: b}; a = b;", "a[`k${i}`] = a;", "a.mixin(#{a: a});", "a = a.zip(a, |x, y| [x, y]);",
         "a = [a.filter(|x| true), a.extract(0..100)];", "a += a.chop(3); b = [a, b];", "a = #{a: a};", "a = [w.sort_by(|x| x.load), a];"]
    )  # fmt: skip
    guard = pick.choice(["{}", "try {{ {} }} catch {{}}", "try {{ {} }} catch {{ a = [1]; }}"]).format(step)
    return body(f"let a = {start}; let b = []; let i = 0; loop {{ i += 1; {guard} }}")


def deep_source(pick: random.Random) -> str:
    times = pick.choice([10, 33, 100, 1000, 4000])
    opening, middle, closing = pick.choice(
        [("(", "1", ")"), ("[", "", "]"), ("- ", "1", ""), ("!", "true", ""), ("{", "", "}"), ("#{a:", "1", "}"), ("|x| ", "1", ""),
         ("if t == 1 {", "", "}"), ("if t == 1 {} else ", "{}", ""), ("`${", "1", "}`"), ("match 1 { _ => ", "1", "}"), ("try{", "", "}catch{}"),
         ("while true {", "", "}"), ("abs(", "1", ")"), ("w.filter(|x| ", "true", ")"), ("[1].map(|x| ", "x", ")"), ("1+", "1", ""),
         ("true && ", "true", ""), ("t?.a ?? ", "1", ""), ("/*", "", ""), ("let x = ", "1", ""), ("return ", "1", ""), ("a[", "0", "]"),
         ("const X = [", "", "];"), ("fn g() {", "", "}"), ("throw ", "1", "")]
    )  # fmt: skip
    return body((opening * times + middle + closing * times)[:16_000])[:16_384]


def deep_value(pick: random.Random) -> str:
    wrap = pick.choice(["[a]", "#{a: a}", "[a, 1]", "#{a: a, b: [a]}", "[[], a]", "[t, a]", "[#{b: a}]"])
    use = pick.choice(
        ["a == a", "`${a}`", "a.to_debug()", "a.to_json()", "[a].contains(a)", "[a, a].sort()", "[a, a].dedup()", "[a].index_of(a)", "a",
         "[a, a, a].order()", "let b = a; b += a; b", "throw a", "[a] in [a]", "#{x: a} == #{x: a}", "match a { 1 => 2, _ => a == a }"]
    )  # fmt: skip
    return body(f"let a = 1; for i in 0..{pick.choice([20, 47, 49, 100, 250])} {{ a = {wrap}; }} {use}")


def lying_comparer(pick: random.Random) -> str:
    lie = pick.choice(
        ["-1", "1", "0", "x - y + 1", "if (x ^ y) % 3 == 0 { 1 } else { -1 }", "true", "false", "x > y || y > x", "()", "`a`", "throw 1", "x", "[x]",
         "9223372036854775807", "w.first()", "if x % 7 == 0 { throw x } else { y - x }", "x.nope", "{ loop {} }"]
    )  # fmt: skip
    method = pick.choice(["sort", "order_by", "sort_by", "dedup", "sort_desc", "order"])
    fill = pick.choice(
        [
            "i * 7919 % 251",
            "i % 2",
            "-i",
            "i",
            "`${i}`",
            "[i]",
            "if i % 2 == 0 { i } else { `a` }",
            "0.0 / 0.0",
        ]
    )
    return body(
        f"let a = []; for i in 0..250 {{ a.push({fill}); }} loop {{ a.{method}(|x, y| {lie}); a.reverse(); }}"
    )


def huge_literal(pick: random.Random) -> str:
    n = pick.choice([17, 65, 257, 1025, 4000, 15_000])
    return body(
        pick.choice(
            ['"' + "x" * n + '"', "`" + "x" * n + "`", "9" * n, "0x" + "f" * n, "1e" + "9" * min(n, 400), "[" + "1," * (n // 2) + "]", "1." + "0" * n,
             "#{" + ",".join(f"k{i}: 1" for i in range(n // 8)) + "}", "blob(" + "9" * 15 + ")", "'" + "x" * n + "'", "0b" + "1" * n, "\\u{ffffffff}",
             "x" * n, "let " + "y" * n + " = 1;", "`${" + "1+" * (n // 2) + "1}`", "1" + "_0" * (n // 2), "#" * min(n, 200) + '"x"', "\0" * n,
             "".join(f"let v{i} = {i};" for i in range(n // 12)), "match 1 {" + ",".join(f"{i} => {i}" for i in range(n // 10)) + "}",
             "\U0001f980" * (n // 4), "/*" + "x" * n, "//" + "x" * n, "fn g" + "(a," * (n // 3), "1;" * (n // 2)]
        )
    )[:16_384]  # fmt: skip


def forbidden(pick: random.Random) -> str:
    return body(
        pick.choice(
            ['eval("loop {}")', 'Fn("eval").call("loop {}")', 'import "x" as y;', 'export let x = 1;', "sleep(10)", "timestamp()", "exit(1)",
             '"loop {}".eval()', 'let e = Fn("ev" + "al"); e.call("1")', 'Fn("sleep").call(1000)', 'Fn("print").call("x")', "print(`x`)", "debug(1)",
             'Fn("import")', "curry(|x| x, 1)", 'Fn("curry").call(Fn("f"), 1)', "this.x", "this = 1", "global::x", "x::y()", 'Fn("f!")', "f!(t, w)",
             "is_def_fn(`f`, 2)", "is_def_var(`t`)", 'Fn("Fn").call("f")', 'Fn("").call()', 'Fn("f").call(Fn("f"), Fn("f"))', "call(Fn(`f`), t, w)",
             "open(`/etc/passwd`)", "std::process::abort()", "panic()", "Engine.new()", "private fn x() {}", "#!/bin/sh", "exit()", "Fn(`+`).call(1, 2)",
             'Fn("anon$").call()', "Fn(`call`).call(Fn(`call`))", 'Fn("==").call([], [])', 'Fn("get$a").call(t)', 'Fn("index$get$").call(w, 1)']
        )
    )  # fmt: skip


def library_edges(pick: random.Random) -> str:
    """Every function of the library with arguments from the edges of every type."""
    names = [line.split() for line in LIBRARY.read_text().splitlines()]
    calls = []
    for _ in range(pick.randint(5, 40)):
        name, *arities = pick.choice(names)
        count = int(pick.choice(arities))
        arguments = [pick.choice(EDGES) for _ in range(count)]
        if count and pick.random() < 0.7:
            call = f"let x = {arguments[0]}; x.{name}({', '.join(arguments[1:])}); x.{name}({', '.join(arguments[1:])});"
        else:
            call = f"{name}({', '.join(arguments)});"
        calls.append(f"try {{ {call} }} catch {{}}")
    return body(PRELUDE + " ".join(calls))[:16_384]


def closures_of_closures(pick: random.Random) -> str:
    step = pick.choice(
        ["f = || f;", "let g = f; f = || g;", "let g = [f, f]; f = || g;", "l.push(|| l); l.push(f);", "m.f = || m; f = m.f;", "f = |x| f.call(x);",
         "l = [f, l, f]; f = || l;", "let a = big; f = || [a, big]; l.push(f);", "l.pad(250, f); let k = l; f = || k;", "f = || || || big;",
         "l = l.map(|x| || x);", "f = || w.filter(|x| f.call());", "m = #{f: f, g: || big}; l.push(m);"]
    )  # fmt: skip
    return body(
        f"{PRELUDE} let f = || big; let l = []; let m = #{{}}; loop {{ try {{ {step} f.call(); }} catch {{ {pick.choice(['', 'l = [];', 'f = || 1;'])} }} }}"
    )


def throw_storm(pick: random.Random) -> str:
    thrown = pick.choice(
        [
            "1",
            "()",
            "big",
            "nested",
            "long",
            "w",
            "t",
            "|| big",
            "map",
            "`${big}`",
            "reject(long)",
            "[long, long, big]",
        ]
    )
    inner = f"throw {thrown};"
    for _ in range(pick.randint(0, 6)):
        inner = pick.choice(
            ["try {{ {} }} catch (e) {{ throw e; }}", "try {{ {} }} catch (e) {{ throw [e, 1]; }}", "try {{ {} }} catch {{ {} }}", "[1].map(|x| {{ {} }});",
             "w.filter(|x| {{ {} }});"]
        ).replace("{}", inner).replace("{{", "{").replace("}}", "}")  # fmt: skip
    return body(f"{PRELUDE} loop {{ try {{ {inner} }} catch (e) {{ }} }}")[:16_384]


def natives(pick: random.Random) -> str:
    edge = pick.choice
    call = edge(
        [f"bucket({edge(EDGES)}, {edge(EDGES)})", f"distance({edge(EDGES)}, {edge(EDGES)}, {edge(EDGES)}, {edge(EDGES)})", f"w.sticky({edge(EDGES)})",
         f"w.get({edge(EDGES)})", f"w.exclude({edge(EDGES)})", f"w.sort_by({edge(EDGES)})", f"w.min_by({edge(EDGES)})", f"w[{edge(EDGES)}]",
         f"w.filter({edge(EDGES)})", f"w.with_capacity({edge(EDGES)})", f"w.with_model({edge(EDGES)})", "w.sort_by(`load`).sort_by(|x| -x.load)",
         "w.filter(|x| w.sticky(x.id) == x)", "w.sort_by(|x| w.sort_by(|y| y.load).first().load)", "w.online().available().idle()",
         "w.filter(|x| w.filter(|y| w.filter(|z| true).len() > 0).len() > 0)", "hives.sticky(long)", "hives.sort_by(|h| hives.get(h.id).load)",
         "w.sort_by(|x| { throw x })", "w.filter(|x| x.nope)", "w.min_by(|x| w)", "hives = w", "t.a = 1", "w[0].load = 5", "w.push(1)", "t.get(long, big)",
         "w.first().exclude(w)", "w.max_by(|x| if x.load > 3 { 1 } else { `a` })", "[w, w].map(|x| x.sort_by(`load`))", "reject(long, long)"]
    )  # fmt: skip
    return body(
        f"{PRELUDE} let l = []; loop {{ try {{ l.push({call}); }} catch {{ }} if l.len() > 200 {{ l = []; }} }}"
    )


def hostile_constants(pick: random.Random) -> str:
    """Constants are computed when the script is compiled."""
    value = pick.choice(
        ["{ loop {} }", "[1].map(|x| { loop {} })", "{ let a = []; loop { a.push(1) } }", "{ let s = `x`; loop { s += s } }", "g()", "{ throw 1 }", "|| 1",
         "[|| 1]", "none", "A", "{ let a = []; a.pad(250, 1); a.sort(|x, y| -1); a }", "{ let m = #{}; loop { m = #{a: m} } }", "hives", "1 / 0"]
    )  # fmt: skip
    return f"{'const A = ' + value + ';'} fn g() {{ g() }} {body('A')}"


CLASSES: dict[str, Write] = {
    "endless loops": endless_loop,
    "recursion": recursion,
    "string growth": string_growth,
    "array, map and blob growth": list_growth,
    "deep nesting of the source": deep_source,
    "deep values": deep_value,
    "sort with a lying comparer": lying_comparer,
    "huge literals": huge_literal,
    "eval, import and other ways out": forbidden,
    "library functions with edge arguments": library_edges,
    "closures that keep closures": closures_of_closures,
    "throw storms": throw_storm,
    "hostile use of our own functions": natives,
    "hostile constants": hostile_constants,
}


def mixed(pick: random.Random) -> str:
    """The body of one inside a loop of another's kind, closures and handlers around it."""
    inner = pick.choice(list(CLASSES.values()))(pick)
    inner = inner.removeprefix("fn f(t, w) {").rpartition("}")[0]
    wrap = pick.choice(
        ["loop {{ try {{ {} }} catch {{}} }}", "w.filter(|x| {{ {} }})", "for i in 0..1000 {{ {} }}", "[1, 2, 3].map(|x| {{ {} }})", "try {{ {} }} catch {{ f(t, w) }}",
         "let q = || {{ {} }}; loop {{ try {{ q.call(); }} catch {{}} }}", "if t.a == 1 {{ {} }}", "w.sort_by(|x| {{ {} }})"]
    )  # fmt: skip
    before, after = wrap.split("{}")[0], wrap.partition("{}")[2]
    return body(f"{before.replace('{{', '{')} {inner} {after.replace('}}', '}')}")[:16_384]


def random_grammar(pick: random.Random) -> str:
    from test_generated import Generator

    return body(Generator(pick.randrange(2**32)).body())


def script(seed: int, number: int, more: Mapping[str, Write] | None = None) -> tuple[str, str]:
    """The class and the source of one script: the same for the same arguments. `more` are classes of the host."""
    classes = CLASSES | {"random mixes": mixed, "random grammar": random_grammar} | dict(more or {})
    name = list(classes)[number % len(classes)]
    return name, classes[name](random.Random(f"{seed}/{number}"))
