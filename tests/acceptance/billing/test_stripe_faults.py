"""Charges, refunds and usage told to Stripe while it is busy, broken, silent after it did it, and away for three days: what is
billed is what is in our books, and nothing is billed twice.

Payments and refunds are kept by localstripe, usage by a count behind stripe-mock; faults and the 24 hours of idempotency keys
are the proxy's.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.conf import settings
from django.db.models import F, Sum
from django.utils import timezone

from billing.domain import meters, stripe_outbox
from billing.domain.auto_recharge import charge_low_balances, set_auto_recharge
from billing.domain.reversals import refund_payment
from billing.domain.settlement import settle
from billing.domain.stripe_operations import OPERATIONS
from billing.enums import SendState
from billing.models import Payment
from billing.stripe_models import AutoRecharge, StripeCustomer, StripeMeter, StripeRequest
from gdpr.pool import make_pool
from gdpr.scope import colony_tx, tenant_tx
from tests.acceptance.figures import SEED, note, scaled
from tests.billing.stripe.conftest import stripe_at
from tests.billing.stripe.proxy import Proxy, proxy_to
from tests.billing.stripe.standins import SECRET_KEY, localstripe, stripe_mock
from tests.factories.billing import make_price, make_settlement
from tests.factories.stripe import balance_of, make_customer
from tests.factories.tenants import TESTER, make_project

pytestmark = [pytest.mark.timeout(3600), pytest.mark.usefixtures("committed_db")]

CENT = 10_000
CARD = {"type": "card", "card[number]": "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "2040",
        "card[cvc]": "123"}  # fmt: skip
REFUSED = {**CARD, "card[number]": "4000000000000341"}
OUTAGE = timedelta(hours=72)
RECHARGE = {"threshold_micros": 10_000_000, "amount_micros": 20_000_000, "month_max_micros": 200_000_000}


@pytest.fixture(scope="module")
def standins() -> Iterator[tuple[str, str]]:
    with localstripe() as payments, stripe_mock() as mock:
        yield payments, mock


@pytest.fixture
def proxy(standins: tuple[str, str]) -> Iterator[Proxy]:
    with colony_tx("what other tests left"):
        StripeRequest.objects.filter(state=SendState.PENDING).update(state=SendState.FAILED)
        StripeMeter.objects.all().delete()
    with proxy_to(standins[0], mock=standins[1]) as proxy, stripe_at(proxy.url):
        yield proxy


def faults(share: float) -> Iterator[str]:
    draw = random.Random(SEED)
    while True:
        yield draw.choice(["429", "500", "lost"]) if draw.random() < share else "ok"


def payer(proxy: Proxy, card: dict[str, str] = CARD) -> StripeCustomer:
    """With a card that localstripe knows."""
    auth = {"authorization": f"Bearer {SECRET_KEY}"}
    with httpx.Client(base_url=proxy.target, headers=auth) as stripe:
        made = stripe.post("/v1/customers", data={"name": "x"}).json()["id"]
        method = stripe.post("/v1/payment_methods", data=card).json()["id"]
        stripe.post(f"/v1/payment_methods/{method}/attach", data={"customer": made}).raise_for_status()
    customer = make_customer(card=method)
    with tenant_tx(customer.tenant_id):
        StripeCustomer.objects.update(customer_id=made)
        customer.refresh_from_db()
    set_auto_recharge(customer.tenant_id, dict(RECHARGE), currency="EUR", actor=TESTER)
    return customer


def drain(rounds: int = 200) -> None:
    """Until all is said; what waits for its time is due at once."""
    for _ in range(rounds):
        stripe_outbox.send_due(OPERATIONS)
        with colony_tx("time passes"):
            waiting = StripeRequest.objects.filter(state=SendState.PENDING)
            if not waiting.update(next_at=timezone.now()):
                return
    raise AssertionError("it never ends")


def pass_time(span: timedelta) -> None:
    with colony_tx("time passes"):
        StripeRequest.objects.filter(state=SendState.PENDING).update(
            next_at=timezone.now(), first_sent_at=F("first_sent_at") - span, created_at=F("created_at") - span
        )  # fmt: skip


def at_stripe(proxy: Proxy, kind: str, customers: list[StripeCustomer]) -> list[dict[str, Any]]:
    """What the stand-in really has, not by way of the gateway."""
    auth, rows, mine = {"authorization": f"Bearer {SECRET_KEY}"}, [], {one.customer_id for one in customers}
    with httpx.Client(base_url=proxy.target, headers=auth, timeout=30) as stripe:
        after: dict[str, str] = {}
        while True:
            page = stripe.get(f"/v1/{kind}", params={"limit": "100", **after}).json()
            rows += page["data"]
            if not page["has_more"]:
                break
            after = {"starting_after": rows[-1]["id"]}
        if kind == "refunds":
            return rows
    return [row for row in rows if row["customer"] in mine]


def differences(proxy: Proxy, customers: list[StripeCustomer]) -> list[str]:
    """The checker: between what Stripe has and what we have."""
    found = []
    charges = [row for row in at_stripe(proxy, "payment_intents", customers) if row["status"] == "succeeded"]
    keys = [row["metadata"]["rbee_key"] for row in charges]
    found += [f"charged {keys.count(key)} times: {key}" for key in sorted(set(keys)) if keys.count(key) > 1]
    tenants = [one.tenant_id for one in customers]
    with colony_tx("tests"):
        ours = {p.reference: p.amount_micros // CENT for p in Payment.objects.filter(tenant__in=tenants)}
    theirs = {row["id"]: row["amount"] for row in charges}
    found += [f"{name}: {ours.get(name)} here, {theirs.get(name)} there" for name in sorted(ours.keys() | theirs.keys())
              if ours.get(name) != theirs.get(name)]  # fmt: skip
    back: dict[str, int] = {}
    for row in at_stripe(proxy, "refunds", customers):
        back[row["payment_intent"]] = back.get(row["payment_intent"], 0) + row["amount"]
    with colony_tx("tests"):
        for payment in Payment.objects.filter(tenant__in=tenants):
            if payment.refunded_micros // CENT != back.get(payment.reference, 0):
                found.append(
                    f"{payment.reference}: {payment.refunded_micros // CENT} refunded here, {back.get(payment.reference, 0)} there"
                )
    return found


def charge_and_refund(proxy: Proxy, customers: list[StripeCustomer]) -> None:
    for _ in range(5):  # several processes look at the same moment
        charge_low_balances()
    drain()
    for place, customer in enumerate(customers):
        with tenant_tx(customer.tenant_id):
            payment = Payment.objects.get()
        refund_payment(payment, (place % 20 + 1) * 10 * CENT, reason="", actor=TESTER)
    drain()


def test_every_charge_and_refund_happens_once_while_stripe_fails(proxy: Proxy) -> None:
    customers = [payer(proxy) for _ in range(scaled(150, least=8))]
    proxy.faults = faults(0.5)
    charge_and_refund(proxy, customers)

    found = differences(proxy, customers)
    note(
        "stripe: charges and refunds under faults",
        f"{2 * len(customers)}, faults {sum(proxy.seen[one] for one in ('429', '500', 'lost'))}",
    )
    note("stripe: differences after faults", len(found))
    assert found == []
    assert all(proxy.seen[fault] for fault in ("429", "500", "lost", "repeated"))
    assert balance_of(customers[0]) == 20_000_000 - 10 * CENT


def outage(proxy: Proxy, customers: list[StripeCustomer]) -> None:
    """Half of what is sent first happens, and nobody hears of it; then nothing answers for three days."""
    charge_low_balances()
    draw = random.Random(SEED)
    proxy.faults = iter([draw.choice(["lost", "500"]) for _ in customers])
    for _ in customers:
        stripe_outbox.send_due(OPERATIONS)
    proxy.is_down = True
    for _ in range(3):
        pass_time(OUTAGE / 3)
        stripe_outbox.send_due(OPERATIONS)
    proxy.is_down = False
    proxy.forget_keys()
    pass_time(timedelta(0))
    drain()


def test_three_days_of_silence_bill_nothing_twice(proxy: Proxy) -> None:
    customers = [payer(proxy) for _ in range(scaled(60, least=8))]
    outage(proxy, customers)

    found = differences(proxy, customers)
    note("stripe: differences after 72 h of silence", len(found))
    assert found == []
    assert proxy.seen["lost"] > 1
    with colony_tx("tests"):
        assert Payment.objects.filter(tenant__in=[one.tenant_id for one in customers]).count() == len(
            customers
        )


def test_checker_finds_charges_that_are_sent_again_blindly(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted bug: old requests are sent again without asking whether they happened."""
    monkeypatch.setattr(stripe_outbox, "KEY_LIVES", timedelta(days=1000))
    customers = [payer(proxy) for _ in range(12)]
    outage(proxy, customers)

    assert any(line.startswith("charged 2 times") for line in differences(proxy, customers))


def test_card_that_is_refused_pauses_and_is_told_once(proxy: Proxy) -> None:
    from tenants.models import Alert, WebhookEvent

    customer = payer(proxy, REFUSED)
    charge_low_balances()
    drain()
    charge_low_balances()

    with tenant_tx(customer.tenant_id):
        recharge = AutoRecharge.objects.get()
        assert (recharge.paused_for, recharge.is_charging, recharge.number) == ("card_declined", False, 1)
        assert [one.data for one in WebhookEvent.objects.filter(type="billing.recharge_failed")] == [
            {"code": "card_declined"}
        ]
        assert Alert.objects.filter(kind="auto_recharge_failed").count() == 1
        assert StripeRequest.objects.get().state == SendState.FAILED
    assert balance_of(customer) == 0


def test_no_more_is_charged_in_a_month_than_was_agreed_to(proxy: Proxy) -> None:
    customer = payer(proxy)
    set_auto_recharge(customer.tenant_id, {"threshold_micros": 900_000_000, "month_max_micros": 50_000_000},
                      currency="EUR", actor=TESTER)  # fmt: skip
    for _ in range(5):
        charge_low_balances()
        drain()

    assert balance_of(customer) == 40_000_000
    assert differences(proxy, [customer]) == []


def use(customer: StripeCustomer, count: int) -> int:
    project, price = make_project(customer.tenant), make_price()
    made = [make_settlement(project, price) for _ in range(count)]

    async def settle_all() -> None:
        pool = make_pool(settings.RBEE.database_url)
        await pool.open()
        try:
            assert len(await settle(pool, made)) == count
        finally:
            await pool.close()

    asyncio.run(settle_all())
    return 30 * count


def told_of(customers: list[StripeCustomer]) -> int:
    with colony_tx("tests"):
        rows = StripeRequest.objects.filter(
            operation="meter", tenant__in=[one.tenant_id for one in customers]
        )
        return sum(body["value"] for body in rows.values_list("body", flat=True))


def meter_usage(proxy: Proxy) -> tuple[int, list[StripeCustomer]]:
    customers = [make_customer(prepaid=False) for _ in range(scaled(50, least=4))]
    meters.set_meter("tokens", "mtr_1", ["prompt_tokens", "completion_tokens"], actor=TESTER)
    used = sum(use(customer, scaled(20, least=3)) for customer in customers)
    later = timezone.now() + timedelta(minutes=4)
    for _ in range(3):
        meters.report_usage(later)
    used += sum(
        use(customer, 1) for customer in customers
    )  # in a minute that was told of already, or the next
    meters.report_usage(later + timedelta(minutes=1))
    return used, customers


def test_usage_is_counted_once_whatever_fails(proxy: Proxy) -> None:
    proxy.faults = faults(0.5)
    used, customers = meter_usage(proxy)
    drain()

    note("stripe: tokens told to meters, used", f"{proxy.counted()}, {used}")
    assert (told_of(customers), proxy.counted()) == (used, used)


def test_usage_is_counted_once_after_three_days_of_silence(proxy: Proxy) -> None:
    used, customers = meter_usage(proxy)
    outage(proxy, customers)

    assert (told_of(customers), proxy.counted()) == (used, used)


def test_usage_that_is_too_old_is_not_told_and_raises_an_alert(proxy: Proxy) -> None:
    from tenants.models import Alert

    _, customers = meter_usage(proxy)
    with colony_tx("time passes"):
        for request in StripeRequest.objects.filter(operation="meter", state=SendState.PENDING):
            request.body["minute"] -= 35 * 86_400
            request.save()
        Alert.objects.filter(kind="meter_refused").delete()
    drain()

    assert proxy.counted() == 0
    with colony_tx("tests"):
        assert Alert.objects.filter(kind="meter_refused").exists()
        states = StripeRequest.objects.filter(tenant__in=[one.tenant_id for one in customers]).values_list(
            "state", flat=True
        )
        assert set(states) == {SendState.FAILED}


def test_books_agree_with_themselves() -> None:
    from billing.models import Balance, LedgerTransfer

    with colony_tx("tests"):
        for balance in Balance.objects.order_by("?")[:200]:
            name = f"tenant:{balance.tenant_id.hex}"
            rows = LedgerTransfer.objects.filter(tenant_id=balance.tenant_id, currency=balance.currency)
            got = rows.filter(credit_account=name).aggregate(total=Sum("amount_micros"))["total"] or 0
            gave = rows.filter(debit_account=name).aggregate(total=Sum("amount_micros"))["total"] or 0
            assert got - gave == balance.balance_micros
