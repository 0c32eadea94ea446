from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenants.domain.limit_shape import (
    NO_LIMITS,
    RATES,
    UNITS,
    LevelLimits,
    LimitsRefused,
    PerPeriod,
    changed,
    joined,
    read_limits,
)

amounts = st.none() | st.integers(0, 2**31 - 1)
periods = st.fixed_dictionaries({}, optional={"day": amounts, "month": amounts})
changes = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(RATES, amounts),
        "quantities": st.none() | st.dictionaries(st.sampled_from(UNITS), st.none() | periods),
        "spend_micros": st.none() | periods,
        "soft": st.booleans(),
    },
)


@given(st.lists(changes, max_size=6))
def test_changes_are_kept_as_they_were_made(made: list[dict[str, Any]]) -> None:
    limits = NO_LIMITS
    for change in made:
        before, limits = limits, changed(limits, change)
        assert read_limits(msgspec.to_builtins(limits)) == limits
        for name in (*RATES, "soft"):
            assert getattr(limits, name) == change.get(name, getattr(before, name))
        assert PerPeriod() not in limits.periods.values()
        assert limits.version == before.version + (not limits.counted <= before.counted)


def test_a_limit_that_was_taken_away_comes_back_as_another() -> None:
    """Its counter missed what was used in between."""
    first = changed(NO_LIMITS, {"quantities": {"tokens": {"day": 1}}})
    gone = changed(first, {"quantities": None})
    again = changed(gone, {"quantities": {"tokens": {"day": 1}}})
    assert (first.version, gone.version, again.version) == (1, 1, 2)
    assert gone.counted == set()


@pytest.mark.parametrize("stored", [None, {}])
def test_nothing_stored_is_no_limit(stored: Any) -> None:
    assert read_limits(stored) == NO_LIMITS == LevelLimits()


@pytest.mark.parametrize("amount", [-1, 2**53, 1.5, "1", True])
def test_amounts_are_whole_numbers_that_json_keeps(amount: Any) -> None:
    with pytest.raises(LimitsRefused) as refused:
        changed(NO_LIMITS, {"quantities": {"tokens": {"day": amount}}})
    assert refused.value.param.startswith("quantities")


@given(st.lists(changes, max_size=3), st.lists(changes, max_size=3))
def test_tenants_quantity_is_its_own_or_else_its_plans(
    of_plan: list[dict[str, Any]], of_tenant: list[dict[str, Any]]
) -> None:
    plan, own = NO_LIMITS, NO_LIMITS
    for change in of_plan:
        plan = changed(plan, change)
    for change in of_tenant:
        own = changed(own, change)

    both = joined(plan, own)

    for unit in (*UNITS, "spend_micros"):
        for period in ("day", "month"):
            plans, owns = (getattr(each.periods.get(unit, PerPeriod()), period) for each in (plan, own))
            assert getattr(both.periods.get(unit, PerPeriod()), period) == (plans if owns is None else owns)
    assert both.soft == (plan.soft or own.soft)
    assert both.version == plan.version + own.version
    assert joined(NO_LIMITS, own) is own
