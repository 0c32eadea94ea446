"""Consent on a real colony, by its command line and its REST: to withdraw is one call like to give, by the same key, and every
queen process goes by it within five seconds, with Redis and without."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.acceptance import figures
from tests.acceptance.figures import note, scaled
from tests.acceptance.tenants.test_revocation import silent_redis
from tests.system import System

ROUNDS = scaled(200, least=3)
EFFECTIVE_S = 5.0
SCRIPT = """fn should_admit(task, customer) {
    if customer.industry == "healthcare" && !customer.gdpr_consent {
        return reject("Agree to the processing of health data first", "consent_required");
    }
    admit()
}"""


class Customer:
    def __init__(self, system: System, slug: str, *arguments: str) -> None:
        self.system, self.slug = system, slug
        system.run("tenant", "create", slug, "--plan", "enterprise")
        if arguments:
            system.run("tenant", "update", slug, *arguments)
        self.key = self.make_key("inference")
        self.data_protection = self.make_key("gdpr")

    def make_key(self, scope: str) -> str:
        made = self.system.run_json("key", "create", "--tenant", self.slug, "--name", scope, "--scope", scope)
        return str(made["key"])

    def gdpr(self, *arguments: str) -> dict:
        return self.system.run_json("gdpr", "consent", *arguments, "--api-key", self.data_protection)

    def call(self, method: str, path: str) -> None:
        headers = {"authorization": f"Bearer {self.data_protection}"}
        answer = httpx.request(method, f"{self.system.url}/gdpr/{path}", headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text

    def ask(self, **fields: object) -> str:
        body = {
            "model": "rbee-mini",
            "max_tokens": 1,
            "messages": [{"role": "user", "content": "x"}],
            **fields,
        }
        headers = {"authorization": f"Bearer {self.key}"}
        answer = httpx.post(f"{self.system.url}/v1/chat/completions", json=body, headers=headers, timeout=60)
        return "served" if answer.status_code == 200 else answer.json()["error"]["code"]

    def until(self, outcome: str, **fields: object) -> float:
        """Seconds until it is so."""
        began = time.monotonic()
        while (last := self.ask(**fields)) != outcome:
            assert time.monotonic() - began < 4 * EFFECTIVE_S, last
        return time.monotonic() - began


@pytest.fixture(scope="module")
def texts(business: System) -> None:
    business.run(
        "gdpr", "consent", "text", "add", "data_processing", "--text", "You may process what we send."
    )


@pytest.mark.timeout(900)
def test_withdrawing_is_one_call_like_giving_and_holds_at_once(business: System, texts: None) -> None:
    customer = Customer(business, "clinic", "--require-consent", "data_processing")
    assert customer.ask() == "consent_required"
    waits = []
    for _ in range(ROUNDS):
        customer.call("POST", "consents/data_processing")
        customer.until("served")
        customer.call("DELETE", "consents/data_processing")
        waits.append(customer.until("consent_required"))
    assert max(waits) <= EFFECTIVE_S
    note("consent: calls to give, to withdraw", "1, 1")
    note("consent: withdrawn in force after", f"{max(waits) * 1000:.0f} ms at most, of {ROUNDS}")

    given = customer.gdpr("give", "data_processing")
    assert given["given"]
    assert customer.gdpr("list")[0]["text_sha256"] == given["text_sha256"]
    assert not customer.gdpr("withdraw", "data_processing")["given"]
    events = [
        row["event"]
        for row in business.run_json("audit", "search", "--tenant", "clinic", "--event", "consent.*")
    ]
    assert events[:2] == ["consent.withdrawn", "consent.given"]


def test_end_users_are_refused_once_they_withdraw(business: System, texts: None) -> None:
    customer = Customer(business, "forum", "--end-users-consent", "data_processing")
    assert customer.ask(user="alice") == customer.ask() == "consent_required"
    customer.gdpr("give", "data_processing", "--subject", "alice")
    customer.until("served", user="alice")
    assert customer.ask(user="bob") == "consent_required"
    customer.gdpr("withdraw", "data_processing", "--subject", "alice")
    wait = customer.until("consent_required", user="alice")
    assert wait <= EFFECTIVE_S
    note("consent: of an end user, withdrawn in force after", f"{wait * 1000:.0f} ms")


@pytest.mark.skipif(figures.SCALE < 1, reason="five seconds of silence for all who share this colony")
def test_withdrawing_holds_while_redis_is_silent(business: System, texts: None) -> None:
    customer = Customer(business, "hospital", "--require-consent", "data_processing")
    customer.call("POST", "consents/data_processing")
    customer.until("served")
    with silent_redis(business):
        customer.call("DELETE", "consents/data_processing")
        wait = customer.until("consent_required")
    assert wait <= EFFECTIVE_S
    note("consent: withdrawn in force with a silent Redis after", f"{wait:.1f} s")


def test_scripts_see_the_consent_as_it_is(business: System, texts: None) -> None:
    customer = Customer(business, "practice")
    operator = httpx.Client(
        base_url=f"{business.url}/api/v1/",
        headers={"authorization": f"Bearer {business.operator_key}"},
        timeout=60,
    )
    with operator:
        assert operator.patch("tenants/practice", json={"industry": "healthcare"}).status_code == 200
        version = operator.post("policies", json={"source": SCRIPT, "tenant": "practice"}).json()
        activated = operator.post(f"policies/{version['id']}/activate", json={})
        assert activated.status_code == 200, activated.text
    customer.until("consent_required")
    customer.gdpr("give", "data_processing")
    customer.until("served")
    customer.gdpr("withdraw", "data_processing")
    assert customer.until("consent_required") <= EFFECTIVE_S
