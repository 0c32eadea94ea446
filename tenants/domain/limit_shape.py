"""What a tenant, a project, a key, or each end user of a tenant may use. All levels hold at the same time.

A limit that is not there is none. A level that is `soft` refuses nobody: what is beyond it is told, to the caller by a
header and to the tenant by notices. No Django here: the lane is measured without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

Rate = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Quantity = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Unit = Literal["requests", "tokens", "images", "audio_seconds", "video_seconds", "gpu_seconds"]
Level = Literal["tenant", "project", "key", "subject"]

UNITS: Final = get_args(Unit)
LEVELS: Final = get_args(Level)
SPEND: Final = "spend_micros"
PERIODS: Final = ("day", "month")
RATES: Final = ("requests_per_minute", "tokens_per_minute", "concurrent_tasks")


class LimitsRefused(ValueError):
    """`param` names the field at fault."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class PerPeriod(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Days and months are those of UTC."""

    day: Quantity | None = None
    month: Quantity | None = None


class LevelLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    requests_per_minute: Rate | None = None
    tokens_per_minute: Rate | None = None
    concurrent_tasks: Rate | None = None
    quantities: dict[Unit, PerPeriod] = {}
    spend_micros: PerPeriod | None = None
    soft: bool = False
    # Of the counters: what a limit that came later has to count is in the books, not in a counter of before.
    version: Annotated[int, Meta(ge=0)] = 0

    @property
    def periods(self) -> dict[str, PerPeriod]:
        """By unit, money included."""
        periods: dict[str, PerPeriod] = dict(self.quantities.items())
        if self.spend_micros is not None:
            periods[SPEND] = self.spend_micros
        return periods

    @property
    def counted(self) -> set[tuple[str, str]]:
        """Unit and period of each quantity that has a limit."""
        return {
            (unit, period)
            for unit, limits in self.periods.items()
            for period in PERIODS
            if getattr(limits, period) is not None
        }


NO_LIMITS: Final = LevelLimits()


class Levels(msgspec.Struct, frozen=True):
    """Of a caller. The tenant's rates and tokens a day are in its columns and its plan's."""

    tenant: LevelLimits = NO_LIMITS
    project: LevelLimits = NO_LIMITS
    key: LevelLimits = NO_LIMITS
    subject: LevelLimits = NO_LIMITS


NO_LEVELS: Final = Levels()


def joined(plan: LevelLimits, own: LevelLimits) -> LevelLimits:
    """Of a tenant, but for its rates, which are in columns: each limit is its own, or else its plan's. Soft when either
    is. The version grows with both."""
    if plan == NO_LIMITS:
        return own
    quantities = {
        unit: _joined(plan.quantities.get(unit), own.quantities.get(unit))
        for unit in UNITS
        if unit in plan.quantities or unit in own.quantities
    }
    spend = _joined(plan.spend_micros, own.spend_micros)
    return LevelLimits(
        quantities=quantities,
        spend_micros=None if spend == PerPeriod() else spend,
        soft=plan.soft or own.soft,
        version=plan.version + own.version,
    )


def _joined(plans: PerPeriod | None, own: PerPeriod | None) -> PerPeriod:
    plans, own = plans or PerPeriod(), own or PerPeriod()
    return PerPeriod(
        day=plans.day if own.day is None else own.day,
        month=plans.month if own.month is None else own.month,
    )


class _Given(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A change: what is left out stays as it is, null takes a limit away."""

    requests_per_minute: Rate | UnsetType | None = UNSET
    tokens_per_minute: Rate | UnsetType | None = UNSET
    concurrent_tasks: Rate | UnsetType | None = UNSET
    quantities: dict[Unit, PerPeriod | None] | UnsetType | None = UNSET
    spend_micros: PerPeriod | UnsetType | None = UNSET
    soft: bool | UnsetType = UNSET


def read_limits(stored: Any) -> LevelLimits:
    """Of a column. Raises LimitsRefused."""
    try:
        return msgspec.convert(stored or {}, LevelLimits)
    except msgspec.ValidationError as error:
        raise _refused(error) from None


def changed(before: LevelLimits, change: Mapping[str, Any]) -> LevelLimits:
    """The one check of what anybody sets. Raises LimitsRefused."""
    try:
        given = msgspec.convert(dict(change), _Given)
    except msgspec.ValidationError as error:
        raise _refused(error) from None
    fields: dict[str, Any] = {
        name: value for name in (*RATES, "soft") if (value := getattr(given, name)) is not UNSET
    }
    if given.quantities is None:
        fields["quantities"] = {}
    elif given.quantities is not UNSET:
        quantities = {**before.quantities, **given.quantities}
        fields["quantities"] = {
            unit: limits for unit, limits in quantities.items() if limits not in (None, PerPeriod())
        }
    if given.spend_micros is not UNSET:
        fields["spend_micros"] = None if given.spend_micros == PerPeriod() else given.spend_micros
    after = msgspec.structs.replace(before, **fields)
    return msgspec.structs.replace(after, version=before.version + bool(after.counted - before.counted))


def _refused(error: msgspec.ValidationError) -> LimitsRefused:
    problem, _, place = str(error).partition(" - at ")
    param = place.replace("`", "").removeprefix("key in ").removeprefix("$").removeprefix(".") or "limits"
    if place.startswith("`key in"):
        problem = f"a unit is one of {', '.join(UNITS)}"
    return LimitsRefused(param, f"{problem.replace('`', '')}.")
