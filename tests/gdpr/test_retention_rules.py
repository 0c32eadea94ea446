import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from gdpr.retention_rules import read_retention

moments = st.datetimes(
    min_value=datetime(2001, 1, 1), max_value=datetime(2090, 1, 1), timezones=st.just(UTC)
)


@given(written=moments, now=moments, years=st.integers(1, 12))
def test_calendar_years_end_with_the_last_one(written: datetime, now: datetime, years: int) -> None:
    cutoff = read_retention(f"{years} calendar years after at").cutoff(now)

    assert cutoff is not None
    assert (written < cutoff) == (now.year > written.year + years)


@given(written=moments, now=moments, days=st.integers(0, 400))
def test_days_are_days(written: datetime, now: datetime, days: int) -> None:
    cutoff = read_retention(f"{days} days after at").cutoff(now)

    assert cutoff is not None
    assert (written < cutoff) == (now - written > timedelta(days=days))


@given(now=moments, months=st.integers(1, 40))
def test_months_are_never_shorter_than_their_days(now: datetime, months: int) -> None:
    cutoff = read_retention(f"{months} months after at").cutoff(now)

    assert cutoff is not None
    assert (now.year - cutoff.year) * 12 + now.month - cutoff.month == months
    assert cutoff.day <= now.day
    assert cutoff.day == now.day or (cutoff + timedelta(days=1)).day == 1


@pytest.mark.parametrize(
    "text",
    ["", "forever", "90 days", "days after at", "90 weeks after at", "-1 days after at", "with the cat",
     "RBEE days after at", "90 days after At; DROP", "90 days after at "],
)  # fmt: skip
def test_what_code_cannot_apply_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no retention"):
        read_retention(text)


def test_companions_and_parents_are_ended_by_no_clock() -> None:
    now = datetime(2027, 1, 31, tzinfo=UTC)

    assert read_retention("with the tenant").companion == "tenant"
    assert read_retention("with its invoice").parent == "invoice"
    assert read_retention("with the tenant").cutoff(now) is None
    assert read_retention("with its invoice").cutoff(now) is None


def test_setting_counts_as_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "RBEE", dataclasses.replace(settings.RBEE, decision_days=3))
    rule = read_retention("RBEE_DECISION_DAYS days after at")

    assert rule.in_words() == "3 days after at"
    assert rule.cutoff(datetime(2027, 1, 31, tzinfo=UTC)) == datetime(2027, 1, 28, tzinfo=UTC)
