"""A tenant's money, through the front door: no task runs that its balance does not cover, and none is paid for twice."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import redis
from django.db import OperationalError

from billing.domain.accounts import change_account, lock_account, set_state
from billing.domain.payments import give_credit
from billing.domain.prices import set_price
from billing.enums import AccountState, BillingMode
from billing.models import BudgetSlice, LedgerTransfer
from gdpr.scope import colony_tx, tenant_tx
from hive_agent.protocol import Outcome
from inference.domain.envelope import open_envelope
from inference.domain.limits import slice_key
from inference.models import Model
from tenants.domain.tenancy import PLANS
from tenants.models import Plan, Project
from tests.billing.domain.test_ledger import money_of
from tests.factories.tenants import TESTER, make_key, make_project
from tests.inference.api.conftest import Colony, chat
from tests.inference.api.hive import USAGE, SmallHive
from tests.inference.api.test_answers import error

PROMPT_PRICE, ANSWER_PRICE = 1_000_000, 2_000_000  # a token costs 1 and 2 micro-units
CONTEXT = 1000
COST = USAGE["prompt_tokens"] + 2 * USAGE["completion_tokens"]


class Customer(NamedTuple):
    colony: Colony
    hive: SmallHive
    tenant: UUID
    key: str

    def ask(self, content: str = "x", *, max_tokens: int | None = 10, **fields: Any) -> Any:
        return self.colony.ask(content, key=self.key, model="dear", max_tokens=max_tokens, **fields)

    def report(self, **fields: Any) -> None:
        """What its last task used, to the books."""
        answer = self.colony.send_receipts(self.hive, self.hive.receipt(self.hive.bodies[-1], **fields))
        assert answer.status_code == 200

    def change(self, **changes: Any) -> None:
        change_account(self.tenant, changes, actor=TESTER)
        self.colony.queen.treasury.invalidate()

    def pay(self, amount: int) -> None:
        give_credit(self.tenant, amount, reason="tests", actor=TESTER)
        self.colony.queen.treasury.invalidate()

    @property
    def has(self) -> int:
        """Whether in a slice or not."""
        return sum(money_of(self.tenant))

    def settled(self) -> None:
        self.colony.wait_for(lambda: not self.colony.queen.reserver.held)

    @property
    def slice_id(self) -> str:
        with tenant_tx(self.tenant):
            return BudgetSlice.objects.get(state="open").id.hex

    def slice(self) -> dict[str, int]:
        with redis.Redis.from_url(self.colony.redis_url) as client:
            told = client.hgetall(slice_key(self.slice_id))
        held = sum(int(value) for name, value in told.items() if name.startswith(b"t:"))
        return {"used": int(told.get(b"used", 0)), "held": held}


@pytest.fixture
def customer(business: Colony) -> Customer:
    """Who pays before, and has nothing yet."""
    if not business.queen.offer.find("dear"):
        business.add_model("dear")
        Model.objects.filter(name="dear", removed_at=None).update(context_tokens=CONTEXT)
        business.queen.offer.reload_soon()
        business.wait_for(lambda: business.queen.offer.find("dear").context_tokens)
    set_price("dear", {"prompt_tokens": PROMPT_PRICE, "completion_tokens": ANSWER_PRICE}, actor=TESTER)
    business.queen.prices.invalidate()
    project = make_project()
    made = Customer(business, business.add_hive("dear"), project.tenant_id, make_key(project)[1])
    made.change(mode=BillingMode.PREPAID)
    return made


def most(max_tokens: int, content: str = "x", **fields: Any) -> int:
    """What `ask` may cost: no token is shorter than a byte."""
    body = json.dumps(chat(content, model="dear", max_tokens=max_tokens, **fields), separators=(",", ":"))
    return min(CONTEXT, len(body) + 256) + 2 * max_tokens


def test_who_has_nothing_is_refused_until_they_pay(customer: Customer) -> None:
    refused = customer.ask()
    assert (refused.status_code, error(refused)["type"], error(refused)["code"]) == (
        402, "insufficient_quota", "insufficient_quota",
    )  # fmt: skip
    assert refused.headers["x-should-retry"] == "false"
    assert f"may cost {most(10) / 1e6:.6f} EUR" in error(refused)["message"]
    assert customer.hive.bodies == []

    customer.pay(most(10) - 1)
    assert customer.ask().status_code == 402
    customer.pay(1)
    assert customer.ask().status_code == 200


def test_the_most_is_held_and_the_rest_comes_back_when_the_task_ends(customer: Customer) -> None:
    customer.pay(1000)
    assert customer.ask().status_code == 200
    customer.settled()
    customer.colony.wait_for(lambda: customer.slice() == {"used": COST, "held": 0})

    customer.report()
    customer.report()
    assert customer.has == 1000 - COST
    with tenant_tx(customer.tenant):
        assert LedgerTransfer.objects.get(kind="task").debit_account == f"reserved:{customer.tenant.hex}"

    body = customer.hive.bodies[-1]
    envelope = open_envelope(body.envelope)
    assert (envelope.hold_micros, len(envelope.slice)) == (most(10), 32)


def test_an_answer_without_a_limit_may_fill_the_context(customer: Customer) -> None:
    customer.pay(2 * CONTEXT)
    assert customer.ask(max_tokens=CONTEXT // 2).status_code == 200
    assert customer.ask(max_tokens=None).status_code == 402
    customer.pay(2 * CONTEXT)
    assert customer.ask(max_tokens=None).status_code == 200
    assert 2 * CONTEXT < open_envelope(customer.hive.bodies[-1].envelope).hold_micros <= 3 * CONTEXT


def test_a_failed_task_gives_all_back(customer: Customer) -> None:
    customer.pay(1000)
    assert customer.ask("crash").status_code == 500
    customer.settled()
    customer.colony.wait_for(lambda: customer.slice() == {"used": 0, "held": 0})
    customer.report(outcome=Outcome.WORKER_FAILED)
    assert customer.has == 1000


def test_money_of_a_task_whose_end_nobody_saw_is_given_back_by_its_receipt(customer: Customer) -> None:
    """Its hive goes silent, so this queen knows no more of what it used."""
    customer.pay(1000)
    with ThreadPoolExecutor(1) as thread:
        asking = thread.submit(customer.ask, "vanish", stream=True)
        customer.colony.wait_for(lambda: customer.hive.bodies)
        key, body = slice_key(customer.slice_id), customer.hive.bodies[-1]
        with redis.Redis.from_url(customer.colony.redis_url) as client:
            assert int(client.hget(key, f"t:{body.task}")) == most(10, content="vanish", stream=True)
            customer.report()
            customer.colony.wait_for(lambda: not client.hexists(key, f"t:{body.task}"))
        assert customer.slice() == {"used": COST, "held": 0}
        customer.hive.stop()
        asking.result()
    assert customer.slice() == {"used": COST, "held": 0}
    assert customer.has == 1000 - COST


def test_many_at_once_never_cost_more_than_there_is(customer: Customer) -> None:
    customer.pay(10 * most(10))

    with ThreadPoolExecutor(40) as threads:
        answers = list(threads.map(lambda _: customer.ask("slow").status_code, range(40)))

    assert set(answers) == {200, 402}
    assert answers.count(200) >= 10  # and more where one ended in time
    customer.settled()
    assert customer.slice()["held"] == 0
    assert customer.has == 10 * most(10)


def test_after_redis_is_lost_only_what_was_not_in_it_is_there(customer: Customer) -> None:
    customer.pay(most(10))
    assert customer.ask().status_code == 200
    customer.settled()
    body = customer.hive.bodies[-1]
    before = customer.colony.queen.reserver.epoch
    with redis.Redis.from_url(customer.colony.redis_url) as client:
        client.flushall()
    customer.colony.wait_for(lambda: customer.colony.queen.reserver.epoch not in (None, before))
    customer.colony.wait_for(
        lambda: any(w.hive_id == customer.hive.row.id.hex for w in customer.colony.queen.colony.workers)
    )

    assert customer.ask().status_code == 402
    customer.pay(5 * most(10))
    customer.colony.wait_for(lambda: customer.ask().status_code == 200)  # once its token stream is missed
    customer.colony.send_receipts(customer.hive, customer.hive.receipt(body))
    assert customer.has == 6 * most(10) - COST


def test_credit_of_who_pays_afterwards_ends(customer: Customer) -> None:
    customer.change(mode=BillingMode.POSTPAID, credit_limit_micros=most(10))
    assert customer.ask().status_code == 200
    customer.settled()
    customer.colony.wait_for(lambda: customer.slice()["used"] == COST)
    assert customer.ask().status_code == 402
    customer.change(credit_limit_micros=None)
    for _ in range(3):
        assert customer.ask().status_code == 200
    assert open_envelope(customer.hive.bodies[-1].envelope).slice == ""


def test_what_is_free_takes_no_money(customer: Customer) -> None:
    assert customer.colony.ask("x", key=customer.key).status_code == 200


def test_suspended_and_restricted_accounts(customer: Customer) -> None:
    customer.pay(100_000)

    def be(state: AccountState) -> None:
        with tenant_tx(customer.tenant):
            set_state(lock_account(customer.tenant), state, actor=TESTER, reason="tests")
        customer.colony.queen.treasury.invalidate()

    be(AccountState.SUSPENDED)
    refused = customer.ask()
    assert (refused.status_code, error(refused)["code"]) == (402, "account_suspended")
    be(AccountState.RESTRICTED)
    Plan.objects.update_or_create(slug="free", defaults={"name": "Free", **PLANS["free"]})
    answer = customer.ask()
    assert answer.headers["x-ratelimit-limit-requests"] == str(PLANS["free"]["requests_per_minute"])
    be(AccountState.PAST_DUE)
    assert "x-ratelimit-limit-requests" not in customer.ask().headers


def test_no_money_is_asked_for_while_postgres_is_away(
    customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer.pay(1000)

    async def broken(*args: Any, **named: Any) -> None:
        raise OperationalError

    monkeypatch.setattr(customer.colony.queen.treasury, "_grant", broken)
    refused = customer.ask()
    assert (refused.status_code, error(refused)["code"]) == (503, "balance_unknown")
    assert refused.headers["retry-after"]


def test_balance_is_shown_to_whose_it_is(customer: Customer) -> None:
    customer.pay(1000)
    project = make_project()
    with colony_tx("tests"):
        own = Project.objects.get(tenant_id=customer.tenant)
    mine, other = (make_key(each, scopes=["manage"])[1] for each in (own, project))
    assert customer.ask().status_code == 200

    told = customer.colony.call(mine).get("/api/v1/billing/balance").json()["data"]
    foreign = customer.colony.call(other).get("/api/v1/billing/balance", params={"tenant": told[0]["tenant"]})

    assert [(each["balance_micros"], each["reserved_micros"], each["available_micros"]) for each in told] == [
        (1000, most(10), 1000 - most(10))
    ]
    assert (told[0]["currency"], told[0]["mode"], told[0]["state"]) == ("EUR", "prepaid", "active")
    assert foreign.status_code == 404
