"""Fields that several management endpoints take."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

UNITS_MAX = 32
QUANTITY_MAX = 2**53 - 1


class Slug(serializers.RegexField):
    def __init__(self, **options: Any) -> None:
        super().__init__(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z", **{"max_length": 50, **options})


class Region(serializers.RegexField):
    def __init__(self, **options: Any) -> None:
        super().__init__(
            r"^[A-Za-z0-9][A-Za-z0-9._/-]*\Z", **{"max_length": 50, "allow_blank": True, **options}
        )


class ModelGlobs(serializers.ListField):
    """Names of models; * and ? stand for any letters and one."""

    def __init__(self, **options: Any) -> None:
        child = serializers.RegexField(r"^[A-Za-z0-9*?\[\]!._:/-]+\Z", max_length=128)
        super().__init__(child=child, max_length=256, **options)


class GpuClasses(serializers.ListField):
    """Values of the label gpu_type."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=serializers.CharField(max_length=50), max_length=64, **options)


class Quantities(serializers.JSONField):
    """`{"tokens": {"day": 1000000, "month": null}}`"""

    def to_internal_value(self, data: Any) -> dict[str, dict[str, int | None]]:
        if not isinstance(data, dict) or len(data) > UNITS_MAX:
            raise serializers.ValidationError('This takes an object such as {"images": {"day": 100}}.')
        return {self._unit(unit): self._periods(unit, limits) for unit, limits in data.items()}

    def _unit(self, unit: Any) -> str:
        if not isinstance(unit, str) or not unit.isidentifier() or len(unit) > 50:
            raise serializers.ValidationError(f"{unit!r} is no unit.")
        return unit

    def _periods(self, unit: str, limits: Any) -> dict[str, int | None]:
        if not isinstance(limits, dict) or not {"day", "month"}.issuperset(limits):
            raise serializers.ValidationError(f"{unit} takes day and month.")
        for limit in limits.values():
            is_number = isinstance(limit, int) and not isinstance(limit, bool)
            if limit is not None and (not is_number or not 0 <= limit <= QUANTITY_MAX):
                raise serializers.ValidationError(f"A limit of {unit} is a number from 0, or null.")
        return limits
