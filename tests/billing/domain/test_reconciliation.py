"""Each way in which the books can disagree is planted, found, named and explained; books that agree give an empty report."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.domain import task_explanation
from billing.domain.data_rights import forget_subject
from billing.domain.payments import receive_payment
from billing.domain.receipt_keys import keep_key
from billing.domain.reconciliation import NotYet, missed_nights, reconcile
from billing.domain.task_explanation import explain_difference, explain_task
from billing.enums import PaymentMethod
from billing.models import Balance, Payment
from billing.reconciliation_models import Difference, ReceiptKey, Reconciliation
from gdpr.domain.requests import Hold
from gdpr.holding import Identity, Whose
from gdpr.ids import uuid7
from gdpr.models import AuditEntry
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from inference.domain.reconcile import outside
from tenants.models import Alert, WebhookEvent
from tests.factories.billing import make_price
from tests.factories.books import USAGE, Bookkeeper, SigningHive
from tests.factories.tenants import TESTER, make_tenant

pytestmark = pytest.mark.django_db

# On which no other test books anything.
AT = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=123_000) - timedelta(days=70)
DAY = AT.date()


def compare(day: date = DAY) -> tuple[Reconciliation, list[Difference]]:
    report = reconcile(day, outside(), waiting={}, actor=TESTER)
    with colony_tx("tests"):
        return report, list(Difference.objects.select_related("reconciliation").filter(reconciliation=report))


def test_books_that_agree_give_an_empty_report() -> None:
    books = Bookkeeper(AT)
    for outcome in ("completed", "client_cancelled", "worker_failed", "timed_out"):
        books.book(outcome=outcome)
    books.book(usage={"prompt_tokens": 0})
    books.book(
        outcome="worker_failed", usage={}, event={"receipt": b"", "signature": b"", "began_at": None}
    )  # no hive ever told of it
    tenant_id = books.project.tenant_id
    books.book(transfer={"debit_account": f"reserved:{tenant_id.hex}", "amount_micros": 0}, usage={})
    receive_payment(
        tenant_id, method=PaymentMethod.BANK, reference=str(uuid7()), amount_micros=121, tax_micros=21,
        currency="EUR", actor=TESTER,
    )  # fmt: skip

    report, differences = compare()

    assert [(each.kind, each.expected, each.found) for each in differences] == []
    assert (report.differences, report.figures["tasks"], report.figures["receipts"]) == (0, 7, 6)
    with colony_tx("tests"):
        assert not Alert.objects.filter(object_ref=f"reconciliation:{DAY}").exists()


def test_what_a_task_used_beyond_its_hold_belongs_to_it() -> None:
    books = Bookkeeper(AT)
    task_id = books.book(transfer={"amount_micros": 72})
    whole = explain_task_of(task_id)["event"]["amount_micros"]
    late = {
        "id": uuid7(round(AT.timestamp()) * 10**9),
        "transaction_id": task_id,
        "kind": "late_usage",
        "debit_account": "late_usage",
    }

    assert [each.kind for each in compare()[1]] == ["transfer_amount"]
    books.book(event={}, transfer=late | {"amount_micros": whole - 72})

    assert compare()[1] == []


def wrong_usage(books: Bookkeeper) -> Any:
    return books.book(receipt={"usage": USAGE | {"completion_tokens": 1}})


def another_hives_signature(books: Bookkeeper) -> Any:
    return books.book(event={"signature": SigningHive().key.sign(b"x")})


def altered_amount(books: Bookkeeper) -> Any:
    return books.book(event={"amount_micros": 1}, transfer={"amount_micros": 1})


def another_currency(books: Bookkeeper) -> Any:
    return books.book(event={"currency": "USD"}, transfer={"currency": "USD"})


def foreign_account(books: Bookkeeper) -> Any:
    return books.book(transfer={"debit_account": "credits"})


def no_receipt(books: Bookkeeper) -> Any:
    return books.book(event={"receipt": b"", "signature": b""})


PLANTED: dict[str, tuple[Callable[[Bookkeeper], Any], set[str], str]] = {
    "usage": (wrong_usage, {"receipt_facts"}, "completion_tokens=1, "),
    "signature": (another_hives_signature, {"receipt_signature"}, "the signature of hive"),
    "no receipt": (no_receipt, {"receipt_missing"}, "a receipt"),
    "outcome": (lambda books: books.book(receipt={"outcome": "worker_failed"}), {"receipt_facts"}, "worker_failed"),
    "times": (lambda books: books.book(receipt={"ended_at_ms": 7}), {"receipt_facts"}, "ended_at: 7"),
    "tenant": (lambda books: books.book(sealed={"tenant": "ab" * 16}), {"envelope"}, "tenant_id: abab"),
    "price sealed": (lambda books: books.book(sealed={"price": "cd" * 16}), {"envelope"}, "price_id: cdcd"),
    "envelope": (lambda books: books.book(receipt={"envelope": b"x" * 50}), {"envelope"}, "of this colony"),
    "amount": (altered_amount, {"event_amount"}, "272 EUR"),
    "currency": (another_currency, {"event_amount"}, "272 EUR"),
    "no transfer": (lambda books: books.book(transfer={}), {"transfer_missing"}, "272 EUR"),
    "transfer": (lambda books: books.book(transfer={"amount_micros": 271}), {"transfer_amount"}, "272 of"),
    "accounts": (foreign_account, {"transfer_accounts"}, "task tenant:"),
    "no event": (lambda books: books.book(event={}), {"event_missing"}, "a usage event"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_task_that_was_tampered_with_is_found_named_and_explained(name: str) -> None:
    plant, kinds, expected = PLANTED[name]
    books = Bookkeeper(AT)
    sound = [books.book() for _ in range(3)]
    task_id = plant(books)

    report, differences = compare()

    assert {each.kind for each in differences} == kinds
    assert {each.task_id for each in differences} == {task_id}
    assert expected in differences[0].expected
    assert (report.differences, differences[0].tenant_id) == (len(differences), books.project.tenant_id)
    with colony_tx("tests"):
        explained = explain_difference(differences[0], outside())["explanation"]
        assert explained["task"] == str(task_id)
        assert {each["kind"] for each in explained.get("differences", [])} in (kinds, set())
        assert explain_task(sound[0], outside())["differences"] == []  # type: ignore[index]


def test_receipts_that_an_erasure_took_are_accounted_for_and_others_are_still_missed() -> None:
    books, subject = Bookkeeper(AT), "ab" * 16
    tenant_id = books.project.tenant_id
    erased = [books.book(sealed={"subject": subject}, event={"subject": subject}) for _ in range(2)]
    books.book()
    never_theirs = books.book(event={"receipt": b"", "signature": b"", "subject": subject})
    nobodys = no_receipt(books)

    assert forget_subject(Identity(Whose.SUBJECT, tenant_id=tenant_id, subject=subject), held()) == 3
    report, differences = compare()

    assert {each.task_id for each in differences} == {never_theirs, nobodys}
    assert {each.kind for each in differences} == {"receipt_missing"}
    assert (report.figures["receipts"], report.figures["erased_receipts"]) == (1, 2)
    with colony_tx("tests"):
        explained = explain_task(erased[0], outside())
        assert explained is not None
        assert (explained["receipt"], explained["receipt_erased"]) == (None, True)


@pytest.mark.parametrize(
    "change", ["receipt_erased = true", "receipt_erased = true, receipt = '', signature = ''"]
)
def test_nobody_excuses_a_receipt_by_hand(change: str) -> None:
    task_id = Bookkeeper(AT).book()
    with (
        pytest.raises(DatabaseError, match=r"append-only|permission denied"),
        colony_tx("tests"),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE billing_usageevent SET {change} WHERE task_id = %s", [task_id])


def held() -> Hold:
    return Hold(DataRequest(id=uuid7()))


def test_money_of_another_tenant_is_not_a_tenants_to_move() -> None:
    books, other = Bookkeeper(AT), make_tenant()
    books.book(transfer={"debit_account": f"tenant:{other.id.hex}"})

    assert [each.kind for each in compare()[1]] == ["transfer_accounts", "transfer_accounts"]


def test_balance_that_is_not_its_transfers_is_found_and_explained_down_to_the_task() -> None:
    books = Bookkeeper(AT)
    books.book()
    early = Bookkeeper(AT - timedelta(days=3), books.project, books.price)
    task_id = early.book(event={"amount_micros": 5})  # of a day that nobody compares again
    tenant_id = books.project.tenant_id
    with colony_tx("tests"):
        Balance.objects.filter(tenant_id=tenant_id).update(balance_micros=-277, reserved_micros=3)

    difference, reserved = compare()[1]

    assert (difference.kind, difference.object_ref, difference.tenant_id) == (
        "balance",
        "balance:EUR",
        tenant_id,
    )
    assert (reserved.kind, reserved.expected, reserved.found) == ("reserved", "0 in slices", "3 reserved")
    assert (difference.expected, difference.found) == ("-544, of slices 0", "-277, of slices 3")
    with colony_tx("tests"):
        explained = explain_difference(difference, outside())
    assert [(each["kind"], each["object_ref"]) for each in explained["tasks"]] == [
        ("event_amount", f"task:{task_id.hex}"),
        ("transfer_amount", f"task:{task_id.hex}"),
    ]
    assert explained["by_kind"][0]["amount_micros"] == 544
    assert explained["tasks_are_all"]


def test_of_a_tenant_with_many_tasks_the_reported_ones_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    books = Bookkeeper(AT)
    books.book()
    task_id = books.book(event={"amount_micros": 5})
    with colony_tx("tests"):
        Balance.objects.filter(tenant_id=books.project.tenant_id).update(balance_micros=-277)
    compare()
    differences = compare()[1]
    balance = next(each for each in differences if each.kind == "balance")
    monkeypatch.setattr(task_explanation, "COMPARED_MAX", 1)

    with colony_tx("tests"):
        explained = explain_difference(balance, outside())

    assert not explained["tasks_are_all"]
    assert [(each["kind"], each["object_ref"]) for each in explained["tasks"]] == [
        ("event_amount", f"task:{task_id.hex}"),
        ("transfer_amount", f"task:{task_id.hex}"),
    ]


def test_payment_that_did_not_pass_through_clearing_is_found() -> None:
    tenant_id = make_tenant().id
    given = {"method": PaymentMethod.BANK, "currency": "EUR", "actor": TESTER}
    receive_payment(tenant_id, reference=str(uuid7()), amount_micros=100, **given)  # type: ignore[arg-type]
    with colony_tx("tests"):
        Payment.objects.filter(tenant_id=tenant_id).update(amount_micros=90)

    (difference,) = compare()[1]

    assert (difference.kind, difference.object_ref) == ("payment", "clearing:bank")
    assert (difference.expected, difference.found) == ("90 EUR paid", "100 EUR cleared")
    with colony_tx("tests"):
        explained = explain_difference(difference, outside())
    assert [each["amount_micros"] for each in explained["payments"]] == [90]
    assert [each["amount_micros"] for each in explained["transfers"]] == [100]


def test_difference_raises_an_alert_and_tells_webhooks_and_its_end_closes_it() -> None:
    books = Bookkeeper(AT)
    task_id = books.book(event={})

    compare()
    with colony_tx("tests"):
        alert = Alert.objects.get(object_ref=f"reconciliation:{DAY}")
        told = WebhookEvent.objects.filter(type="billing.differs", data__day=str(DAY)).get()
        entry = AuditEntry.objects.filter(event="books.reconciled", details__day=str(DAY)).get()
    assert (alert.tenant_id, alert.closed_at) == (None, None)
    assert "1 places (event_missing)" in alert.message
    assert (told.tenant_id, told.data["differences"], entry.outcome) == (None, 1, "differs")

    books.book(task_id=task_id, transfer={})
    compare()

    with colony_tx("tests"):
        assert Alert.objects.get(id=alert.id).closed_at is not None


@pytest.mark.usefixtures("_few_rows")
def test_rows_are_kept_of_the_first_differences_only_and_all_are_counted() -> None:
    books = Bookkeeper(AT)
    for _ in range(5):
        books.book(transfer={})

    report, differences = compare()

    assert (report.differences, len(differences)) == (5, 2)


@pytest.fixture
def _few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("billing.domain.reconciliation.KEPT", 2)
    monkeypatch.setattr("billing.domain.book_reading.CHUNK", 2)


def test_nights_that_nobody_compared_are_made_up_for() -> None:
    today = DAY
    nights = [today - timedelta(days=back) for back in range(7, 0, -1)]
    assert missed_nights(today) == nights

    compare(nights[2])

    assert missed_nights(today) == [*nights[:2], *nights[3:]]
    with pytest.raises(NotYet):
        compare(datetime.now(UTC).date() + timedelta(days=1))


def test_explanation_shows_every_step() -> None:
    price = make_price(
        prices={"prompt_tokens": 150_000, "completion_tokens": 600_000, "cached_tokens": 15_000}
    )
    books = Bookkeeper(AT, price=price)
    task_id = books.book(usage={"prompt_tokens": 1001, "cached_tokens": 1000, "completion_tokens": 203})

    found = explain_task_of(task_id)

    assert found["arithmetic"] == [
        "cached_tokens: 1000 x 15000 / 1000000 = 15",
        "completion_tokens: 203 x 600000 / 1000000 = 121.8",
        "prompt_tokens: 1 x 150000 / 1000000 = 0.15",
        "sum: 136.95",
        "rounded, halves to even: 137 micro-units of EUR",
    ]
    assert (found["receipt"]["signed"], found["event"]["amount_micros"]) == (True, 137)
    assert [(each["kind"], each["amount_micros"]) for each in found["transfers"]] == [("task", 137)]
    assert explain_task_of(uuid7()) is None


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    usages=st.lists(
        st.fixed_dictionaries(
            {"prompt_tokens": st.integers(0, 10**7), "completion_tokens": st.integers(0, 10**6)}
        ),
        min_size=1,
        max_size=4,
    )
)
def test_arithmetic_ends_in_what_was_charged(usages: list[dict[str, int]]) -> None:
    books = Bookkeeper(AT)
    for usage in usages:
        found = explain_task_of(books.book(usage=usage))
        said = found["arithmetic"][-1].split(": ")[1].split()[0]
        assert int(said) == found["event"]["amount_micros"]
        assert found["differences"] == []


def test_receipts_of_a_hive_that_joined_again_are_still_its_own() -> None:
    books = Bookkeeper(AT)
    books.book()
    again = SigningHive(id=books.hive.id)
    books.book(hive=again)
    keep_key(again.id, base64.b64encode(again.key.public_key().public_bytes_raw()).decode())

    assert compare()[1] == []
    assert ReceiptKey.objects.filter(hive_id=again.id).count() == 2


def explain_task_of(task_id: Any) -> Any:
    with colony_tx("tests"):
        return explain_task(task_id, outside())
