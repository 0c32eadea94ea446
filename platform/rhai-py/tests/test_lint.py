"""What is certainly wrong is told before a script runs."""

from __future__ import annotations

import pytest
from rhai_py import Engine, Finding, Record, RhaiRuntimeError, Workers

ENTRY_POINTS = {"should_admit": ("task", "customer"), "route_task": ("task", "workers")}
KINDS: dict[str, dict[str, str | None]] = {
    "task": {"model": None, "type": None, "id": None, "customer": "customer", "extra": "?"},
    "customer": {"tier": None, "used": None},
    "worker": {"hive": None, "gpu_type": None, "load": None, "geo": "geo", "labels": "?", "peers": "workers"},
    "geo": {"region": None},
}
LISTS = {"workers": "worker"}
ENGINE = Engine(functions={"price_of": lambda gpu, hours=1: 1.0}, variables=["fleet"])


def lint(source: str) -> list[Finding]:
    return ENGINE.compile(source).lint(ENTRY_POINTS, KINDS, LISTS, {"fleet": "workers"})


def messages(source: str) -> list[str]:
    return [finding.message for finding in lint(source)]


def route(body: str) -> str:
    return f"fn route_task(task, workers) {{ {body} }}"


FIELD = "{} has no field '{}'; did you mean '{}'?"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("task.modle", FIELD.format("task", "modle", "model")),
        ('task["modle"]', FIELD.format("task", "modle", "model")),
        ("if task.modle == 1 { none }", FIELD.format("task", "modle", "model")),
        ("task.customer.teir", FIELD.format("task.customer", "teir", "tier")),
        ('task["customer"].teir', FIELD.format("task.customer", "teir", "tier")),
        ("`about ${task.modle}`", FIELD.format("task", "modle", "model")),
        ("match task.type { 1 if task.modle == 2 => 3, _ => 4 }", FIELD.format("task", "modle", "model")),
        ("match task.type { 1..5 => task.modle, _ => 4 }", FIELD.format("task", "modle", "model")),
        ("[1, #{a: task.modle}]", FIELD.format("task", "modle", "model")),
        ("workers.filter(|w| w.gpu_typ == 1)", FIELD.format("worker", "gpu_typ", "gpu_type")),
        ("workers.filter(|w| w.load < 1).filter(|v| v.gpu_typ == 1)", FIELD.format("worker", "gpu_typ", "gpu_type")),
        ("workers.online().exclude(none).sort_by(|w| w.lod)", FIELD.format("worker", "lod", "load")),
        ("workers.filter(|w| w.model == task.modle)", "worker has no field 'model'"),
        ("let eu = workers.filter(|w| true); eu.min_by(|w| w.lod)", FIELD.format("worker", "lod", "load")),
        ("let m = task.model; workers.filter(|w| w.hive == m && w.lod > 1)", FIELD.format("worker", "lod", "load")),
        ("workers.filter(|w| workers.filter(|v| v.lod > w.load).len() > 1)", FIELD.format("worker", "lod", "load")),
        ("for w in workers { w.hiv }", FIELD.format("worker", "hiv", "hive")),
        ("for (w, i) in workers { w.hiv }", FIELD.format("worker", "hiv", "hive")),
        ("for w in workers.first().peers { w.hiv }", FIELD.format("worker", "hiv", "hive")),
        ("workers.first().hiv", FIELD.format("worker", "hiv", "hive")),
        ("workers[0].hiv", FIELD.format("worker", "hiv", "hive")),
        ("workers[0].geo.regoin", FIELD.format("worker.geo", "regoin", "region")),
        ('workers.sticky(task.id)["hiv"]', FIELD.format("worker", "hiv", "hive")),
        ('workers.min_by("lod")', FIELD.format("worker", "lod", "load")),
        ('workers.sort_by("lod").first()', FIELD.format("worker", "lod", "load")),
        ('min_by(workers, "lod")', FIELD.format("worker", "lod", "load")),
        ("filter(workers, |w| w.lod > 1)", FIELD.format("worker", "lod", "load")),
        ("workers.count", "workers has no field 'count'"),
        ("let best = none; for w in workers { if best == none { best = w; } } best.hiv", FIELD.format("worker", "hiv", "hive")),
        ("let pool = workers; if task.id == 1 { pool = pool.online(); } pool.first().hiv", FIELD.format("worker", "hiv", "hive")),
        ("let w = if task.id == 1 { workers.first() } else { none }; w.hiv", FIELD.format("worker", "hiv", "hive")),
        ("let w = workers.get(task.id) ?? workers.first(); w.hiv", FIELD.format("worker", "hiv", "hive")),
        ("fleet.first().hiv", FIELD.format("worker", "hiv", "hive")),
        ("[1].map(|x| fleet[x].hiv)", FIELD.format("worker", "hiv", "hive")),
        ("return workers.first().hiv;", FIELD.format("worker", "hiv", "hive")),
        ("while task.modle { break task.type; }", FIELD.format("task", "modle", "model")),
    ],
)  # fmt: skip
def test_field_that_no_such_record_has(body: str, message: str) -> None:
    found = lint(route(body))
    assert message in [finding.message for finding in found]
    assert {finding.kind for finding in found} == {"missing_field"}


@pytest.mark.parametrize(
    "source",
    [
        "fn eu(w) { w.regoin } fn route_task(task, workers) { workers.filter(|w| eu(w.geo)) }",
        "fn eu(list) { list.filter(|w| w.geo.regoin == 1) } fn route_task(task, workers) { eu(workers) }",
        "fn eu(list) { list.filter(|w| true) } fn route_task(task, workers) { eu(workers).first().geo.regoin }",
        "fn eu(list) { return list.first(); } fn route_task(task, workers) { eu(eu2(workers)).geo.regoin } fn eu2(l) { l }",
        "fn a(w) { b(w) } fn b(w) { c(w) } fn c(w) { w.geo.regoin } fn route_task(task, workers) { a(workers[0]) }",
        "fn walk(w, n) { if n == 0 { w.geo.regoin } else { walk(w, n - 1) } } fn route_task(task, workers) { walk(workers[0], 3) }",
    ],
)
def test_own_functions_are_followed_when_every_call_agrees(source: str) -> None:
    assert [message.split(";")[0] for message in messages(source)] == ["worker.geo has no field 'regoin'"]


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ("tenant_over_quta(1)", "missing_function", "there is no function 'tenant_over_quta'; did you mean 'tenant_over_quota'?"),
        ("price_fo(1)", "missing_function", "there is no function 'price_fo'; did you mean 'price_of'?"),
        ("rejct(`x`)", "missing_function", "there is no function 'rejct'; did you mean 'reject'?"),
        ("xyzzy()", "missing_function", "there is no function 'xyzzy'"),
        ("let f = |x| x; f(1)", "missing_function", "there is no function 'f'"),
        ("tenant_over_quota(1, 2)", "missing_function", "function 'tenant_over_quota' takes 1 arguments, not 2"),
        ("price_of(1, 2, 3)", "missing_function", "function 'price_of' takes 1 or 2 arguments, not 3"),
        ("reject()", "missing_function", "function 'reject' takes 1 or 2 arguments, not 0"),
        ("workers.filtr(|w| true)", "missing_method", "there is no method 'filtr'; did you mean 'filter'?"),
        ("task.model.starts_wiht(1)", "missing_method", "there is no method 'starts_wiht'; did you mean 'starts_with'?"),
        ("task.extra.lenn()", "missing_method", "there is no method 'lenn'; did you mean 'len'?"),
        ("workers.first(1, 2, 3)", "missing_method", "method 'first' takes 0 arguments, not 3"),
        ("try { xyzzy() } catch {}", "missing_function", "there is no function 'xyzzy'"),
        ("[1].map(|x| xyzzy(x))", "missing_function", "there is no function 'xyzzy'"),
    ],
)  # fmt: skip
def test_function_that_exists_nowhere(body: str, kind: str, message: str) -> None:
    found = lint(f"fn tenant_over_quota(t) {{ t }} {route(body)}")
    assert [(finding.kind, finding.message) for finding in found] == [(kind, message)]


@pytest.mark.parametrize(
    "body",
    [
        "task.extra.anything.at.all",
        "workers.first().labels.anything",
        "let x = task; x = #{anything: 1}; x.anything",
        "let x = task; if task.id == 1 { x = 5; } x.anything",
        "let x = task; x += 1; x.anything",
        "let x = workers.first(); x = workers; x.filter(|w| true)",
        "let task = #{modle: 1}; task.modle",
        "for task in [#{modle: 1}] { task.modle }",
        "[#{modle: 1}].map(|task| task.modle)",
        "try { throw #{modle: 1}; } catch (task) { task.modle }",
        'if "modle" in task { task.modle } else { 1 }',
        'if task.contains("modle") { task["modle"] }',
        'task.get("modle")',
        'task.get("modle", #{x: 1}).x',
        "try { task.modle } catch { 1 }",
        "try { workers.filter(|w| w.lod > 1) } catch { 1 }",
        "try { helper(task) } catch { 1 }",
        "let f = |x| x.modle; f.call(#{modle: 1})",
        "let f = |x| x.modle; let g = f; 1",
        "task?.modle",
        "let m = #{run: |x| x}; m.run(1)",
        "let m = #{}; m.run = |x| x; m.run(1)",
        'let m = #{}; m["ru" + "n"] = |x| x; m.run(1)',
        'let m = #{}; m.set("ru" + "n", |x| x); m.run(1)',
        "workers.len + workers.len()",
        "workers[0].hive.len",
        "helper(#{modle: 1})",
        "let f = Fn(`helper`); f.call(#{modle: 1})",
        "[#{modle: 1}].map(helper)",
        "let t = task; t.swap(); t.anything",
        "let t = task; t.call(|| this = #{anything: 1}); t.anything",
        "type_of(task) + is_def_fn(`x`, 1) + is_def_var(`x`) + task.type_of()",
        "let w = workers.filter(|w| w.load > 0.5 && w.hive in [`a`]); w.is_empty() || w[0].geo.region == `EU`",
        "admit()",
    ],
)
def test_what_may_be_right_is_not_told(body: str) -> None:
    helpers = "fn helper(x) { x.modle } fn swap() { this = #{anything: 1}; }"
    assert messages(f"{helpers} {route(body)}") == []


@pytest.mark.parametrize(
    "source",
    [
        "fn helper(x) { x.modle } fn route_task(task, workers) { helper(task); helper(#{modle: 1}) }",
        "fn helper(x) { x.hive } fn route_task(task, workers) { helper(task); helper(workers[0]) }",
        "fn never_called(x) { x.modle }",
        "const LIMITS = #{modle: 1}; fn route_task(task, workers) { LIMITS.modle }",
        "fn first(x) { x } fn route_task(task, workers) { first(#{modle: 1}).modle }",
        "fn first() { #{modle: 1} } fn route_task(task, workers) { workers.first().modle }",
        "fn f(w) { workers2(w) } fn workers2(task) { task.modle } fn route_task(t, w) { 1 }",
    ],
)
def test_functions_are_judged_only_by_what_they_get(source: str) -> None:
    assert messages(source) == []


def test_finding_has_its_place() -> None:
    found = lint("fn route_task(task, workers) {\n  workers.filtr(1);\n  task.modle\n}")
    assert found == sorted(found, key=lambda finding: finding.line or 0)
    assert [(finding.line, finding.column, finding.kind) for finding in found] == [
        (2, 11, "missing_method"),
        (3, 8, "missing_field"),
    ]
    assert found[1] == lint("fn route_task(task, workers) {\n  1;\n  task.modle\n}")[0]
    assert len({*found, *found}) == 2
    assert repr(found[1]) == (
        "Finding(message=\"task has no field 'modle'; did you mean 'model'?\", line=3, column=8, "
        'kind="missing_field")'
    )
    with pytest.raises(AttributeError):
        found[0].line = 1  # type: ignore[misc]


def test_each_place_is_told_once() -> None:
    source = "fn g(t) { t.modle } fn route_task(task, workers) { g(task); g(task); g(task) }"
    assert len(lint(source)) == 1


def test_entry_point_must_take_what_the_host_gives() -> None:
    assert messages("fn route_task(task) { none }") == ["function 'route_task' takes 1 arguments, not 2"]
    assert messages("fn route_task(task) { none } fn route_task(task, workers) { none }") == []


@pytest.mark.parametrize(
    ("body", "record"),
    [("a.modle", "task"), ("a.geo.regoin", "worker"), ("a.lod", "worker"), ('a["hiv"]', "worker")],
)
def test_words_are_those_of_the_run(body: str, record: str) -> None:
    rows = {"task": {"model": "x"}, "worker": {"hive": 1, "load": 1, "geo": {"region": 1}}}
    kinds: dict[str, dict[str, str | None]] = {
        "task": {"model": None},
        "worker": {"hive": None, "load": None, "geo": "geo"},
        "geo": {"region": None},
    }
    script = Engine().compile(f"fn f(a) {{ {body} }}")
    with pytest.raises(RhaiRuntimeError) as caught:
        script.call("f", Record(record, rows[record]))
    found = script.lint({"f": (record,)}, kinds)
    assert [finding.message for finding in found] == [caught.value.message]
    assert caught.value.line == found[0].line


@pytest.mark.parametrize(
    ("kinds", "lists", "message"),
    [
        ({"task": {"geo": "gee"}, "geo": {}}, {}, "there is no kind 'gee'; did you mean 'geo'"),
        ({"task": {}}, {"workers": "worker"}, "there is no kind 'worker'"),
        ({}, {}, "there is no kind 'task'"),
    ],
)
def test_kinds_must_be_described(
    kinds: dict[str, dict[str, str | None]], lists: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Engine().compile("fn f(a) { a }").lint({"f": ("task",)}, kinds, lists)


def test_scalars_lists_and_anything_may_be_parameters() -> None:
    script = Engine().compile("fn f(a, b, c) { a.x; b.x; c.first().x }")
    found = script.lint({"f": (None, "?", "tasks")}, {"task": {"y": None}}, {"tasks": "task"})
    assert [finding.message for finding in found] == ["task has no field 'x'"]


def test_deep_and_tangled_scripts_are_checked_too() -> None:
    chain = "".join(f"fn f{n}(x) {{ f{n + 1}(x) }} " for n in range(30))
    assert len(messages(f"{chain} fn f30(x) {{ x.modle }} {route('f0(task)')}")) == 1
    nested = "if task.id == 1 { " * 8 + "task.modle" + " }" * 8
    assert len(messages(route(nested))) == 1


def test_workers_made_by_hand_are_no_list_kind() -> None:
    """A list kind that is only a parameter of another function says nothing about others."""
    script = Engine().compile("fn f(w) { w.first().x }")
    assert script.lint({}, {}) == []
    assert script.call("f", Workers([Record("worker", {"x": 3})])) == 3
