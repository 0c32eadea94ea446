"""Whatever a tenant's script does: it sees no workers and facts of others, widens no region, right or quota, comes after the
operator's, and is checked again by the host. Every way to break fails closed. Each check is first shown to find a bug that is
planted.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from inference.domain import admission, choice, decision_rows, eligibility, explanation
from inference.domain.decision_reader import Seen, attempts_of
from inference.domain.decision_rows import COLUMNS, DecisionRows
from inference.models import Decision
from rbee_policy import functions
from tests.acceptance.figures import SEED, note, scaled
from tests.acceptance.policy import power
from tests.acceptance.policy.power import Case, cases, decide, routes
from tests.system import System

EXAMPLES = scaled(20_000, least=200)
PROVE = settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
)  # fmt: skip

choosing = st.sampled_from([routes(body) for body in power.CHOOSING])
spying = st.just(power.spy_on(6))
breaking = st.sampled_from([routes(body) for body in power.BREAKING_ROUTES.values() if "loop" not in body])


def finds_no_fault(scripts: st.SearchStrategy[str], judge: Callable[[Case], str]) -> None:
    """Raises AssertionError for the first case that the judge finds at fault."""

    @seed(SEED)
    @PROVE
    @given(cases(scripts))
    def prove(case: Case) -> None:
        fault = judge(decide(case))
        assert not fault, fault

    prove()


def finds_the_bug(scripts: st.SearchStrategy[str], judge: Callable[[Case], str]) -> None:
    with pytest.raises(AssertionError):
        finds_no_fault(scripts, judge)


def told(case: Case, shown: Callable[[Seen], dict[str, Any]] | None = None) -> str:
    """What the judge says of the explanation that a tenant gets."""
    rows = DecisionRows()
    colony = [worker.fields for machine in case.machines for worker in machine.view().workers.values()]
    case.trace.outcome = case.trace.outcome or decision_rows.DecisionOutcome.NO_WORKERS
    ((_, _, snapshot),), (values,) = rows.rows([case.trace], colony)
    row = dict(zip(COLUMNS, values, strict=True))
    decision = Decision(
        task=json.loads(row["task"]), attempts=json.loads(row["attempts"]), outcome=row["outcome"]
    )
    return next(
        filter(
            None,
            (
                power.judge_told(shown or explanation._for_tenant, case, seen)
                for seen in attempts_of(decision, json.loads(snapshot))
            ),
        ),
        "",
    )


@pytest.mark.parametrize("bug", ["region", "dedicated_to", "operator"])
def test_check_of_choices_finds_a_planted_bug(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(bug, monkeypatch)

    finds_the_bug(choosing, power.judge_choice)


def test_script_of_a_tenant_only_narrows() -> None:
    finds_no_fault(choosing, power.judge_choice)
    note("power: choices", EXAMPLES)


@pytest.mark.parametrize("bug", ["region", "dedicated_to", "operator", "usage"])
def test_check_of_sight_finds_a_planted_bug(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(bug, monkeypatch)

    finds_the_bug(spying, power.judge_sight)


def test_script_of_a_tenant_sees_nothing_of_others() -> None:
    finds_no_fault(spying, power.judge_sight)
    note("power: spies", EXAMPLES)


def test_spy_sees_what_it_may() -> None:
    """Otherwise the check above would find nothing because nothing is said."""
    machine = power.Machine(0, "EU", "", "ready", 0, 1, power.MODEL)
    found = decide(Case([machine], "EU", {"w0"}, power.spy_on(1)))

    assert (found.outcome, [f"|{name}|" in found.message for name in machine.names()]) == (
        "policy_rejected", [True] * 3,
    )  # fmt: skip


def test_check_of_breaking_finds_a_script_that_is_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    plant("forgiven", monkeypatch)

    finds_the_bug(breaking, power.judge_closed)


def test_script_that_breaks_refuses_with_the_stable_code() -> None:
    finds_no_fault(breaking, power.judge_closed)
    note("power: broken scripts", EXAMPLES)


@pytest.mark.parametrize("name", power.BREAKING_ROUTES)
@pytest.mark.parametrize("owner", ["operator", "tenant"])
def test_each_way_to_break_a_route_fails_closed(name: str, owner: str) -> None:
    machine = power.Machine(0, "EU", "", "ready", 0, 1, power.MODEL)
    case = Case([machine], "", {"w0"}, routes(power.BREAKING_ROUTES[name]))
    if owner == "operator":
        broken, case.tenant = case.tenant, routes("workers")

        class OfOperator(Case):
            operator = broken

        case = OfOperator([machine], "", {"w0"}, case.tenant)

    assert decide(case).outcome == "policy_error"


@pytest.mark.parametrize("name", power.BREAKING_ADMISSIONS)
def test_each_way_to_break_an_admission_fails_closed(name: str) -> None:
    broken, fine = power.admits(power.BREAKING_ADMISSIONS[name]), power.admits("admit()")

    assert power.ask_to_admit(broken, fine) == "policy_error"
    assert power.ask_to_admit(fine, broken) == "policy_error"


def test_tenant_admits_nobody_whom_the_operator_rejects(monkeypatch: pytest.MonkeyPatch) -> None:
    rejects, fine = power.admits('reject("no")'), power.admits("admit()")
    other = power.admits('reject("later", "rate_limit_exceeded")')

    assert power.ask_to_admit(rejects, fine) == "policy_rejected"
    assert power.ask_to_admit(rejects, other) == "policy_rejected"  # the operator's was first
    assert power.ask_to_admit(fine, rejects) == "policy_rejected"
    plant("order", monkeypatch)
    assert power.ask_to_admit(rejects, other) == "rate_limit_exceeded"  # so the order is what is seen


def test_check_of_explanations_finds_what_is_told_to_operators_only() -> None:
    with pytest.raises(AssertionError):
        finds_no_fault(
            choosing, lambda case: told(case, lambda seen: explanation._for_operator(seen) | {"all": seen})
        )


def test_explanation_for_a_tenant_tells_nothing_of_others() -> None:
    finds_no_fault(choosing, told)
    note("power: explanations", EXAMPLES)


def plant(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if bug == "region":
        monkeypatch.setattr(eligibility, "in_region", lambda place, region: True)
    elif bug == "dedicated_to":
        monkeypatch.setattr(eligibility, "owner_of", lambda worker: "")
    elif bug == "operator":
        monkeypatch.setattr(choice, "route", power.trusting_route)
    elif bug == "usage":
        monkeypatch.setattr(functions, "_of_customer", lambda name, field: 1)
    elif bug == "forgiven":
        monkeypatch.setattr(power.Scripts, "falls_back", lambda scripts, policy: True)
    elif bug == "order":
        in_force = admission.in_force
        monkeypatch.setattr(admission, "in_force", lambda *args: list(reversed(in_force(*args))))
    else:
        raise AssertionError(bug)


# ---- the same through the front door


@pytest.fixture(scope="module")
def tenant(business: System) -> tuple[System, str, str]:
    """With keys for asking and for managing."""
    business.run("tenant", "create", "power", "--plan", "pro")
    keys = [
        business.run_json("key", "create", "--tenant", "power", "--name", scope, *option)["key"]
        for scope, option in (("asks", []), ("manages", ["--scope", "manage"]))
    ]
    return business, *keys


def test_scripts_of_tenants_fail_closed_and_their_owner_is_told(tenant: tuple[System, str, str]) -> None:
    system, key, manager = tenant
    assert ask(system, key).status_code == 200

    for body in ("[task][0].nothing", "loop {}", "1"):
        activate(system, manager, routes(f'if task.model == "rbee-mini" {{ {body} }}'))
        refused = wait_for(lambda: found if (found := ask(system, key)).status_code == 500 else None)
        assert refused.json()["error"]["code"] == "policy_error"

    alerts = wait_for(lambda: manage(system, manager, "GET", "alerts").json()["data"])
    assert {alert["kind"] for alert in alerts} == {"policy_error"}
    decision = manage(system, manager, "GET", f"tasks/{refused.headers['x-request-id']}/decision").json()
    assert (decision["outcome"], decision["code"]) == ("policy_error", "policy_error")


def test_script_of_a_tenant_widens_no_limit(tenant: tuple[System, str, str]) -> None:
    system, key, manager = tenant
    activate(system, manager, power.admits("admit()") + routes("workers.first()"))
    wait_for(lambda: ask(system, key).status_code == 200)
    system.run("limit", "set", "tenant", "power", "requests_per_minute=0")
    try:
        refused = wait_for(lambda: found if (found := ask(system, key)).status_code == 429 else None)
        assert refused.json()["error"]["code"] in {"rate_limit_exceeded", "quota_exceeded"}
    finally:
        system.run("limit", "set", "tenant", "power", "requests_per_minute=none")


def ask(system: System, key: str) -> httpx.Response:
    body = {"model": "rbee-mini", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
    headers = {"authorization": f"Bearer {key}"}
    return httpx.post(f"{system.url}/v1/chat/completions", json=body, headers=headers, timeout=30)


def manage(system: System, key: str, method: str, path: str, body: Any = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.request(method, f"{system.url}/api/v1/{path}", json=body, headers=headers, timeout=30)


def activate(system: System, key: str, source: str) -> None:
    answer = manage(system, key, "POST", "policies", {"source": source, "activate": True})
    assert answer.status_code == 201, answer.text


def wait_for(probe: Callable[[], Any], timeout_s: float = 15) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")
