from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.domain.prices import ensure_card, set_price
from billing.domain.pricing import billable
from billing.domain.rating import Terms, rate, total_picos
from tests.factories.billing import make_event, make_price, used_quantities
from tests.factories.tenants import TESTER, make_plan, make_project, unique

pytestmark = pytest.mark.django_db
OCTOBER, NOVEMBER = date(2026, 10, 1), date(2026, 11, 1)
COUNTED = st.sampled_from(
    ["prompt_tokens", "cached_tokens", "images", "images_64x64", "images_512x512", "engine_ms", "requests"]
)


def quantities(project: Any, first: date = OCTOBER, following: date = NOVEMBER) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in used_quantities(project.tenant_id, "EUR", first, following):
        found[each.unit] = found.get(each.unit, 0) + each.quantity
    return found


def test_only_charged_tasks_of_the_period_count() -> None:
    project, price = make_project(), make_price()
    for day in (date(2026, 9, 30), OCTOBER, date(2026, 10, 31), NOVEMBER):
        make_event(project, price, day, usage={"prompt_tokens": 10})
    make_event(project, price, OCTOBER, usage={"prompt_tokens": 100}, outcome="client_cancelled")
    for outcome in ("worker_failed", "rejected", "timed_out"):
        make_event(project, price, OCTOBER, usage={"prompt_tokens": 1000}, outcome=outcome)
    make_event(make_project(), price, OCTOBER)

    assert quantities(project) == {"prompt_tokens": 120, "requests": 3}
    assert quantities(project, OCTOBER, date(2026, 10, 15)) == {"prompt_tokens": 110, "requests": 2}
    assert quantities(project, date(2026, 9, 1), date(2026, 12, 1)) == {"prompt_tokens": 140, "requests": 5}


def test_each_price_version_project_and_currency_is_apart() -> None:
    project, model = make_project(), unique("model")
    other = make_project(project.tenant)
    cheap, dear = make_price(model), make_price(model, prices={"prompt_tokens": 1, "completion_tokens": 2})
    dollars = set_price(
        model,
        {"prompt_tokens": 7},
        card=ensure_card(unique("card"), currency="USD", plan=make_plan(), actor=TESTER),
        actor=TESTER,
    )
    for where, price in ((project, cheap), (project, dear), (other, dear), (project, dollars)):
        make_event(where, price, OCTOBER)

    found = used_quantities(project.tenant_id, "EUR", OCTOBER, NOVEMBER)
    tokens = [(each.project_id, each.price.id) for each in found if each.unit == "prompt_tokens"]
    assert sorted(tokens) == sorted(
        [(project.id.hex, cheap.id.hex), (project.id.hex, dear.id.hex), (other.id.hex, dear.id.hex)]
    )
    assert [each.price.prices for each in used_quantities(project.tenant_id, "USD", OCTOBER, NOVEMBER)] == [
        {"prompt_tokens": 7}
    ] * 2


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.dictionaries(COUNTED, st.integers(0, 1000)), min_size=1, max_size=3),
    st.sets(COUNTED.filter(lambda unit: unit != "requests"), min_size=1),
)
def test_quantities_are_those_of_each_task_added_up(usages: list[dict[str, int]], priced: set[str]) -> None:
    project, price = make_project(), make_price(prices=dict.fromkeys(priced, 1))
    for usage in usages:
        make_event(project, price, OCTOBER, usage=usage)

    expected: dict[str, int] = {}
    for usage in usages:
        for unit, quantity in billable(price.prices, usage).items():
            expected[unit] = expected.get(unit, 0) + quantity
    assert quantities(project) == {unit: quantity for unit, quantity in expected.items() if quantity}


def test_a_month_is_rated_from_the_books() -> None:
    project = make_project()
    price = make_price(prices={"prompt_tokens": 1_000_000, "completion_tokens": 2_000_000})
    for _ in range(3):
        make_event(project, price, OCTOBER, usage={"prompt_tokens": 500_000, "completion_tokens": 250_000})

    used = used_quantities(project.tenant_id, "EUR", OCTOBER, NOVEMBER)

    assert total_picos(rate(Terms(currency="EUR"), used)) == 3 * 10**12
    assert total_picos(rate(Terms(currency="EUR", discount_bp=2500), used)) == 225 * 10**10
