"""Scripts of the business case decide on real hives; what they see as hardware are the operator's labels."""

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.acceptance.core import scripts
from tests.system import JoinedHive, System, running


@pytest.fixture(scope="module")
def farm() -> Iterator[tuple[System, dict[str, JoinedHive], dict[str, str]]]:
    """A business colony with an A100 and an H100 hive, and a key of each tier."""
    with running(business=True, arguments=["--no-hive"]) as system:
        hives = {
            "gpu-node-01": JoinedHive(system, "gpu-node-01", region="EU", labels={"gpu_type": "A100"}),
            "gpu-node-03": JoinedHive(system, "gpu-node-03", region="EU", labels={"gpu_type": "H100"}),
        }
        try:
            for name in hives:
                wait_for(
                    lambda name=name: any(hive["name"] == name for hive in system.run_json("hive", "list"))
                )
            both = ["--hive", "gpu-node-01", "--hive", "gpu-node-03"]
            system.run("model", "add", "builtin:rbee-mini", "--name", "small", "--free", *both, timeout_s=120)
            keys = {}
            for tier in ("free", "pro", "enterprise"):
                system.run("tenant", "create", f"{tier}-customer", "--plan", tier)
                keys[tier] = system.run_json("key", "create", "--tenant", f"{tier}-customer", "--name", tier)[
                    "key"
                ]
            yield system, hives, keys
        finally:
            for hive in hives.values():
                hive.stop()


def test_tiers_land_on_their_gpus_and_free_gets_503_when_only_an_h100_is_up(farm) -> None:
    system, hives, keys = farm
    policy(system, scripts.TIERS)

    assert served_by(system, keys["enterprise"]) == "gpu-node-03"
    assert served_by(system, keys["free"]) == "gpu-node-01"

    hives["gpu-node-01"].kill()
    refused = wait_for(
        lambda: ask(system, keys["free"]) if ask(system, keys["free"]).status_code == 503 else None
    )

    assert refused.json()["error"]["code"] == "no_workers"
    assert refused.headers["retry-after"]
    assert served_by(system, keys["enterprise"]) == "gpu-node-03"
    hives["gpu-node-01"].restart()
    wait_for(lambda: ask(system, keys["free"]).status_code == 200)


def test_cost_control_sends_another_model_to_the_least_loaded(farm) -> None:
    system, _, keys = farm
    policy(system, scripts.COST_CONTROL)

    assert served_by(system, keys["pro"]) in {"gpu-node-01", "gpu-node-03"}


def test_homelab_script_runs_as_it_stands(farm) -> None:
    system, _, keys = farm
    policy(system, scripts.HOMELAB)

    assert ask(system, keys["pro"]).status_code == 200


def test_quota_script_admits_within_the_limit_and_rejects_verbatim(farm) -> None:
    system, _, keys = farm
    policy(system, scripts.QUOTA)
    assert ask(system, keys["free"]).status_code == 200

    system.run(
        "model", "add", "builtin:rbee-mini", "--name", "llama-3-405b", "--free", "--hive", "gpu-node-03"
    )
    refused = ask(system, keys["free"], model="llama-3-405b")

    assert refused.status_code == 403
    assert refused.json()["error"] == {
        "message": "Upgrade to enterprise",
        "type": "permission_error",
        "param": None,
        "code": "policy_rejected",
    }
    assert ask(system, keys["enterprise"], model="llama-3-405b").status_code == 200


def test_script_that_rejects_with_quota_exceeded_is_a_429_that_is_not_retried(farm) -> None:
    system, _, keys = farm
    policy(system, 'fn should_admit(task, customer) { return reject("Quota exceeded"); }')

    refused = ask(system, keys["pro"])

    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "quota_exceeded"
    assert refused.headers["x-should-retry"] == "false"


def test_hive_that_is_killed_mid_stream_ends_the_stream_with_an_error(farm) -> None:
    system, hives, keys = farm
    system.run("model", "add", "echo:", "--name", "slow", "--free", "--engine", "echo", "--option", "delay_ms=50",
               "--option", "tokens=400", "--hive", "gpu-node-01")  # fmt: skip
    policy(system, "fn route_task(task, workers) { workers.least_loaded() }")
    body = {"model": "slow", "stream": True, "messages": [{"role": "user", "content": "count"}]}
    lines: list[str] = []

    with httpx.stream(
        "POST", f"{system.url}/v1/chat/completions", json=body, headers=bearer(keys["pro"]), timeout=60
    ) as answer:
        for line in answer.iter_lines():
            lines.append(line)
            if len(lines) == 20:
                hives["gpu-node-01"].kill()

    events = [line.removeprefix("data: ") for line in lines if line]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["error"]["type"] == "server_error"
    hives["gpu-node-01"].restart()
    wait_for(lambda: ask(system, keys["pro"], model="slow").status_code == 200, timeout_s=90)


def policy(system: System, source: str) -> None:
    """Saves the scheduler file and waits until the queen decides by it."""
    system.scheduler_file.parent.mkdir(parents=True, exist_ok=True)
    system.scheduler_file.write_text(source)
    time.sleep(1.5)


def ask(system: System, key: str, *, model: str = "small") -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "What is rbee?"}], "max_tokens": 20}
    return httpx.post(f"{system.url}/v1/chat/completions", json=body, headers=bearer(key), timeout=60)


def served_by(system: System, key: str) -> str:
    answer = ask(system, key)
    assert answer.status_code == 200, answer.text
    request_id = answer.headers["x-request-id"]
    event = wait_for(
        lambda: next((row for row in system.run_json("usage") if row["request_id"] == request_id), None)
    )
    return str(event["hive"])


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def wait_for(probe, *, timeout_s: float = 60):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := probe():
            return found
        time.sleep(0.25)
    raise AssertionError("it did not happen in time")
