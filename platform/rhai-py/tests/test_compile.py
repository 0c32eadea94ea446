from __future__ import annotations

import hashlib

import pytest
import rhai_py
from rhai_py import Engine, RhaiLimitError, RhaiParseError


def test_compile_lists_functions(engine: Engine) -> None:
    script = engine.compile("fn b(x, y) { [1].map(|v| v) } fn a() { 1 }")
    assert script.functions == [("a", 0), ("b", 2)]
    assert script.has_function("b", 2)
    assert not script.has_function("b", 1)


def test_compile_keeps_source_and_hash(engine: Engine) -> None:
    source = "fn f() { 'é' }\n"
    script = engine.compile(source)
    assert script.source == source
    assert script.sha256 == hashlib.sha256(source.encode()).hexdigest()
    assert repr(script) == f"Script(f/0, sha256={script.sha256[:12]})"


@pytest.mark.parametrize(
    ("source", "line", "column"),
    [
        ("fn f( {", 1, 7),
        ("fn f() {\n  let x = ;\n}", 2, 11),
        ("fn f() {\n  let x = 1;\n  y\n}", 3, 3),
        ('fn f() { "open }', 1, 10),
    ],
)
def test_parse_error_has_line_and_column(engine: Engine, source: str, line: int, column: int) -> None:
    with pytest.raises(RhaiParseError) as caught:
        engine.compile(source)
    assert (caught.value.kind, caught.value.line, caught.value.column) == ("parse", line, column)
    assert str(caught.value) == f"{caught.value.message} (line {line}, column {column})"


def test_unknown_variable_names_the_nearest(engine: Engine) -> None:
    with pytest.raises(RhaiParseError) as caught:
        engine.compile("fn f(workers) { worker.first() }")
    assert caught.value.message == "Undefined variable: worker; did you mean 'workers'?"


@pytest.mark.parametrize("word", ["eval", "print", "debug", "import", "export", "curry"])
def test_forbidden_word_is_a_parse_error(engine: Engine, word: str) -> None:
    with pytest.raises(RhaiParseError, match=f"'{word}' is not available"):
        engine.compile(f'fn f(x) {{ {word}("x") }}')


def test_top_level_constants_are_seen_by_functions_and_closures(engine: Engine) -> None:
    script = engine.compile(
        'const EU = ["DE", "FR"]; const HOME = EU[0];\nfn f(x) { [x].map(|c| c in EU && c == HOME) }'
    )
    assert script.call("f", "DE") == [True]
    assert script.call("f", "US") == [False]


@pytest.mark.parametrize(
    "source", ["let x = 1; fn f() { 1 }", "f(); fn f() { 1 }", "const F = || 1; fn f() { 1 }"]
)
def test_other_statements_at_the_top_level_are_refused(engine: Engine, source: str) -> None:
    with pytest.raises(RhaiParseError):
        engine.compile(source)


def test_endless_constant_is_stopped(engine: Engine) -> None:
    with pytest.raises(RhaiLimitError):
        engine.compile("const X = { loop {} }; fn f() { X }")


def test_match_is_read_as_switch(engine: Engine) -> None:
    script = engine.compile('fn f(x) { match x { 1 => "one", 2 | 3 => "few", _ => "many" } }')
    assert [script.call("f", number) for number in (1, 3, 9)] == ["one", "few", "many"]


def test_match_as_a_name_is_left_alone(engine: Engine) -> None:
    source = """
        fn f(task) {
            let map = #{match: 1, switch: 2, "match": 3, nested: #{x: [1, 2], match: 4}};
            [map.nested.match, task.match, "match me", `match ${match task.match { "b" => 1, _ => 2 }}`]
        }
    """.replace('"match": 3, ', "")
    record = rhai_py.Record("task", {"match": "b"})
    assert engine.compile(source).call("f", record) == [4, "b", "match me", "match 1"]


@pytest.mark.parametrize(
    "name", ["type", "match", "default", "in", "if", "shared", "new", "case", "print", "fn", "this"]
)
def test_keyword_as_a_field_name_parses(engine: Engine, name: str) -> None:
    record = rhai_py.Record("task", {name: 5})
    assert engine.compile(f"fn f(t) {{ t.{name} + #{{{name}: 1}}.{name} }}").call("f", record) == 6


def test_errors_about_match_say_match(engine: Engine) -> None:
    with pytest.raises(RhaiParseError) as caught:
        engine.compile("fn f(x) {\n  match x\n}")
    assert caught.value.message == "Expecting '{' to start a match block"
    assert caught.value.line == 3


def test_aliases_can_be_chosen_and_turned_off() -> None:
    assert Engine(aliases={"wenn": "if"}).compile("fn f(x) { wenn x { 1 } else { 2 } }").call("f", True) == 1
    for aliases in ({}, None):
        with pytest.raises(RhaiParseError):
            Engine(aliases=aliases).compile("fn f(x) { match x { _ => 1 } }")


@pytest.mark.parametrize("aliases", [{"match": "nonsense"}, {"a b": "switch"}, {"plus": "+"}])
def test_bad_alias_is_refused(aliases: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="is not a"):
        Engine(aliases=aliases)
