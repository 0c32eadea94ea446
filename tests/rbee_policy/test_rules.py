import json
from typing import Any

import pytest
import rhai_py
from hypothesis import given
from hypothesis import strategies as st

from rbee_policy.asking import Rejection, ask_admission, ask_routing
from rbee_policy.documents import DocumentInvalid
from rbee_policy.language import compile_policy
from rbee_policy.quoting import comment, quoted
from rbee_policy.rules import MAX_TEXT_BYTES, script_of_rules
from rbee_policy.world import defaults
from tests.rbee_policy.test_functions import Worker

CHARACTERS = st.characters(exclude_categories=("Cs",))
TEXTS = st.text(CHARACTERS, max_size=MAX_TEXT_BYTES // 4)
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)


def script(*rules: dict[str, Any]) -> rhai_py.Script:
    """JSON is YAML, but for one character."""
    text = json.dumps({"rules": rules}).replace("\x7f", "\\u007f")
    return compile_policy(script_of_rules(text))


def record(kind: str, **fields: Any) -> rhai_py.Record:
    return rhai_py.Record(kind, {**defaults(kind), **fields})


def admission(rule: dict[str, Any], task: dict[str, Any] = {}, **customer: Any) -> Rejection | None:  # noqa: B006
    return ask_admission(script(rule), record("task", **task), record("customer", **customer))


def routed(*rules: dict[str, Any], workers: list[dict[str, Any]], **task: Any) -> list[str]:
    offered = [Worker(**fields) for fields in workers]
    left = ask_routing(script(*rules), record("task", **task), offered, turn=0)
    assert not isinstance(left, Rejection)
    return [str(worker.record.get("id")) for worker in left]


@given(TEXTS)
def test_a_text_means_exactly_itself(text: str) -> None:
    identity = rhai_py.Engine().compile(f"fn it() {{ {quoted(text)} }}")

    assert identity.call("it") == text


@given(NUMBERS)
def test_a_number_means_exactly_itself(number: float) -> None:
    identity = rhai_py.Engine().compile(f"fn it() {{ {quoted(number)} }}")

    found = identity.call("it")
    assert found == number
    assert type(found) is type(number)


@given(TEXTS)
def test_a_comment_stays_on_its_line(text: str) -> None:
    source = f"fn it() {{\n{comment(text)}\n    1\n}}"

    assert rhai_py.Engine().compile(source).call("it") == 1


@given(TEXTS, TEXTS, TEXTS)
def test_whatever_a_rule_says_is_what_is_compared_and_answered(name: str, wanted: str, message: str) -> None:
    rule = {"name": name, "when": {"task.model": wanted}, "then": {"reject": message}}

    rejection = admission(rule, {"model": wanted})

    assert rejection is not None
    assert rejection.message == message
    assert admission(rule, {"model": wanted + "x"}) is None


@given(
    st.lists(st.tuples(st.booleans(), st.text(CHARACTERS, max_size=5)), min_size=1, max_size=8),
    st.text(CHARACTERS, max_size=5),
)
def test_the_first_rule_that_fits_decides(rules: list[tuple[bool, str]], model: str) -> None:
    written = [
        {"when": {"task.model": wanted}, "then": {"reject": f"{number}"} if rejects else "admit"}
        for number, (rejects, wanted) in enumerate(rules)
    ]
    first = next(((rejects, n) for n, (rejects, wanted) in enumerate(rules) if wanted == model), (False, 0))

    rejection = ask_admission(script(*written), record("task", model=model), record("customer"))

    assert (rejection and rejection.message) == (str(first[1]) if first[0] else None)


@pytest.mark.parametrize(
    ("condition", "fits", "does_not"),
    [
        ({"customer.tier": ["free", "pro"]}, {"tier": "pro"}, {"tier": "gold"}),
        ({"customer.tier": {"not": "free"}}, {"tier": "pro"}, {"tier": "free"}),
        ({"customer.tier": {"not": ["free", "pro"]}}, {"tier": "gold"}, {"tier": "free"}),
        ({"customer.gdpr_consent": False}, {"gdpr_consent": False}, {"gdpr_consent": True}),
        ({"customer.daily_limit": {"ge": 5, "lt": 7}}, {"daily_limit": 5}, {"daily_limit": 7}),
        ({"customer.daily_limit": {"gt": 5, "le": 7}}, {"daily_limit": 7}, {"daily_limit": 5}),
        ({"customer.region": {"starts_with": "EU"}}, {"region": "EU/Spain"}, {"region": "US/EU"}),
        ({"customer.region": {"ends_with": "EU"}}, {"region": "US/EU"}, {"region": "EU/Spain"}),
        ({"customer.region": {"contains": "/"}}, {"region": "EU/Spain"}, {"region": "EU"}),
        (
            {"customer.tier": "pro", "customer.industry": "farms"},
            {"industry": "farms"},
            {"industry": "mines"},
        ),
    ],
)
def test_conditions(condition: dict[str, Any], fits: dict[str, Any], does_not: dict[str, Any]) -> None:
    rule = {"when": condition, "then": {"reject": "no", "code": "model_not_allowed"}}

    assert admission(rule, **fits) == Rejection("no", "model_not_allowed")
    assert admission(rule, **does_not) is None


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"gpu_type": "H100"}, ["b"]),
        ({"gpu_type": ["H100", "A100"], "load": {"lt": 0.2}}, ["a"]),
        ({"labels.rack": 7}, ["b"]),
        ({"labels.rack": {"lt": 7}}, ["c"]),
        ({"geo.latitude": {"gt": 50}}, ["c"]),
        ({"models": "other"}, ["c"]),
        ({"pinned": True}, []),
        ({"pick": "first"}, ["a"]),
        ({"pick": "most_vram_free"}, ["c"]),
        ({"pick": "round_robin"}, ["a"]),
        ([{"gpu_type": "H200"}, {"gpu_type": "H100"}], ["b"]),
        ([{"gpu_type": "H200"}, {"gpu_type": "B200"}], []),
    ],
)
def test_choices_of_workers(choice: Any, expected: list[str]) -> None:
    workers = [
        {"id": "a", "gpu_type": "A100", "load": 0.1, "vram_free_mb": 1},
        {"id": "b", "gpu_type": "H100", "load": 0.5, "labels": {"rack": 7}, "vram_free_mb": 2},
        {"id": "c", "gpu_type": "CPU", "load": 0.9, "labels": {"rack": 6}, "vram_free_mb": 3, "models": ["other"],
         "geo": {"region": "EU", "latitude": 52.4, "longitude": 4.9}},
    ]  # fmt: skip

    assert routed({"use": choice}, workers=workers) == expected


def test_rules_that_route_are_tried_in_their_order_and_end_in_no_opinion() -> None:
    rules = [
        {"when": {"task.hour": {"lt": 8}}, "use": {"gpu_type": "H100"}},
        {"when": {"task.customer_tier": "free"}, "use": {"gpu_type": "A100"}},
    ]
    workers = [{"id": "a", "gpu_type": "A100"}, {"id": "b", "gpu_type": "H100"}]

    assert routed(*rules, workers=workers, hour=7, customer_tier="free") == ["b"]
    assert routed(*rules, workers=workers, hour=8, customer_tier="free") == ["a"]
    assert routed(*rules, workers=workers, hour=8, customer_tier="pro") == ["a", "b"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("when: {tier: free}, then: admit", "rules[1].when.tier: write customer.tier"),
        ("when: {task.modle: x}, then: admit", "rules[1].when.task.modle: a task has no field 'modle'; did you mean 'model'?"),
        ("when: {customer.tier: free}, use: {}", "rules[1].when.customer.tier: rules with use see the task only"),
        ("when: {task.max_tokens: many}, then: admit", "rules[1].when.task.max_tokens: it is a whole number, not 'many'"),
        ("when: {task.model: 7}, then: admit", "rules[1].when.task.model: it is a text, not 7; put it in quotes"),
        ("when: {task.stream: 1}, then: admit", "rules[1].when.task.stream: it is true or false, not 1"),
        ("when: {task.model: {gt: 1}}, then: admit", "rules[1].when.task.model.gt: it cannot be compared so"),
        ("when: {task.model: []}, then: admit", "rules[1].when.task.model: a list has from 1 to"),
        ("when: [], then: admit", "rules[1].when: write fields"),
        ("when: {percent: 101}, then: admit", "rules[1].when.percent: write a whole number from 0 to 100"),
        ("then: {reject: no, code: no_worker}", "rules[1].then.code: there is no code 'no_worker'; did you mean 'no_workers'?"),
        ("then: {rejct: no}", "rules[1].then: write admit, or reject with a message"),
        ("then: admitt", "rules[1].then: write admit, or reject with a message"),
        ("then: admit, use: {}", "rules[1]: a rule has either then"),
        ("when: {}", "rules[1]: a rule has either then"),
        ("thn: admit, then: admit", "rules[1].thn: there is no such name; did you mean 'then'?"),
        ("use: {gpu_typ: A100}", "rules[1].use.gpu_typ: a worker has no field 'gpu_typ'; did you mean 'gpu_type'?"),
        ("use: {labels: x}", "rules[1].use.labels: write which: labels.…"),
        ("use: {pick: least_load}", "rules[1].use.pick: there is no choice 'least_load'; did you mean 'least_loaded'?"),
        ("use: {pick: {sticky: max_tokens}}", "rules[1].use.pick.sticky: a task has no text 'max_tokens'"),
        ("use: []", "rules[1].use: write what the workers must be"),
        ("use: [{region: EU}, {regio: EU}]", "rules[1].use[2].regio: a worker has no field"),
        ("name: [], then: admit", "rules[1].name: a name is a text"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_by_its_path(rule: str, expected: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        script_of_rules(f"rules:\n  - {{{rule}}}\n")

    (problem,) = caught.value.problems
    assert problem.message.startswith(expected)
    assert problem.line == 2


@pytest.mark.parametrize(
    "text", ["[]", "rules: []", "rules: x", "rules: [x]", "x", "rules: [{then: admit}]\nrule: 1"]
)
def test_a_document_without_rules_is_refused(text: str) -> None:
    with pytest.raises(DocumentInvalid):
        script_of_rules(text)


def test_rules_that_make_too_large_a_script_are_refused() -> None:
    rules = [{"then": {"reject": "x" * MAX_TEXT_BYTES}} for _ in range(50)]

    with pytest.raises(DocumentInvalid, match="a script that cannot be kept"):
        script_of_rules(json.dumps({"rules": rules}))


def test_the_same_rules_make_the_same_script() -> None:
    text = "rules: [{name: a, when: {task.model: b, task.hour: {lt: 3}}, then: admit}]"

    assert script_of_rules(text) == script_of_rules(text)
    assert "// rule 1: a\n" in script_of_rules(text)
