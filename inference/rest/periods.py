"""The time that a report is of: a month, or since and until."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from billing.domain.gpu_books import Period
from billing.domain.monthly_usage import next_month

FIRST = date(2020, 1, 1)


@extend_schema_field({"type": "string", "pattern": r"^\d{4}-\d\d$"})
class MonthField(serializers.Field[date, str, str, Any]):
    def to_internal_value(self, data: str) -> date:
        if not re.fullmatch(r"\d{4}-\d\d", str(data)):
            raise serializers.ValidationError("A month is written like 2027-01.")
        try:
            month = date(int(data[:4]), int(data[5:]), 1)
        except ValueError:
            raise serializers.ValidationError("There is no such month.") from None
        if not FIRST <= month <= datetime.now(UTC).date():
            raise serializers.ValidationError("This month has not begun, or is long ago.")
        return month

    def to_representation(self, value: date) -> str:
        return f"{value:%Y-%m}"


class PeriodQuery(serializers.Serializer[Any]):
    month = MonthField(required=False, help_text="As 2027-01; left out, with since: the running one")
    since = serializers.DateTimeField(required=False, help_text="As 2027-01-31T00:00:00Z; by admission")
    until = serializers.DateTimeField(required=False, help_text="Excluded")


class FormatQuery(serializers.Serializer[Any]):
    format = serializers.ChoiceField(["json", "csv"], required=False, help_text="Or `Accept: text/csv`")


def period_of(query: Mapping[str, Any]) -> Period:
    """Not beyond now. Raises ValidationError."""
    now = datetime.now(UTC)
    if "since" in query:
        if "month" in query:
            raise ValidationError({"month": ["Send a month, or since and until."]})
        since, until = query["since"], min(query.get("until", now), now)
        if not datetime(FIRST.year, 1, 1, tzinfo=UTC) <= since < until:
            raise ValidationError({"since": ["This is after until, in the future, or long ago."]})
        return Period(since.astimezone(UTC), until.astimezone(UTC))
    if "until" in query:
        raise ValidationError({"since": ["Until takes a since."]})
    return month_period(query.get("month") or now.date().replace(day=1))


def month_period(month: date) -> Period:
    return Period(_midnight(month), min(_midnight(next_month(month)), datetime.now(UTC)))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
