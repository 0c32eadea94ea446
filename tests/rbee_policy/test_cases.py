import pytest

from rbee_policy.case_files import read_cases
from rbee_policy.cases import Result, run_cases
from rbee_policy.documents import DocumentInvalid
from rbee_policy.language import compile_policy

SCRIPT = """
fn should_admit(task, customer) {
    if customer.tier == "banned" { return reject("Go away"); }
    if customer.tokens_used_today > customer.daily_limit { return reject("Quota exceeded"); }
    if task.model == "broken" { return task.model + customer.tokens_remaining_today / 0; }
}
fn route_task(task, workers) {
    if task.type == "image-gen" { return; }
    if task.type == "embedding" { return reject("Not here", "model_not_found"); }
    if !model_exists(task.model) || model_exists("never") { return none; }
    if task.priority == "low" { return workers.round_robin(); }
    workers.filter(|w| w.gpu_type == "A100")
}
fn calculate_cost(task, worker) { worker.cost_per_token * task.max_tokens }
"""
WORKERS = """
workers:
  - {id: a, hive: north, gpu_type: A100, in_flight: 2}
  - {id: b, hive: south, gpu_type: A100, in_flight: 1, cost_per_token: 2}
  - {id: c, hive: south, gpu_type: H100}
"""


def run(case: str, above: str = WORKERS) -> Result:
    (result,) = run_cases(compile_policy(SCRIPT), read_cases(f"{above}\ncases:\n  - {{{case}}}\n"))
    return result


@pytest.mark.parametrize(
    "case",
    [
        "expect: b",
        "expect: south",
        "expect: {workers: [a, b]}",
        "expect: {workers: [north, b], worker: b, cost_micros: 2048}",
        "expect: admit",
        "expect: {admit: true, worker: b}",
        "task: {max_tokens: 3}, expect: {cost_micros: 6}",
        "workers: [{gpu_type: H100}], expect: none",
        "workers: [], expect: none",
        "task: {type: image-gen}, expect: no_opinion",
        "task: {type: image-gen}, expect: {no_opinion: true, worker: c}",
        "task: {priority: low}, turn: 2, expect: c",
        "customer: {tier: banned}, expect: reject",
        "customer: {tier: banned}, expect: {reject: Go away}",
        "task: {customer_tier: banned}, expect: {reject: {message: Go away, code: policy_rejected, status: 403}}",
        "customer: {daily_limit: 5, tokens_used_today: 6}, expect: {reject: {status: 429, code: quota_exceeded}}",
        "task: {type: embedding}, expect: {reject: {status: 404}}",
    ],
)
def test_what_comes_of_it_is_what_was_expected(case: str) -> None:
    result = run(case)

    assert result.passed, result.got


@pytest.mark.parametrize(
    ("case", "got"),
    [
        ("expect: a", "b of a, b, 2048 micros"),
        ("expect: north", "b of a, b, 2048 micros"),
        ("expect: none", "b of a, b, 2048 micros"),
        ("expect: no_opinion", "b of a, b, 2048 micros"),
        ("expect: reject", "b of a, b, 2048 micros"),
        ("expect: {workers: [a]}", "b of a, b, 2048 micros"),
        ("expect: {workers: [a, b, c]}", "b of a, b, 2048 micros"),
        ("expect: {cost_micros: 2047}", "b of a, b, 2048 micros"),
        ("customer: {tier: banned}, expect: admit", "reject 403 policy_rejected: Go away"),
        ("customer: {tier: banned}, expect: b", "reject 403 policy_rejected: Go away"),
        ("customer: {tier: banned}, expect: none", "reject 403 policy_rejected: Go away"),
        ("customer: {tier: banned}, expect: {reject: go away}", "reject 403 policy_rejected: Go away"),
        ("customer: {tier: banned}, expect: {reject: {status: 404}}", "reject 403 policy_rejected: Go away"),
        ("workers: [{gpu_type: H100}], expect: w1", "none"),
        ("task: {type: image-gen}, expect: a", "no_opinion, so c, 0 micros"),
        ("models: [never], expect: b", "none"),
    ],
)
def test_what_does_not_come_of_it_fails_and_says_what_did(case: str, got: str) -> None:
    result = run(case)

    assert (result.passed, result.got) == (False, got)


@pytest.mark.parametrize("expected", ["admit", "reject", "none", "b", "no_opinion"])
def test_a_script_that_breaks_fails_every_case(expected: str) -> None:
    result = run(f"task: {{model: broken}}, expect: {expected}")

    assert not result.passed
    assert result.got.startswith("500 policy_error: should_admit: line 5, column")


def test_what_follows_from_what_is_said_is_not_said_again() -> None:
    text = """
customer: {region: EU, industry: farms, daily_limit: 10, tokens_used_today: 4}
cases:
  - task: {model: m, type: audio-gen, subject: s}
    workers: [{region: DE, in_flight: 2, capacity: 4, gpu_index: 3}, {hive: h, load: 0.9, geo: {latitude: 1}}]
    expect: w1
"""
    (case,) = read_cases(text)

    assert case.workers is not None
    first, second = (worker.record for worker in case.workers)
    assert (case.name, case.line) == ("case 1", 4)
    assert [case.task.get(name) for name in ("customer_region", "customer_industry", "session")] == [
        "EU",
        "farms",
        "s",
    ]
    assert case.customer.get("tokens_remaining_today") == 6
    assert [first.get(name) for name in ("model", "models", "capability")] == ["m", ["m"], "audio-gen"]
    assert [first.get(name) for name in ("id", "instance", "load", "region_is_eu")] == [
        "w1",
        "hive-1:3",
        0.5,
        True,
    ]
    assert [second.get(name) for name in ("id", "instance", "load")] == ["w2", "h:0", 0.9]
    assert second.get("geo") == {"region": "EU", "latitude": 1, "longitude": 0.0}


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("task: {modle: m}, expect: a", "cases[1].task.modle: a task has no field 'modle'; did you mean 'model'?"),
        ("customer: {tire: m}, expect: a", "cases[1].customer.tire: a customer has no field 'tire'; did you mean 'tier'?"),
        ("workers: [{id: a, gpu_typ: A}], expect: a",
         "cases[1].workers[1].gpu_typ: a worker has no field 'gpu_typ'; did you mean 'gpu_type'?"),
        ("workers: [{id: a}, {id: a}], expect: a", "cases[1].workers[2]: another worker has the id 'a' too"),
        ("workers: {}, expect: none", "cases[1].workers: write a list"),
        ("task: {hour: x}, expect: a", "cases[1].task.hour: it is a whole number"),
        ("task: {hour: 1.5}, expect: a", "cases[1].task.hour: it is a whole number"),
        ("task: {stream: 1}, expect: a", "cases[1].task.stream: it is true or false"),
        ("task: {model: 7}, expect: a", "cases[1].task.model: it is a text; put it in quotes"),
        ("workers: [{load: true}], expect: w1", "cases[1].workers[1].load: it is a number"),
        ("workers: [{models: m}], expect: w1", "cases[1].workers[1].models: it is a list of texts"),
        ("workers: [{labels: m}], expect: w1", "cases[1].workers[1].labels: it is names with values"),
        ("task: {customer_tier: a}, customer: {tier: b}, expect: a", "cases[1].task: task.customer_tier and customer.tier"),
        ("expct: a, expect: a", "cases[1].expct: there is no such name; did you mean 'expect'?"),
        ("name: x", "cases[1]: say what you expect"),
        ("name: 7, expect: a", "cases[1].name: a name is a text"),
        ("turn: -1, expect: a", "cases[1].turn: where workers.round_robin() stands"),
        ("models: m, expect: a", "cases[1].models: write a list"),
        ("expect: d", "cases[1].expect.worker: there is no worker 'd'"),
        ("expect: {workers: []}", "cases[1].expect.workers: write ids or hives"),
        ("expect: []", "cases[1].expect: write the id"),
        ("expect: {admit: true, none: true}", "cases[1].expect: only one of"),
        ("expect: {reject: x, worker: a}", "cases[1].expect: only one of"),
        ("expect: {none: false}", "cases[1].expect.none: write none: true"),
        ("expect: {cost_micros: 1.5}", "cases[1].expect.cost_micros: it is a whole number"),
        ("expect: {reject: {code: no_worker}}",
         "cases[1].expect.reject.code: there is no code 'no_worker'; did you mean 'no_workers'?"),
        ("expect: {reject: {status: 418}}", "cases[1].expect.reject.status: no code has that status"),
        ("expect: {reject: {mesage: x}}", "cases[1].expect.reject.mesage: there is no such name; did you mean 'message'?"),
    ],
)  # fmt: skip
def test_a_case_that_is_wrong_is_named_by_its_path(case: str, expected: str) -> None:
    with pytest.raises(DocumentInvalid) as caught:
        run(case)

    assert caught.value.problem.startswith(expected)
    assert caught.value.line == 8


@pytest.mark.parametrize("expected", ["none", "a", "no_opinion", "{cost_micros: 1}"])
def test_routing_cannot_be_expected_without_workers(expected: str) -> None:
    with pytest.raises(DocumentInvalid, match="say which workers there are"):
        run(f"expect: {expected}", above="")


@pytest.mark.parametrize(
    "text", ["cases: []", "cases: x", "[]", "x", "cases: [x]", "cases: [{expect: admit}]\ncase: 1"]
)
def test_a_document_without_cases_is_refused(text: str) -> None:
    with pytest.raises(DocumentInvalid):
        read_cases(text)
