"""Fields that several management endpoints take."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.domain.consents import PURPOSE


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


class Purposes(serializers.ListField):
    """What consent is asked for."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=Purpose(), max_length=32, **options)


class Purpose(serializers.RegexField):
    def __init__(self, **options: Any) -> None:
        said = {"invalid": "A purpose has lower-case letters, digits and _, such as data_processing."}
        super().__init__(PURPOSE, **{"max_length": 64, "error_messages": said, **options})


class GpuClasses(serializers.ListField):
    """Values of the label gpu_type."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=serializers.CharField(max_length=50), max_length=64, **options)


class PerPeriodFields(serializers.Serializer[Any]):
    day = serializers.IntegerField(required=False, allow_null=True, min_value=0)
    month = serializers.IntegerField(required=False, allow_null=True, min_value=0)


class LimitsFields(serializers.Serializer[Any]):
    """For the schema: `tenants.domain.limit_shape` checks."""

    requests_per_minute = serializers.IntegerField(required=False, allow_null=True, min_value=0)
    tokens_per_minute = serializers.IntegerField(required=False, allow_null=True, min_value=0)
    concurrent_tasks = serializers.IntegerField(required=False, allow_null=True, min_value=0)
    quantities = serializers.DictField(
        child=PerPeriodFields(),
        required=False,
        allow_null=True,
        help_text="By unit: requests, tokens, images, audio_seconds, video_seconds, gpu_seconds",
    )
    spend_micros = PerPeriodFields(required=False, allow_null=True)
    soft = serializers.BooleanField(required=False, help_text="Warn, and refuse nobody")


class ShownOnce(serializers.CharField):
    """A secret of its view's `shown_once`."""

    def __init__(self, and_more: str = "") -> None:
        super().__init__(allow_null=True, help_text=f"Shown this once, not in a repeated answer{and_more}")
