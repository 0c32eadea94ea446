"""Scripts and the host decide where a task goes, on hives that speak the protocol."""

import json

import httpx
import pytest
import redis

from billing.models import UsageEvent
from gdpr.scope import colony_tx
from inference.domain import policies
from tenants.models import ApiKey
from tests.acceptance.core import scripts
from tests.factories.tenants import TESTER, make_key, make_plan, make_project, make_tenant
from tests.inference.api.conftest import Colony, chat
from tests.inference.api.test_answers import error


@pytest.fixture
def farm(business: Colony) -> Colony:
    """An A100 in the EU, an H100 in the US. What the colony began with serves another model."""
    business.add_model("small")
    business.add_hive("small", region="EU/Netherlands", labels={"gpu_type": "A100"})
    business.add_hive("small", region="US", labels={"gpu_type": "H100"})
    return business


def served(colony: Colony, key: str, **fields: object) -> str | None:
    """What hardware answered; None for nobody."""
    before = [len(hive.bodies) for hive in colony.hives]
    answer = colony.ask("x", key=key, **{"model": "small", **fields})
    if answer.status_code == 503:
        assert error(answer)["code"] in {"no_workers", "no_eligible_region"}
        assert answer.headers["retry-after"]
        return None
    assert answer.status_code == 200, answer.text
    (hive,) = [hive for hive, count in zip(colony.hives, before, strict=True) if len(hive.bodies) > count]
    return str(hive.row.labels["gpu_type"])


def test_tiers_script_decides_and_free_never_falls_back(farm: Colony) -> None:
    farm.policy(scripts.TIERS)
    free, enterprise = farm.key_of(tier="free"), farm.key_of(tier="enterprise")

    assert served(farm, free) == "A100"
    assert served(farm, enterprise) == "H100"

    farm.hives[1].stop()
    farm.wait_for(
        lambda: farm.queen.colony.candidates("small", "chat.completions")[0].record.get("gpu_type") == "H100"
    )
    assert served(farm, free) is None
    assert served(farm, enterprise) == "H100"


def test_tasks_stay_in_the_region_of_their_tenant_whatever_scripts_say(farm: Colony) -> None:
    farm.policy('fn route_task(task, workers) { workers.filter(|w| w.gpu_type == "H100").first() }')

    assert served(farm, farm.key_of(region="EU")) is None
    assert served(farm, farm.key_of(region="US")) == "H100"


def test_worker_of_one_tenant_serves_nobody_else(business: Colony) -> None:
    owner = make_tenant()
    business.add_model("own")
    business.add_hive("own", labels={"dedicated_to": owner.slug, "gpu_type": "A100"})

    assert served(business, make_key(make_project(owner))[1], model="own") == "A100"
    assert served(business, business.key_of(), model="own") is None


def test_policy_of_a_tenant_narrows_its_own_tasks_only(farm: Colony) -> None:
    tenant = make_tenant()
    source = 'fn route_task(task, workers) { workers.filter(|w| w.region == "US").first() }'
    policies.save_version(source=source, tenant_id=tenant.id, actor=TESTER, activate=True)
    farm.wait_for(lambda: farm.queen.policies.of_tenant(tenant.id.hex))

    assert {served(farm, make_key(make_project(tenant))[1]) for _ in range(4)} == {"H100"}
    stranger = farm.key_of()
    farm.hives[2].stop()
    farm.wait_for(lambda: len(farm.queen.colony.candidates("small", "chat.completions")) == 1)
    assert served(farm, stranger) == "A100"


def test_quota_script_counts_what_was_used_today(business: Colony) -> None:
    business.policy(scripts.QUOTA)
    without_limit = business.key_of()
    limited = business.key_of(tokens_per_day=100_000)

    assert business.ask("x", key=without_limit).status_code == 200
    assert business.ask("x", key=limited, max_tokens=10).status_code == 200

    business.policy("fn should_admit(task, customer) {\n"
                    "  if customer.tokens_used_today > 0 { return reject(`${customer.daily_limit}`); }\n}")  # fmt: skip
    refused = business.wait_for(
        lambda: answer if (answer := business.ask("x", key=limited)).status_code == 403 else None, timeout_s=3
    )
    assert error(refused)["message"] == "100000"


def test_rejection_reaches_the_client_verbatim(business: Colony) -> None:
    business.policy('fn should_admit(task, customer) { reject("Nein — «später»") }')

    refused = business.ask("x")

    assert (refused.status_code, error(refused)["type"], error(refused)["code"]) == (
        403, "permission_error", "policy_rejected",
    )  # fmt: skip
    assert error(refused)["message"] == "Nein — «später»"
    assert business.hive.bodies == []


def test_script_that_breaks_is_a_stable_error(business: Colony, caplog: pytest.LogCaptureFixture) -> None:
    business.policy('fn route_task(task, workers) { if task.model == "m" { [task][0].nothing } }')

    refused = business.ask("a prompt that is nobody's business")

    assert (refused.status_code, error(refused)["code"]) == (500, "policy_error")
    assert "line 1, column" in caplog.text
    assert "nobody's business" not in caplog.text


def test_scripts_see_what_is_written_of_a_task(business: Colony) -> None:
    business.policy(
        """fn should_admit(task, customer) {
            reject(`${task.type} ${task.model} ${task.endpoint} ${task.stream} ${task.priority} ${task.max_tokens}`
                 + ` ${task.prompt_tokens_estimate} ${task.customer_tier} ${task.customer_region} ${customer.tier}`)
        }"""
    )
    key = business.key_of(tier="gold", region="EU")
    with business.call(key, **{"x-priority": "high"}) as client:
        refused = client.post(
            "/v1/completions",
            json={"model": "m", "prompt": "12345678", "max_tokens": 7, "n": 2, "stream": True},
        )

    assert error(refused)["message"] == "text-gen m completions true high 14 3 gold EU gold"


def refused(colony: Colony, **fields: object) -> str:
    """The message of the script's rejection."""
    answer = colony.ask("x", **fields)
    assert answer.status_code == 403, answer.text
    message: str = error(answer)["message"]
    return message


def test_scripts_see_pseudonyms_of_end_users_and_sessions(business: Colony) -> None:
    business.policy("fn should_admit(task, customer) { reject(`${task.subject} ${task.session}`) }")

    subject, session = refused(business, user="alice@example.org").split(" ")
    other, named = refused(business, safety_identifier="bob", prompt_cache_key="Alice's chat").split(" ")

    assert subject == session
    assert len({subject, other, named}) == 3
    assert {len(each) for each in (subject, other, named)} == {32}
    assert refused(business, prompt_cache_key="Alice's chat") == f" {named}"
    assert refused(business) == " "


def test_a_script_limits_one_end_user_and_no_other(business: Colony) -> None:
    business.policy("""
        fn route_task(task, workers) {
            if task.subject_requests_this_minute >= 2 {
                reject(`${task.subject_tokens_used_today > 0}`, "rate_limit_exceeded")
            }
        }""")

    assert [business.ask("x", user="alice").status_code for _ in range(3)] == [200, 200, 429]
    assert error(business.ask("x", user="alice"))["message"] == "true"
    assert business.ask("x", user="bob").status_code == 200
    assert business.ask("x").status_code == 200


def test_functions_of_scripts_answer_of_this_task_only(farm: Colony) -> None:
    stranger = make_tenant()
    tenant = make_tenant(plan=make_plan(tokens_per_day=100_000))
    key = make_key(make_project(tenant))[1]
    farm.policy(
        f"""fn route_task(task, workers) {{
            let first = workers.first();
            reject(`${{tenant_remaining_quota("{tenant.slug}")}} ${{type_of(tenant_usage("{stranger.slug}"))}}`
                + ` ${{tenant_over_quota(task.tenant_id)}} ${{gpu_vram_total(first.id) == first.total_vram_mb}}`
                + ` ${{model_exists("small")}} ${{model_exists("large")}} ${{type_of(gpu_vram_total("nowhere"))}}`)
        }}"""
    )

    assert refused(farm, key=key, model="small") == "100000 () false true true false ()"


def test_estimated_duration_is_what_the_client_says(business: Colony) -> None:
    business.policy("fn should_admit(task, customer) { reject(`${task.estimated_duration_minutes}`) }")

    def asked(value: str) -> httpx.Response:
        return business.call(**{"x-estimated-duration-minutes": value}).post(
            "/v1/chat/completions", json=chat("x")
        )

    assert error(asked("2.5"))["message"] == "2.5"
    assert refused(business) == "0"
    for wrong in ("-1", "soon", "1e9", "nan", "1234567"):
        assert (asked(wrong).status_code, error(asked(wrong))["param"]) == (
            400,
            "X-Estimated-Duration-Minutes",
        )


def test_model_without_a_worker_is_a_503_that_tells_loading_from_missing(business: Colony) -> None:
    business.add_model("nowhere")
    missing = business.ask("x", model="nowhere")
    business.add_hive("nowhere", status="loading")
    loading = business.ask("x", model="nowhere")

    assert (missing.status_code, error(missing)["code"]) == (503, "no_workers")
    assert (loading.status_code, error(loading)["code"]) == (503, "model_loading")
    assert missing.headers["retry-after"]
    assert loading.headers["retry-after"]


def test_decision_and_pseudonym_travel_to_the_books(business: Colony) -> None:
    source = "fn route_task(task, workers) { workers.round_robin() }"
    business.policy(source)
    business.ask("x", user="alice@example.org")
    (body,) = business.hive.bodies

    business.send_receipts(business.hive, business.hive.receipt(body))

    with colony_tx("tests"):
        event = UsageEvent.objects.get(task_id=body.task)
        key = ApiKey.objects.get(id=event.key_id)
    assert event.decision["policies"] == [business.queen.policies.operator().sha256]
    assert event.decision["chosen"] == body.worker
    assert event.decision["candidates"] == 1
    assert event.region == "EU"
    assert event.tenant_id == key.tenant_id
    assert len(event.subject) == 32
    assert "alice" not in json.dumps([event.subject, event.decision, event.request_id])


def test_plans_without_opinion_share_the_load(business: Colony) -> None:
    business.add_model("shared")
    hives = [business.add_hive("shared", labels={"gpu_type": name}) for name in ("A", "B")]
    key = make_key(make_project(make_tenant(plan=make_plan())))[1]
    waiting = [business.call(key) for _ in range(6)]
    try:
        for client in waiting:
            stream = client.build_request("POST", "/v1/chat/completions", json={
                "model": "shared", "stream": True, "messages": [{"role": "user", "content": "slow"}]})  # fmt: skip
            client.send(stream, stream=True)
        assert [len(hive.bodies) for hive in hives] == [3, 3]
    finally:
        for client in waiting:
            client.close()


def test_end_users_are_counted_only_while_a_script_looks_at_them(business: Colony) -> None:
    def counted() -> int:
        with redis.Redis.from_url(business.redis_url) as client:
            return len(list(client.scan_iter("rbee:lim:*:of:*")))

    before = counted()
    assert business.ask("x", user="alice").status_code == 200
    assert counted() == before
    business.policy("fn should_admit(task, customer) { task.subject_tokens_used_today >= 0; admit() }")
    assert business.ask("x").status_code == 200
    assert counted() == before
    assert business.ask("x", user="alice").status_code == 200
    assert counted() == before + 2
