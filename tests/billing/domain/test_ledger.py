from typing import NamedTuple
from uuid import UUID

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.domain import ledger
from billing.domain.accounts import AccountRefused, change_account, find_account
from billing.domain.ledger import AlreadyBooked, InsufficientBalance, Transfer, post
from billing.domain.payments import PaymentRefused, give_credit, receive_payment
from billing.enums import BillingMode, PaymentMethod, TransferKind
from billing.models import Balance, LedgerTransfer
from gdpr.ids import uuid7
from gdpr.models import AuditEntry
from gdpr.scope import tenant_tx
from tests.factories.tenants import TESTER, make_tenant

pytestmark = pytest.mark.django_db


class Money(NamedTuple):
    balance: int
    reserved: int


def money_of(tenant_id: UUID, currency: str = "EUR") -> Money:
    with tenant_tx(tenant_id):
        found = Balance.objects.filter(currency=currency).first()
    return Money(found.balance_micros, found.reserved_micros) if found else Money(0, 0)


def book(tenant_id: UUID, *transfers: Transfer) -> UUID:
    with tenant_tx(tenant_id):
        return post(tenant_id, "EUR", transfers)


def pay(tenant_id: UUID, amount: int, **fields: object):  # type: ignore[no-untyped-def]
    given = {"method": PaymentMethod.BANK, "reference": str(uuid7()), "currency": "EUR", "actor": TESTER}
    return receive_payment(tenant_id, amount_micros=amount, **{**given, **fields})  # type: ignore[arg-type]


def spend(tenant_id: UUID, amount: int, **fields: UUID) -> Transfer:
    return Transfer(
        kind=TransferKind.SUBSCRIPTION,
        debit=ledger.tenant_account(tenant_id),
        credit=ledger.REVENUE_SUBSCRIPTION,
        amount_micros=amount,
        **fields,
    )


def hold(tenant_id: UUID, amount: int) -> Transfer:
    own, held = ledger.tenant_account(tenant_id), ledger.reserved_account(tenant_id)
    return Transfer(kind=TransferKind.HOLD, debit=own, credit=held, amount_micros=amount)


def prepaid() -> UUID:
    tenant_id = make_tenant().id
    change_account(tenant_id, {"mode": BillingMode.PREPAID}, actor=TESTER)
    return tenant_id


def test_what_is_booked_is_what_the_balance_says() -> None:
    tenant_id, other = prepaid(), prepaid()

    pay(tenant_id, 121, tax_micros=21)
    pay(other, 7)
    book(tenant_id, hold(tenant_id, 60), spend(tenant_id, 10))

    assert money_of(tenant_id) == (30, 60)
    assert money_of(other) == (7, 0)
    with tenant_tx(tenant_id):
        assert LedgerTransfer.objects.get(kind=TransferKind.TAX).credit_account == "tax:XX"


def test_prepaid_balance_is_never_negative_whoever_books() -> None:
    tenant_id = prepaid()
    pay(tenant_id, 100)

    with pytest.raises(InsufficientBalance):
        book(tenant_id, spend(tenant_id, 40), spend(tenant_id, 61))
    assert money_of(tenant_id) == (100, 0)
    with (
        pytest.raises(IntegrityError, match="billing_balance_floor"),
        tenant_tx(tenant_id),
        transaction.atomic(),
    ):
        Balance.objects.update(balance_micros=-1)

    book(tenant_id, spend(tenant_id, 100))
    assert money_of(tenant_id) == (0, 0)


def test_who_pays_afterwards_owes() -> None:
    tenant_id = make_tenant().id

    book(tenant_id, spend(tenant_id, 100))

    assert money_of(tenant_id) == (-100, 0)
    with pytest.raises(AccountRefused, match="owes"):
        change_account(tenant_id, {"mode": BillingMode.PREPAID}, actor=TESTER)
    give_credit(tenant_id, 100, reason="an outage", actor=TESTER)
    change_account(tenant_id, {"mode": BillingMode.PREPAID}, actor=TESTER)
    with pytest.raises(InsufficientBalance):
        book(tenant_id, spend(tenant_id, 1))


def test_same_transfer_is_booked_once() -> None:
    tenant_id, transfer_id = make_tenant().id, uuid7()

    book(tenant_id, spend(tenant_id, 5, id=transfer_id))
    with pytest.raises(AlreadyBooked):
        book(tenant_id, spend(tenant_id, 5, id=transfer_id))

    assert money_of(tenant_id) == (-5, 0)


def test_payment_that_is_reported_twice_is_booked_once() -> None:
    tenant_id = prepaid()

    first, is_new = pay(tenant_id, 100, reference="NL91 2026-11")
    again, is_new_again = pay(tenant_id, 100, reference="NL91 2026-11")

    assert (first.id, is_new, is_new_again) == (again.id, True, False)
    assert money_of(tenant_id).balance == 100
    with pytest.raises(PaymentRefused, match="another amount"):
        pay(tenant_id, 101, reference="NL91 2026-11")
    with tenant_tx(tenant_id):
        assert AuditEntry.objects.filter(event="payment.received").count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [("currency", "euro"), ("country", "Holland"), ("credit_limit_micros", -1)],
)
def test_change_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    tenant_id = make_tenant().id

    with pytest.raises(AccountRefused) as refused:
        change_account(tenant_id, {field: value}, actor=TESTER)

    assert refused.value.field == field
    with tenant_tx(tenant_id):
        assert find_account(tenant_id).currency == "EUR"


def test_credit_limit_is_not_for_who_pays_before() -> None:
    with pytest.raises(AccountRefused, match="afterwards"):
        change_account(prepaid(), {"credit_limit_micros": 5}, actor=TESTER)


@settings(deadline=None)
@given(steps=st.lists(st.tuples(st.sampled_from(["pay", "hold", "spend"]), st.integers(0, 50)), max_size=12))
def test_balance_is_the_sum_of_the_ledger(steps: list[tuple[str, int]]) -> None:
    tenant_id = prepaid()
    own, held = ledger.tenant_account(tenant_id), ledger.reserved_account(tenant_id)
    for step, amount in steps:
        try:
            if step == "pay":
                pay(tenant_id, amount + 1)
            else:
                book(tenant_id, hold(tenant_id, amount) if step == "hold" else spend(tenant_id, amount))
        except InsufficientBalance:
            assert amount > money_of(tenant_id).balance

    with tenant_tx(tenant_id):
        booked = list(LedgerTransfer.objects.all())

    def sum_of(account: str) -> int:
        return sum(
            transfer.amount_micros
            * ((transfer.credit_account == account) - (transfer.debit_account == account))
            for transfer in booked
        )

    assert money_of(tenant_id) == (sum_of(own), sum_of(held))
    assert min(money_of(tenant_id)) >= 0
