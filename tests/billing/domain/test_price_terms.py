from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from django.utils import timezone

from billing.domain.price_terms import (
    give_discount,
    set_terms,
    terms_of,
    terms_versions,
    withdraw_terms,
)
from billing.domain.prices import (
    NoPrice,
    create_card,
    current_prices,
    ensure_card,
    prices_paid,
    set_price,
    withdraw_price,
)
from billing.domain.rating import Terms
from billing.domain.units import PriceRefused
from billing.models import PriceCard, PriceTerms
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from tenants.domain.tenancy import StateRefused, TenantTaken
from tenants.models import Tenant
from tests.factories.billing import PRICES, make_card, make_price
from tests.factories.inference import make_model
from tests.factories.tenants import TESTER, make_plan, make_tenant, unique

pytestmark = pytest.mark.django_db


def this_month(later: int = 0) -> date:
    month = timezone.now().astimezone(UTC).date().replace(day=1)
    for _ in range(later):
        month = (month + timedelta(days=31)).replace(day=1)
    return month


def make_plan_card(currency: str = "EUR") -> tuple[PriceCard, Tenant]:
    plan = make_plan()
    return ensure_card(unique("card"), currency=currency, plan=plan, actor=TESTER), make_tenant(plan=plan)


def some(discount_bp: int, currency: str = "EUR") -> Terms:
    return Terms(currency=currency, discount_bp=discount_bp)


def test_terms_hold_from_their_month_on() -> None:
    card, tenant = make_plan_card()

    first = set_terms(card, some(100), actor=TESTER)
    same = set_terms(card, some(100), actor=TESTER)
    later = set_terms(card, some(200), actor=TESTER)

    assert (first.valid_from, same.id, later.valid_from) == (this_month(), first.id, this_month(1))
    assert [terms_of(tenant.id, on=this_month(months)).discount_bp for months in (0, 1, 5)] == [100, 200, 200]
    with colony_tx("tests"):
        entry = AuditEntry.objects.get(object_ref=f"price_terms:{later.id.hex}")
    assert (entry.event, entry.details["terms"]["discount_bp"]) == ("price_terms.set", 200)


@pytest.mark.parametrize("valid_from", [date(2020, 1, 1), date(2999, 1, 2)])
def test_terms_begin_with_a_month_that_is_not_over(valid_from: date) -> None:
    with pytest.raises(PriceRefused):
        set_terms(make_plan_card()[0], some(100), valid_from=valid_from, actor=TESTER)


def test_plan_without_terms_has_those_of_everybody_in_its_currency() -> None:
    _, euros = make_plan_card()
    default = make_card()
    set_terms(default, some(300), valid_from=this_month(), actor=TESTER)

    assert terms_of(euros.id).discount_bp == 300
    assert terms_of(euros.id, currency="USD") == Terms(currency="USD")


def test_discount_of_a_tenant_takes_the_place_of_its_cards() -> None:
    card, tenant = make_plan_card()
    set_terms(card, some(100), actor=TESTER)

    give_discount(tenant, 1500, reason="two years", actor=TESTER)
    give_discount(tenant, None, reason="it ended", valid_from=this_month(2), actor=TESTER)

    assert [terms_of(tenant.id, on=this_month(months)).discount_bp for months in (0, 1, 2)] == [
        1500,
        1500,
        100,
    ]
    for bp, reason in ((10_001, "x"), (-1, "x"), (5, " "), (5, "x" * 201)):
        with pytest.raises(PriceRefused):
            give_discount(tenant, bp, reason=reason, actor=TESTER)
    with colony_tx("tests"):
        entry = AuditEntry.objects.filter(event="tenant_discount.given", tenant_id=tenant.id).first()
    assert entry is not None
    assert "reason" not in entry.details


def test_version_that_has_not_begun_is_withdrawn_and_no_other() -> None:
    card, tenant = make_plan_card()
    held, coming = set_terms(card, some(100), actor=TESTER), set_terms(card, some(200), actor=TESTER)

    with pytest.raises(StateRefused, match="has begun"):
        withdraw_terms(held, actor=TESTER)
    withdraw_terms(coming, actor=TESTER)
    with pytest.raises(StateRefused, match="already"):
        withdraw_terms(coming, actor=TESTER)

    assert list(terms_versions().filter(card=card)) == [held]
    assert PriceTerms.objects.filter(card=card).count() == 2
    assert terms_of(tenant.id, on=this_month(3)).discount_bp == 100


def test_price_that_is_withdrawn_never_holds() -> None:
    model, soon = unique("model"), timezone.now() + timedelta(days=2)
    today = make_price(model)
    coming = make_price(model, prices={"prompt_tokens": 9}, valid_from=soon)

    with pytest.raises(StateRefused):
        withdraw_price(today, actor=TESTER)
    withdraw_price(coming, actor=TESTER)

    assert [
        price.id for price in current_prices(make_card(), soon + timedelta(days=1)) if price.model == model
    ] == [today.id]
    again = make_price(model, prices={"prompt_tokens": 9}, valid_from=soon)
    assert again.version == coming.version + 1


def test_price_of_today_is_not_mistaken_for_that_of_tomorrow() -> None:
    model, soon = unique("model"), timezone.now() + timedelta(days=2)
    make_price(model)
    coming = make_price(model, prices={"prompt_tokens": 9}, valid_from=soon)

    today = make_price(model, prices={"prompt_tokens": 9})
    assert today.id != coming.id
    with pytest.raises(PriceRefused, match="at once or later"):
        make_price(model, valid_from=datetime(2020, 1, 1, tzinfo=UTC))


def test_published_model_keeps_prices_for_what_it_meters() -> None:
    model = make_model(is_free=False, prices=PRICES)

    with pytest.raises(NoPrice, match="completion_tokens"):
        make_price(model.name, prices={"prompt_tokens": 1})
    for prices in ({"engine_ms": 1}, {"requests": 1}, {"prompt_tokens": 1, "completion_tokens": 0}):
        assert make_price(model.name, prices=prices).prices == prices
    with pytest.raises(NoPrice):
        set_price(model.name, {"images": 1}, card=make_plan_card()[0], actor=TESTER)


def test_there_is_one_card_of_a_name_and_of_a_plan() -> None:
    card, tenant = make_plan_card()
    for slug, plan in ((card.slug, make_plan()), (unique("card"), tenant.plan)):
        with pytest.raises(TenantTaken):
            create_card(slug, plan=plan, actor=TESTER)
    assert ensure_card(unique("card"), plan=tenant.plan, actor=TESTER) == card


def test_plan_pays_its_own_prices_before_those_of_everybody() -> None:
    card, tenant = make_plan_card()
    model, other = unique("model"), unique("model")
    shared, own = make_price(model), set_price(model, {"prompt_tokens": 3}, card=card, actor=TESTER)
    everybodys = make_price(other)

    assert prices_paid(tenant.plan, [model, other]) == {model: own, other: everybodys}
    assert prices_paid(make_plan(), [model]) == {model: shared}
    any_model = set_price("*", {"prompt_tokens": 5}, card=card, actor=TESTER)
    assert prices_paid(tenant.plan, [model, other]) == {model: own, other: any_model}
