from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbee_policy.replay import ScriptInvalid, replay
from rbee_policy.sandbox import Note

OLD, NEW, OPERATOR = "old", "new", "operator"
LEAST = "fn route_task(task, workers) { workers.least_loaded() }"
CHEAP = 'fn route_task(task, workers) { workers.filter(|w| w.gpu_type == "A100").first() }'
CLOSED = (
    'fn should_admit(task, customer) { if task.model == "big" { reject("closed", "model_not_allowed") } }'
)
BREAKS = 'fn route_task(task, workers) { if task.model == "big" { throw "x" } }'
ACME, OTHER = "a" * 32, "b" * 32
A100 = {"id": "cheap", "gpu_type": "A100", "in_flight": 5}
H100 = {"id": "dear", "gpu_type": "H100", "in_flight": 0}


def run(
    old: str,
    new: str,
    decisions: list[dict[str, Any]],
    *,
    own: tuple[str, ...] = (OLD, NEW),
    on_error: str = "refuse",
) -> dict[str, Any]:
    owner = {
        "owner": ACME,
        "scripts": {OLD: old, NEW: new},
        "old": [[OLD, on_error]],
        "new": [[NEW, on_error]],
    }
    lines: list[Any] = [{"own": own, "models": [], "time_s": 30}, ["owner", owner]]
    return ask(lines + [["decision", decision] for decision in decisions])


def ask(lines: list[Any]) -> dict[str, Any]:
    return replay([json.dumps(line).encode() for line in lines], Note(None))


def decision(
    model: str = "small", *, recorded: tuple[str, str] = ("routed", ""), owner: str = ACME
) -> dict[str, Any]:
    return {
        "task_id": "task",
        "at": "2027-01-01T00:00:00Z",
        "owner": owner,
        "task": {"model": model},
        "customer": {},
        "offered": [A100, H100],
        "recorded": recorded,
    }


def test_change_of_worker_is_counted_with_its_gpu() -> None:
    found = run(LEAST, CHEAP, [decision()] * 7)

    assert (found["replayed"], found["unchanged"], found["ended_by"]) == (7, 0, "end")
    assert found["changed"] == {"refused": 0, "admitted": 0, "code": 0, "worker": 7}
    assert (found["old"]["gpu_types"], found["new"]["gpu_types"]) == ({"H100": 7}, {"A100": 7})
    assert len(found["examples"]["worker"]) == 5
    example = found["examples"]["worker"][0]
    assert (example["old"]["worker"], example["new"]["worker"]) == ("dear", "cheap")


def test_who_is_refused_and_who_is_let_in_is_told_with_the_code() -> None:
    refused = run(LEAST, CLOSED, [decision(), decision("big")])
    admitted = run(CLOSED, LEAST, [decision(), decision("big")])

    assert (refused["changed"]["refused"], admitted["changed"]["admitted"]) == (1, 1)
    assert refused["new"]["codes"] == {"model_not_allowed": 1}
    assert refused["examples"]["refused"][0]["new"]["message"] == "closed"


def test_another_code_is_a_change() -> None:
    found = run(CLOSED, CLOSED.replace("model_not_allowed", "policy_rejected"), [decision("big")])

    assert found["changed"]["code"] == 1


def test_error_refuses_or_is_forgiven_as_the_policy_says() -> None:
    refused = run(LEAST, BREAKS, [decision("big")])
    forgiven = run(LEAST, BREAKS, [decision("big")], on_error="least_loaded")

    assert refused["new"]["codes"] == {"policy_error": 1}
    assert (forgiven["new"]["outcomes"], forgiven["unchanged"]) == ({"routed": 1}, 1)
    assert refused["new"]["errors"] == forgiven["new"]["errors"] == 1
    assert "route_task: line 1" in forgiven["new"]["problems"][0]["problem"]


def test_operator_decides_first_and_its_errors_are_nobody_elses_business() -> None:
    scripts = {OPERATOR: BREAKS, NEW: LEAST}
    owner = {
        "owner": ACME,
        "scripts": scripts,
        "old": [[OPERATOR, "refuse"]],
        "new": [[OPERATOR, "refuse"], [NEW, "refuse"]],
    }
    found = ask([{"own": [NEW], "models": [], "time_s": 30}, ["owner", owner], ["decision", decision("big")]])

    assert found["new"]["problems"] == [{"problem": "the script of somebody else broke", "count": 1}]


def test_each_owner_has_its_own_deciders() -> None:
    lines: list[Any] = [{"own": [NEW], "models": [], "time_s": 30}]
    for name, mine in ((ACME, CLOSED), (OTHER, LEAST)):
        scripts = {OLD: LEAST, NEW: LEAST, name: mine}
        owner = {"owner": name, "scripts": scripts}
        lines.append(["owner", owner | {side: [[side, "refuse"], [name, "refuse"]] for side in (OLD, NEW)}])
        lines.append(["decision", decision("big", owner=name)])

    assert ask(lines)["new"]["outcomes"] == {"rejected": 1, "routed": 1}


def test_costs_are_by_one_function_for_both() -> None:
    priced = CHEAP + ' fn calculate_cost(task, worker) { if worker.gpu_type == "H100" { 9 } else { 2 } }'

    found = run(LEAST, priced, [decision()] * 3, own=(NEW, OLD))

    assert (found["old"]["cost_micros"], found["new"]["cost_micros"]) == (27, 6)
    assert run(LEAST, CHEAP, [decision()])["old"]["cost_micros"] is None


def test_it_ends_when_its_time_is_over() -> None:
    owner = {"owner": ACME, "scripts": {OLD: LEAST}, "old": [[OLD, "refuse"]], "new": [[OLD, "refuse"]]}
    found = ask([{"own": [], "models": [], "time_s": -1}, ["owner", owner], ["decision", decision()]])

    assert (found["replayed"], found["ended_by"]) == (0, "time")


def test_script_that_does_not_compile_is_named() -> None:
    with pytest.raises(ScriptInvalid) as invalid:
        run(LEAST, "fn route_task(", [])

    assert invalid.value.key == NEW


def test_what_was_recorded_is_compared_with_the_script_in_force() -> None:
    found = run(CLOSED, LEAST, [decision("big", recorded=("rejected", "model_not_allowed")), decision("big")])

    assert found["as_recorded"] == 1


models = st.lists(st.sampled_from(["small", "big"]), max_size=20)
sources = st.sampled_from([LEAST, CHEAP, CLOSED, BREAKS])


@given(models, sources, sources)
def test_every_task_is_counted_once(names: list[str], old: str, new: str) -> None:
    found = run(old, new, [decision(name) for name in names])

    assert found["unchanged"] + sum(found["changed"].values()) == found["replayed"] == len(names)
    for side in ("old", "new"):
        assert sum(found[side]["outcomes"].values()) == len(names)
    if old == new:
        assert found["unchanged"] == len(names)
