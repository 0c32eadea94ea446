"""What else a policy may answer: prices, and the older name of routing. Admission and routing themselves are tested with
those that ask for them, in tests/inference/domain."""

import pytest
import rhai_py

from rbee_policy.asking import Rejection, ScriptBroke, ask_admission, ask_cost, ask_routing
from rbee_policy.language import PolicyInvalid, compile_policy, prices, router_of
from rbee_policy.world import defaults
from tests.rbee_policy.test_functions import Worker

TASK = rhai_py.Record("task", defaults("task"))
DECIDES = "fn should_admit(task, customer) {}\n"


def cost(body: str, **worker: object) -> int | None:
    script = compile_policy(f"{DECIDES}fn calculate_cost(task, worker) {{ {body} }}")
    assert prices(script)
    return ask_cost(script, TASK, Worker(**worker).record)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("7", 7),
        ("0", 0),
        ("6.4", 6),
        ("task.max_tokens * worker.cost_per_token", 2048),
        ("()", None),
        ("", None),
        ("gpu_vram_total(worker.id)", 81_920),
    ],
)
def test_cost_is_a_whole_number_of_micro_units(body: str, expected: int | None) -> None:
    assert cost(body, cost_per_token=2) == expected


@pytest.mark.parametrize(
    "body", ["-1", "-0.6", "true", '"7"', "admit()", "none", "worker", "0.0 / 0.0", "1.0 / 0.0", "1e30"]
)
def test_cost_that_is_none_is_an_error_of_the_script(body: str) -> None:
    with pytest.raises(ScriptBroke, match="calculate_cost: it returned"):
        cost(body)


def test_schedule_job_routes_where_there_is_no_route_task() -> None:
    script = compile_policy("""
        fn schedule_job(job, pools, workers) {
            let pool = pools.min_by(|p| p.load);
            workers.filter(|w| w.hive == pool.name && w.model == job.model)
        }
    """)
    busy = [Worker(hive="busy", in_flight=1), Worker(hive="busy", in_flight=7)]
    idle = [Worker(hive="idle"), Worker(hive="idle", in_flight=5), Worker(hive="idle", model="other")]

    assert router_of(script) == "schedule_job"
    assert ask_routing(script, TASK, [*busy, *idle], turn=0) == idle[:2]


def test_hives_are_those_of_the_offered_workers_and_none_while_admitting() -> None:
    script = compile_policy("""
        fn should_admit(task, customer) { reject(`${hives.len()}`) }
        fn route_task(task, workers) {
            let hive = hives.min_by(|h| h.load);
            workers.filter(|w| w.hive == hive.name)
        }
    """)
    workers = [Worker(hive="busy", in_flight=1), Worker(hive="idle"), Worker(hive="busy")]

    admission = ask_admission(script, TASK, rhai_py.Record("customer", defaults("customer")))
    assert admission == Rejection("0", "policy_rejected")
    assert ask_routing(script, TASK, workers, turn=0) == [workers[1]]


def test_schedule_job_beside_route_task_is_a_function_of_the_scripts_own() -> None:
    script = compile_policy("""
        fn schedule_job(text) { reject(text) }
        fn route_task(task, workers) { schedule_job("mine") }
    """)

    assert router_of(script) == "route_task"
    assert ask_routing(script, TASK, [Worker()], turn=0) == Rejection("mine", "policy_rejected")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("fn schedule_job(job, workers) {}", "write fn schedule_job(job, pools, workers)"),
        (f"{DECIDES}fn calculate_cost(task) {{ 1 }}", "write fn calculate_cost(task, worker)"),
        ("fn other() {}", "a policy defines fn should_admit(task, customer) or fn route_task(task, workers)"),
    ],
)
def test_entry_points_have_their_parameters(source: str, expected: str) -> None:
    with pytest.raises(PolicyInvalid) as caught:
        compile_policy(source)

    assert caught.value.problem == expected


def test_all_that_is_wrong_is_said_at_once() -> None:
    source = (
        'fn route_task(task) {}\nfn should_admit(task) {\n    reject("a", "b"); reject("c", "no_worker")\n}'
    )

    with pytest.raises(PolicyInvalid) as caught:
        compile_policy(source)

    assert [(problem.line, problem.column) for problem in caught.value.problems] == [
        (None, None),
        (None, None),
        (3, 5),
        (3, 23),
    ]
    assert "did you mean 'no_workers'" in caught.value.problems[3].message
    assert str(caught.value) == str(caught.value.problems[0])
