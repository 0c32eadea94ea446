"""What the endpoints of policies take and give."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from inference.enums import OnError, VersionStatus
from tenants.api.base import PageQuery

MAX_SOURCE_CHARS: Final = 1 << 18
MAX_LAST: Final = 5000
VERSION_ORIGINS: Final = ("api", "file")
_WHOSE: Final = "For the operator: a tenant's; left out: its own"
_EXPECTED: Final = "The number of the version that is in force as far as you know, 0 for none. Refused with 409 when it is another"


class OwnerQuery(serializers.Serializer[Any]):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text=_WHOSE)


class PolicyQuery(PageQuery):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text=_WHOSE)
    number = serializers.IntegerField(
        min_value=1, max_value=2**31 - 1, required=False, help_text="That version alone"
    )


class LogQuery(PageQuery):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text=_WHOSE)


class _Source(serializers.Serializer[Any]):
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=MAX_SOURCE_CHARS, trim_whitespace=False, required=False, help_text="A script in Rhai"
    )
    rules = serializers.CharField(
        max_length=MAX_SOURCE_CHARS,
        trim_whitespace=False,
        required=False,
        help_text="In place of `source`: rules in YAML, from which the script is made",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("source" in attrs) == ("rules" in attrs):
            raise serializers.ValidationError({"source": ["Give either source or rules."]})
        return attrs


class NewPolicy(_Source):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text=_WHOSE)
    comment = serializers.CharField(max_length=200, default="", allow_blank=True)
    activate = serializers.BooleanField(default=False)
    on_error = serializers.ChoiceField(
        OnError.choices, required=False, help_text="Only for the operator. What an error of route_task means"
    )
    expected_active = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, required=False, help_text=_EXPECTED
    )


class Activate(serializers.Serializer[Any]):
    expected_active = serializers.IntegerField(
        min_value=0, max_value=2**31 - 1, required=False, help_text=_EXPECTED
    )


class RollBack(Activate):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text=_WHOSE)


class DryRun(serializers.Serializer[Any]):
    last = serializers.IntegerField(
        min_value=1, max_value=MAX_LAST, default=500, help_text="So many of the newest recorded decisions"
    )


class DryRunOfSource(_Source, DryRun):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text=_WHOSE)


class PolicySettings(serializers.Serializer[Any]):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text=_WHOSE)
    on_error = serializers.ChoiceField(OnError.choices)


class SettingsOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="policy")
    tenant = serializers.CharField(allow_null=True, help_text="null: the operator's")
    origin = serializers.ChoiceField(
        ["file", "database", "default", "none"], help_text="Where the script in force comes from"
    )
    file = serializers.CharField(allow_null=True, help_text="Of the queen's machine, while it is the policy")
    number = serializers.IntegerField(allow_null=True, help_text="Of the version in force")
    sha256 = serializers.CharField(allow_null=True)
    on_error = serializers.ChoiceField(OnError.choices)


class PolicyOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="policy_version")
    tenant = serializers.CharField(allow_null=True, help_text="null: the operator's")
    number = serializers.IntegerField()
    status = serializers.ChoiceField(VersionStatus.choices)
    origin = serializers.ChoiceField(list(VERSION_ORIGINS))
    sha256 = serializers.CharField()
    comment = serializers.CharField()
    author = serializers.CharField(help_text="As in the audit log: key:…")
    created_at = serializers.DateTimeField()
    activated_at = serializers.DateTimeField(allow_null=True)
    vetted_at = serializers.DateTimeField(allow_null=True, help_text="null: it cannot be in force")
    disabled_at = serializers.DateTimeField(
        allow_null=True, help_text="It crashed; it is never in force again"
    )
    disabled_reason = serializers.CharField()


class PolicyWithSource(PolicyOut):
    source = serializers.CharField()  # type: ignore[assignment]
    rules = serializers.CharField(help_text="Of which `source` was made; empty: it was written as it is")


class FindingOut(serializers.Serializer[Any]):
    function = serializers.CharField()
    problem = serializers.CharField()
    count = serializers.IntegerField(help_text="Of the `of` calls that were tried")
    of = serializers.IntegerField()
    examples = serializers.ListField(child=serializers.CharField())


class SavedPolicy(PolicyWithSource):
    findings = FindingOut(many=True, help_text="What it stumbles over when it is given the strangest")


class DiffOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="policy_diff")
    old = PolicyOut(allow_null=True)
    new = PolicyOut()
    diff = serializers.CharField(help_text="Unified; empty: no difference")
    added = serializers.IntegerField(help_text="lines")
    removed = serializers.IntegerField(help_text="lines")


class DiffQuery(serializers.Serializer[Any]):
    against = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=36,
        help_text="An id, or `active`; left out: the version before",
    )


class LogEntryOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="policy_event")
    event = serializers.CharField()
    at = serializers.DateTimeField()
    actor = serializers.CharField()
    version = serializers.UUIDField(allow_null=True)
    details = serializers.DictField()


class SideOut(serializers.Serializer[Any]):
    origin = serializers.CharField()
    number = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True)
    outcomes = serializers.DictField(child=serializers.IntegerField())
    codes = serializers.DictField(child=serializers.IntegerField())
    gpu_types = serializers.DictField(child=serializers.IntegerField())
    errors = serializers.IntegerField(  # type: ignore[assignment]
        help_text="Tasks on which a script broke"
    )
    problems = serializers.ListField(child=serializers.DictField())
    cost_micros = serializers.IntegerField(
        allow_null=True, help_text="By one calculate_cost for both; null: there is none"
    )


class DryRunOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="policy_dry_run")
    asked = serializers.IntegerField()
    replayed = serializers.IntegerField()
    ended_by = serializers.ChoiceField(["end", "time", "size"])
    as_recorded = serializers.IntegerField(help_text="For so many the script in force says what was recorded")
    old = SideOut()
    new = SideOut()
    unchanged = serializers.IntegerField()
    changed = serializers.DictField(child=serializers.IntegerField())
    examples = serializers.DictField(child=serializers.ListField(child=serializers.DictField()))
