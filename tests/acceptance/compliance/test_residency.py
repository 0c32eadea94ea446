"""A tenant that is bound to the EU is served by hives that the operator vouches for, and by no other: whatever scripts want,
hives say of themselves, rows in the database say without a signature, and however often a task is tried again.

The check is shown to find code that looks before the scripts only.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest
import redis

from inference.domain import choice, dispatch, worker
from tests.acceptance.compliance.residency import Case, Clock
from tests.acceptance.figures import SEED, note, scaled
from tests.system import System

DECISIONS = scaled(100_000)
SEEN_AFTER_S = 1.2  # by every queen


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock, route = Clock(), choice.route

    def slow_route(*args, **kwargs):
        answer = route(*args, **kwargs)
        clock.after_script()
        return answer

    monkeypatch.setattr(worker, "time", clock)
    monkeypatch.setattr(choice, "route", slow_route)
    return clock


@pytest.mark.timeout(1800)
def test_no_task_of_an_eu_tenant_leaves_the_attested_hives(clock: Clock) -> None:
    cases = asyncio.run(decided(clock, DECISIONS))

    assert [case.wrong for case in cases if case.wrong] == []
    delivered = [case for case in cases if case.delivered]
    moved = [case for case in delivered if len(case.delivered) > 1]
    assert delivered
    assert moved
    nobody = [case.code for case in cases if not case.is_anybody_there]
    assert set(nobody) == {"no_eligible_region"}
    note("residency: decisions", len(cases))
    note("residency: dispatched, tried again, outside", f"{len(delivered)}, {len(moved)}, 0")
    note("residency: nobody eligible, refused by no_eligible_region", len(nobody))


@pytest.mark.parametrize("missing", ["after the script", "at the dispatch"])
def test_the_check_finds_code_that_does_not_look_again(
    missing: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "may_serve", lambda *_: True)
    if missing == "after the script":
        monkeypatch.setattr(choice.Choice, "_checked", lambda self, worker, attempt: worker)

    cases = asyncio.run(decided(clock, 300))

    found = sum(1 for case in cases if case.wrong)
    note(f"residency: planted bug, no look {missing}", f"found in {found} of 300")
    assert found


@pytest.mark.timeout(300)
def test_residency_from_the_operators_word_to_the_next_request(business: System) -> None:
    """By the local hive, which stands nowhere before and after."""
    business.run("tenant", "create", "brussels", "--plan", "enterprise", "--region", "EU")
    key = business.run_json("key", "create", "--tenant", "brussels", "--name", "eu")["key"]

    def ask() -> str:
        body = {"model": "rbee-mini", "max_tokens": 1, "messages": [{"role": "user", "content": "x"}]}
        headers = {"authorization": f"Bearer {key}"}
        answer = httpx.post(f"{business.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
        assert answer.status_code in {200, 503}, answer.text
        return "served" if answer.status_code == 200 else answer.json()["error"]["code"]

    try:
        assert ask() == "no_eligible_region"
        business.run("hive", "attest", "local", "--region", "US/Ohio")
        time.sleep(SEEN_AFTER_S)
        assert ask() == "no_eligible_region"

        business.run("hive", "attest", "local", "--region", "NL/Amsterdam")
        until(lambda: ask() == "served")
        ends = datetime.now(UTC) + timedelta(seconds=4)
        said = httpx.put(
            f"{business.url}/api/v1/hives/local/attestation",
            json={"region": "EU", "until": ends.isoformat()},
            headers={"authorization": f"Bearer {business.operator_key}"},
            timeout=60,
        )
        assert said.status_code == 200, said.text
        until(lambda: ask() != "served")
        assert datetime.now(UTC) >= ends
        assert ask() == "no_eligible_region"

        forge(business)
        time.sleep(SEEN_AFTER_S)
        assert ask() == "no_eligible_region"
        assert business.run_json("hive", "list")[0]["region_attested"] is False
    finally:
        business.run("hive", "attest", "local", "--withdraw")


def forge(system: System) -> None:
    """Somebody who writes to the database says that the hive is in the EU for years, and all queens read it again."""
    settings = system.children("uvicorn")[0].environ()
    with psycopg.connect(settings["RBEE_DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE inference_hive SET region = 'EU', region_until = now() + interval '9 years'"
        )
    redis.Redis.from_url(settings["RBEE_REDIS_URL"]).publish("rbee:invalidate", "hives")


def until(probe: Callable[[], object], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not probe():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


async def decided(clock: Clock, count: int) -> list[Case]:
    cases = []
    for number in range(count):
        case = Case(SEED * 1_000_000 + number, clock)
        await case.run()
        cases.append(case)
    return cases
