import pytest

from inference.domain.refusals import NoWorkers, PolicyFailed, Rejected
from inference.domain.routing import route
from tests.acceptance.core import scripts as business_case
from tests.inference.domain.scripts import TENANT, Scripts, Worker, task

LEAST_LOADED = "fn route_task(task, workers) { workers.least_loaded() }"


def chosen(scripts: Scripts, workers: list[Worker], **fields: object) -> Worker:
    return route(scripts, TENANT, task(**fields), "m", workers)[0]


@pytest.mark.parametrize(
    ("tier", "gpus", "expected"),
    [
        ("enterprise", ["A100", "H100"], "H100"),
        ("free", ["H100", "A100"], "A100"),
        ("pro", ["H100", "A100"], "H100"),
        ("free", ["H100"], None),
        ("enterprise", ["A100"], None),
    ],
)
def test_tiers_script_gives_each_tier_its_gpu_and_never_another(
    tier: str, gpus: list[str], expected: str | None
) -> None:
    workers = [Worker(gpu_type=gpu) for gpu in gpus]
    scripts = Scripts(business_case.TIERS)

    if expected is None:
        with pytest.raises(NoWorkers):
            chosen(scripts, workers, customer_tier=tier)
    else:
        assert chosen(scripts, workers, customer_tier=tier).gpu_type == expected


@pytest.mark.parametrize(
    ("kind", "capability"), [("image-gen", "image-gen"), ("audio-gen", "audio-gen"), ("text-gen", "text-gen")]
)
def test_tiers_script_matches_the_type_of_the_task(kind: str, capability: str) -> None:
    workers = [Worker(capability=each, in_flight=load) for each, load in
               (("text-gen", 0), ("image-gen", 1), ("audio-gen", 2))]  # fmt: skip

    assert chosen(Scripts(business_case.TIERS), workers, type=kind).capability == capability


@pytest.mark.parametrize(
    ("fields", "hive"),
    [
        ({"type": "image-gen"}, "gaming-pc"),
        ({"type": "text-gen", "model": "llama-3-70b"}, "mac-studio"),
        ({"type": "text-gen", "model": "llama-3-8b"}, "old-server"),
    ],
)
def test_homelab_script_routes_as_it_says(fields: dict[str, str], hive: str) -> None:
    workers = [Worker("gaming-pc", in_flight=2), Worker("mac-studio", in_flight=1), Worker("old-server")]

    assert chosen(Scripts(business_case.HOMELAB), workers, **fields).hive == hive


def test_cost_control_script_has_no_opinion_on_other_models_so_the_least_loaded_serves() -> None:
    workers = [Worker(gpu_type="H100", in_flight=3), Worker(gpu_type="RTX4090", in_flight=1)]
    scripts = Scripts(business_case.COST_CONTROL)

    assert chosen(scripts, workers, model="other") is workers[1]
    assert chosen(scripts, workers, model="llama-3-405b") is workers[0]
    assert chosen(scripts, workers, model="llama-3-8b") is workers[1]


def test_none_is_an_answer_and_nothing_falls_back() -> None:
    for script in (
        "fn route_task(task, workers) { none }",
        "fn route_task(task, workers) { [] }",
        "fn route_task(task, workers) { workers.filter(|w| false) }",
        "fn route_task(task, workers) { workers.filter(|w| false).least_loaded() }",
    ):
        with pytest.raises(NoWorkers) as caught:
            chosen(Scripts(script), [Worker()])
        assert (caught.value.status, caught.value.code) == (503, "no_workers")
        assert caught.value.headers["retry-after"]


def test_script_without_routing_leaves_it_to_the_host() -> None:
    workers = [Worker(in_flight=2), Worker(in_flight=1)]

    assert chosen(Scripts("fn should_admit(task, customer) { admit() }"), workers) is workers[1]


def test_load_is_measured_against_capacity() -> None:
    workers = [Worker(in_flight=2, capacity=4), Worker(in_flight=3, capacity=16)]

    assert chosen(Scripts("fn route_task(task, workers) {}"), workers) is workers[1]


def test_tenant_chooses_among_what_the_operator_leaves() -> None:
    eu, busy_eu, us = Worker(region="EU"), Worker(region="EU", in_flight=2), Worker(region="US")
    operator = 'fn route_task(task, workers) { workers.filter(|w| w.region == "EU") }'
    tenant = "fn route_task(task, workers) { workers.max_by(|w| w.in_flight) }"

    assert chosen(Scripts(operator, tenant), [eu, us, busy_eu]) is busy_eu


def test_tenant_cannot_bring_back_what_the_operator_took_away() -> None:
    operator = 'fn route_task(task, workers) { workers.filter(|w| w.region == "EU").first() }'
    tenant = 'fn route_task(task, workers) { workers.filter(|w| w.region == "US").first() }'

    with pytest.raises(NoWorkers):
        chosen(Scripts(operator, tenant), [Worker(region="EU"), Worker(region="US")])


def test_tenant_is_not_asked_when_nothing_is_left() -> None:
    scripts = Scripts("fn route_task(task, workers) { none }", "fn route_task(task, workers) { [task][0].x }")

    with pytest.raises(NoWorkers):
        chosen(scripts, [Worker()])


def test_script_of_another_tenant_decides_nothing() -> None:
    scripts = Scripts(LEAST_LOADED, "fn route_task(task, workers) { none }")
    worker = Worker()

    assert route(scripts, "b" * 32, task(), "m", [worker])[0] is worker


def test_round_robin_takes_turns() -> None:
    workers = [Worker(), Worker(), Worker()]
    scripts = Scripts("fn route_task(task, workers) { workers.round_robin() }")

    assert [chosen(scripts, workers) for _ in range(4)] == [*workers, workers[0]]


@pytest.mark.parametrize(
    "script",
    [
        "fn route_task(task, workers) { 1 }",
        "fn route_task(task, workers) { true }",
        "fn route_task(task, workers) { task }",
        "fn route_task(task, workers) { [task] }",
        "fn route_task(task, workers) { [1] }",
        "fn route_task(task, workers) { [task][0].modell }",
        "fn route_task(task, workers) { throw 404 }",
        "fn route_task(task, workers) { loop {} }",
        "fn route_task(task, workers) { route_task(task, workers) }",
        'fn route_task(task, workers) { reject("no", "no_such_" + "code") }',
    ],
)
@pytest.mark.parametrize("owner", ["operator", "tenant"])
def test_script_that_breaks_fails_closed(script: str, owner: str, caplog: pytest.LogCaptureFixture) -> None:
    scripts = Scripts(script) if owner == "operator" else Scripts(LEAST_LOADED, script)

    with pytest.raises(PolicyFailed) as caught:
        chosen(scripts, [Worker()], model="a secret name")

    assert (caught.value.status, caught.value.code) == (500, "policy_error")
    assert f"policy of {'operator' if owner == 'operator' else TENANT}" in caplog.text
    assert "a secret name" not in caplog.text


def test_route_may_reject_too() -> None:
    with pytest.raises(Rejected) as caught:
        chosen(Scripts('fn route_task(task, workers) { reject("Not today") }'), [Worker()])

    assert (caught.value.status, caught.value.message) == (403, "Not today")


def test_without_any_policy_that_was_ever_understood_every_task_is_refused() -> None:
    with pytest.raises(PolicyFailed):
        chosen(Scripts(None), [Worker()])


def test_decision_says_who_decided_what() -> None:
    scripts = Scripts(LEAST_LOADED, "fn route_task(task, workers) {}")
    workers = [Worker(in_flight=1), Worker()]

    worker, decision = route(scripts, TENANT, task(), "m", workers)

    assert (decision.candidates, decision.chosen) == (2, worker.id)
    assert decision.operator == scripts.operator().sha256
    assert decision.tenant == scripts.of_tenant(TENANT).sha256
    assert decision.micros >= 0
