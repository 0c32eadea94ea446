"""What is found wrong with a script before it runs."""

import pytest

from rbee_policy.language import PolicyInvalid, compile_policy
from tests.acceptance.core import scripts as business_case

WRONG = """fn should_admit(task, customer) {
    if customer.tire == "free" { return reject("no"); }
    tenant_usag("acme");
}
fn route_task(job, ws) {
    ws.filter(|w| w.gpu_typ == job.modle).least_load()
}
fn calculate_cost(task, worker) { worker.cost_per_hours }
"""


def test_every_misspelt_name_is_said_at_once_with_its_place_and_the_nearest() -> None:
    with pytest.raises(PolicyInvalid) as caught:
        compile_policy(WRONG)

    found = [(problem.line, problem.message) for problem in caught.value.problems]
    assert [line for line, _ in found] == [2, 3, 6, 6, 6, 8]
    assert all(problem.column for problem in caught.value.problems)
    text = "\n".join(message for _, message in found)
    for nearest in ("tier", "tenant_usage", "gpu_type", "model", "least_loaded", "cost_per_hour"):
        assert f"'{nearest}'" in text


@pytest.mark.parametrize(
    "source", [business_case.QUOTA, business_case.TIERS, business_case.HOMELAB, business_case.COST_CONTROL]
)
def test_scripts_of_the_business_case_can_be_kept(source: str) -> None:
    compile_policy(source)


@pytest.mark.parametrize(
    "body",
    [
        "let t = task; workers.filter(|w| w.model == t.model)",
        'workers.filter(|w| w.get("rack", 0) == 1 || "rack" in w.labels)',
        'workers.filter(|w| w.labels.rack == "a" && w.geo.latitude > 50.0)',
        "let best = workers.first(); for w in workers { if w.load < best.load { best = w; } } best",
        "let fleet = #{ a: 1 }; if fleet.a == 1 { workers.sticky(task.session) }",
        'hives.get("big"); hives.online().len(); hives.available().is_empty(); workers.exclude("w1").first()',
        "bucket(task.id, 100); distance(52.4, 4.9, 48.1, 11.6); workers.sort_by(|w| w.load)",
    ],
)
def test_what_is_right_or_cannot_be_told_is_kept(body: str) -> None:
    compile_policy(f"fn route_task(task, workers) {{ {body} }}")
