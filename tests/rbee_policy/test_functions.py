from pathlib import Path
from typing import Any

import pytest
import rhai_py

from rbee_policy.asking import ScriptBroke, ask_admission, ask_routing
from rbee_policy.functions import FUNCTIONS, NO_FACTS, Facts, hives_of
from rbee_policy.language import compile_policy
from rbee_policy.regions import region_is_eu
from rbee_policy.world import NO_LIMIT, defaults


class Worker:
    def __init__(self, **fields: Any) -> None:
        self.record = rhai_py.Record("worker", {**defaults("worker"), **fields})


WORKERS = [
    Worker(id="w1", hive="big", instance="big:0", vram_mb=5_000, vram_free_mb=10, total_vram_mb=100, model="m"),
    Worker(id="w2", hive="big", instance="big:0", vram_mb=6_000, vram_free_mb=10, total_vram_mb=100, model="m"),
    Worker(id="w3", hive="big", instance="big:1", gpu_index=1, vram_mb=0, vram_free_mb=7, total_vram_mb=50, model="x",
           gpu_name="", in_flight=2, capacity=2),
]  # fmt: skip
TASK = rhai_py.Record("task", defaults("task"))


def customer(**fields: Any) -> rhai_py.Record:
    return rhai_py.Record("customer", {**defaults("customer"), **fields})


def said(expression: str, facts: Facts = NO_FACTS, workers: list[Worker] = WORKERS) -> str:
    """What the expression is, while a task is routed."""
    script = compile_policy(f"fn route_task(task, workers) {{ reject(`${{{expression}}}`) }}")
    rejection = ask_routing(script, TASK, workers, turn=0, facts=facts)
    return rejection.message


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('gpu_vram_total("w1")', "100"),
        ('gpu_vram_total("big:1")', "50"),
        ('gpu_vram_total("big")', "150"),  # the device that two workers share counts once
        ('gpu_vram_free("big")', "17"),
        ('gpu_device_name("w1")', "NVIDIA A100-SXM4-80GB"),
        ('model_vram_required("m")', "6000"),
        ('model_size_bytes("m")', str(6000 << 20)),
    ],
)
def test_facts_of_what_is_offered(expression: str, expected: str) -> None:
    assert said(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        'gpu_vram_total("w4")',
        'gpu_vram_free("")',
        'gpu_device_name("other-hive")',
        'gpu_device_name("w3")',  # its driver says nothing
        'model_vram_required("x")',  # nobody measured
        'model_vram_required("y")',
        'model_size_bytes("y")',
        'tenant_usage("acme")',
    ],
)
def test_what_is_not_known_is_nothing(expression: str) -> None:
    assert said(f"type_of({expression})") == "()"


def test_quotas_are_those_of_the_customer_of_the_task_only() -> None:
    facts = Facts(
        customer(
            id="acme", tenant_id="7" * 32, tokens_used_today=70, daily_limit=100, tokens_remaining_today=30
        )
    )

    assert said('tenant_usage("acme")', facts) == "70"
    assert said(f'tenant_usage("{"7" * 32}")', facts) == "70"
    assert said('tenant_remaining_quota("acme")', facts) == "30"
    for function in ("tenant_usage", "tenant_remaining_quota", "tenant_over_quota"):
        for stranger in ("globex", "no-such-tenant", ""):
            assert said(f'type_of({function}("{stranger}"))', facts) == "()"


@pytest.mark.parametrize(
    ("used", "limit", "expected"), [(100, 100, "false"), (101, 100, "true"), (NO_LIMIT, NO_LIMIT, "false")]
)
def test_over_quota_is_more_than_the_limit(used: int, limit: int, expected: str) -> None:
    facts = Facts(customer(tokens_used_today=used, daily_limit=limit))

    assert said('tenant_over_quota("acme")', facts) == expected


def test_models_are_those_that_the_colony_offers() -> None:
    facts = Facts(knows_model={"m"}.__contains__)

    assert said('model_exists("m")', facts) == "true"
    assert said('model_exists("n")', facts) == "false"


def test_nothing_of_one_call_is_left_for_the_next() -> None:
    script = compile_policy('fn should_admit(task, customer) { reject(`${type_of(gpu_vram_total("w1"))}`) }')

    assert said('gpu_vram_total("w1")') == "100"
    rejection = ask_admission(script, TASK, customer())
    assert rejection is not None
    assert rejection.message == "()"


def test_argument_that_is_no_text_is_an_error_of_the_script() -> None:
    with pytest.raises(ScriptBroke, match="region_is_eu"):
        said("region_is_eu(1)")


@pytest.mark.parametrize(
    ("region", "expected"),
    [
        ("EU", True), ("eu", True), ("EU/Netherlands", True), ("DE", True), ("de/Berlin", True), ("EL", True),
        ("US", False), ("", False), ("GB", False), ("CH", False), ("NO", False), ("eu-west-2", False), ("EUR", False),
    ],
)  # fmt: skip
def test_region_is_eu(region: str, expected: bool) -> None:
    assert region_is_eu(region) is expected
    assert said(f'region_is_eu("{region}")') == str(expected).lower()


def test_hives_are_the_sum_of_their_offered_workers() -> None:
    big, small = hives_of([*(worker.record for worker in WORKERS), Worker(hive="small").record])

    assert (big.get("name"), big.get("workers"), big.get("gpus")) == ("big", 3, 2)
    assert (big.get("in_flight"), big.get("capacity")) == (2, 18)
    assert big.get("load") == pytest.approx(1 / 9)
    assert (big.get("vram_free_mb"), big.get("total_vram_mb")) == (17, 150)
    assert small.get("id") == "small"


def test_every_function_is_in_the_reference() -> None:
    page = (Path(__file__).parents[2] / "platform" / "docs" / "policies.md").read_text()

    assert [name for name in FUNCTIONS if f"`{name}(" not in page] == []
