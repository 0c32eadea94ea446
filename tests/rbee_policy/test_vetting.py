import json

import pytest

from rbee_policy.apart import run_apart
from rbee_policy.hostile import fixtures
from rbee_policy.sandbox import Note
from rbee_policy.vetting import Verdict, vet

ROUTE = "fn route_task(task, workers) { workers.least_loaded() }"


def test_script_that_minds_everything_has_no_finding() -> None:
    assert run_apart("rbee_policy.vetting", [json.dumps({"source": ROUTE}).encode()]) == (
        b'{"findings": [], "refused": ""}'
    )


def test_finding_names_the_place_and_what_it_was_given() -> None:
    verdict = vetted(
        "fn route_task(task, workers) {\n  let w = workers.first();\n  if w.gpu_type == `a` {}\n}"
    )

    assert verdict["refused"] == ""
    (finding,) = verdict["findings"]
    assert finding["function"] == "route_task"
    assert finding["problem"].startswith("line 3, column ")
    assert all("no worker" in example for example in finding["examples"])
    assert finding["count"] * 4 == finding["of"]


@pytest.mark.parametrize(
    "source",
    [
        "fn should_admit(task, customer) { 7 }",
        "fn route_task(task, workers) { loop {} }",
        f"{ROUTE} fn calculate_cost(task, worker) {{ -1 }}",
    ],
)
def test_function_that_always_breaks_can_be_of_no_use(source: str) -> None:
    assert "breaks whatever it is given: " in vetted(source)["refused"]


def test_script_that_does_not_compile_says_so() -> None:
    assert vetted("fn route_task(task, workers) {")["refused"].startswith("line 1, column ")


def test_labels_that_a_script_reads_are_there() -> None:
    source = 'fn route_task(task, workers) { workers.filter(|w| w.labels.rack == "a" && w.labels["row no"] == "a") }'

    verdict = vetted(source)

    assert verdict["refused"] == ""
    assert all("strange workers" in example for found in verdict["findings"] for example in found["examples"])


def test_fixtures_have_no_worker_and_a_thousand() -> None:
    sizes = {len(given.workers) for given in fixtures(ROUTE)}

    assert {0, 1, 1000} < sizes | {2}


def vetted(source: str) -> Verdict:
    return vet(source, Note(None))
