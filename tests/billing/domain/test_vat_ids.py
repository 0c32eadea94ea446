from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
import pytest

from billing.domain.account_terms import change_terms
from billing.domain.accounts import find_account
from billing.domain.vat_ids import VIES, check_vat_ids, compact, is_business
from billing.models import BillingAccount
from gdpr.fetcher import Fetched, FetchFailed
from gdpr.scope import tenant_tx
from tests.factories.billing import make_seller
from tests.factories.tenants import TESTER, make_tenant

VALID = [("NL", "NL123456782B90"), ("DE", "DE136695976"), ("AT", "ATU13585627"), ("GR", "EL094259216")]


class Register:
    """Answers as VIES does, which no test may call."""

    def __init__(
        self, body: bytes = b'{"valid": true}', status: int = 200, error: Exception | None = None
    ) -> None:
        self.answer, self.error = (
            Fetched(status=status, headers={}, body=body, is_cut=False, latency_ms=1),
            error,
        )
        self.asked: list[tuple[str, str, Any]] = []

    async def __call__(self, method: str, url: str, *, content: bytes, **_: Any) -> Fetched:
        self.asked.append((method, url, msgspec.json.decode(content)))
        if self.error:
            raise self.error
        return self.answer


def business(country: str = "DE", vat_id: str = "DE136695976") -> UUID:
    tenant_id = make_tenant().id
    change_terms(tenant_id, {"country": country, "vat_id": vat_id}, actor=TESTER)
    return tenant_id


def account(tenant_id: UUID) -> BillingAccount:
    with tenant_tx(tenant_id):
        return find_account(tenant_id)


@pytest.mark.parametrize(("country", "vat_id"), VALID)
def test_shape_is_that_of_the_country(country: str, vat_id: str) -> None:
    assert compact(f" {vat_id.lower()[:2]} {vat_id[2:5]}-{vat_id[5:]}", country) == vat_id
    with pytest.raises(ValueError, match="begins with"):
        compact(vat_id, "FR")
    with pytest.raises(ValueError):
        compact(vat_id[:-1], country)


@pytest.mark.django_db
def test_register_is_asked_once_and_its_answer_kept_with_the_day() -> None:
    make_seller(checks_vat_ids=True)
    tenant_id, register = business(), Register()

    assert (check_vat_ids(register), check_vat_ids(register)) == (1, 0)

    assert register.asked == [("POST", VIES, {"countryCode": "DE", "vatNumber": "136695976"})]
    found = account(tenant_id)
    assert (found.vat_is_valid, is_business(found)) == (True, True)
    assert found.vat_checked_at is not None


@pytest.mark.django_db
def test_number_that_the_register_denies_is_no_business() -> None:
    make_seller(checks_vat_ids=True)
    tenant_id = business()

    check_vat_ids(Register(b'{"valid": false}'))
    assert not is_business(account(tenant_id))
    change_terms(tenant_id, {"vat_id": "DE129273398"}, actor=TESTER)
    assert (account(tenant_id).vat_is_valid, is_business(account(tenant_id))) == (None, True)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "register",
    [
        Register(error=FetchFailed("timed_out")),
        Register(status=500),
        Register(b"<html>"),
        Register(b'{"actionSucceed": false}'),
    ],
)
def test_register_that_is_away_holds_up_nothing(register: Register) -> None:
    make_seller(checks_vat_ids=True)
    tenant_id = business()

    assert check_vat_ids(register) == 0
    assert (account(tenant_id).vat_is_valid, is_business(account(tenant_id))) == (None, True)
    assert check_vat_ids(Register()) == 1


@pytest.mark.django_db
def test_register_is_asked_only_where_the_operator_wants_it() -> None:
    make_seller()
    business()
    register = Register()

    assert check_vat_ids(register) == 0
    assert register.asked == []


@pytest.mark.django_db
def test_vat_id_of_another_country_than_the_account_makes_no_business() -> None:
    tenant_id = business()
    with tenant_tx(tenant_id):
        BillingAccount.objects.update(country="FR")

    assert not is_business(account(tenant_id))
