"""How long something is kept, in words that are also what the code does.

    with the tenant | person | subject      until they are erased: nothing but the erasure ends it
    with the colony                         as long as this installation: what the operator sets up
    with its invoice                        until the row goes that this column refers to
    24 hours after created_at               days, months too
    RBEE_DECISION_DAYS days after at        as the operator set it
    7 calendar years after at               until the end of the seventh year after that of `at`
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

COMPANIONS: Final = ("tenant", "person", "subject", "colony")

_PARENT: Final = re.compile(r"with its ([a-z_]+)")
_RULE: Final = re.compile(r"(\d+|RBEE_[A-Z_]+) (hours|days|months|calendar years) after ([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Retention:
    text: str
    companion: str = ""  # whose end ends it; empty: time does
    parent: str = ""  # the column that refers to the row whose end ends it
    amount: int = 0
    setting: str = ""  # in place of `amount`: the name of a setting of rbee
    unit: str = ""
    column: str = ""

    @property
    def is_timed(self) -> bool:
        return not self.companion and not self.parent

    def length(self) -> int:
        if not self.setting:
            return self.amount
        from django.conf import settings

        return int(getattr(settings.RBEE, self.setting.removeprefix("RBEE_").lower()))

    def cutoff(self, now: datetime) -> datetime | None:
        """What is older goes. None: no time ends it."""
        if not self.is_timed:
            return None
        amount, now = self.length(), now.astimezone(UTC)
        if self.unit == "calendar years":
            return datetime(now.year - amount, 1, 1, tzinfo=UTC)
        if self.unit == "months":
            return _months_before(now, amount)
        return now - timedelta(**{self.unit: amount})

    def in_words(self) -> str:
        """With the number that is in force in place of a setting's name."""
        return self.text.replace(self.setting, str(self.length())) if self.setting else self.text


def read_retention(text: str) -> Retention:
    """Raises ValueError."""
    companion = text.removeprefix("with the ")
    if companion != text and companion in COMPANIONS:
        return Retention(text, companion=companion)
    if parent := _PARENT.fullmatch(text):
        return Retention(text, parent=parent[1])
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is no retention: say `with the {'|'.join(COMPANIONS)}`, or `30 days after created_at`"
        )
    amount, unit, column = match.groups()
    if amount.startswith("RBEE_"):
        return Retention(text, setting=amount, unit=unit, column=column)
    return Retention(text, amount=int(amount), unit=unit, column=column)


def _months_before(now: datetime, months: int) -> datetime:
    years, index = divmod(now.month - 1 - months, 12)
    year, month = now.year + years, index + 1
    for day in range(now.day, 0, -1):  # the 31st of a month of 30 days is its last one
        try:
            return now.replace(year=year, month=month, day=day)
        except ValueError:
            continue
    raise AssertionError("every month has a first day")
