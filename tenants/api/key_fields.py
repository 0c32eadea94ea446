"""What keys look like from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from django.db.models import Q
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.api.base import PageQuery
from tenants.api.fields import ModelGlobs, ShownOnce
from tenants.domain.keys import NETWORKS_MAX, budget_of
from tenants.enums import KeyScope
from tenants.models import ApiKey

MICROS_MAX: Final = 2**53 - 1
KEY_STATUSES: Final[Mapping[str, Callable[[datetime], Q]]] = {
    "active": lambda now: Q(revoked_at=None) & (Q(expires_at=None) | Q(expires_at__gt=now)),
    "expired": lambda now: Q(revoked_at=None, expires_at__lte=now),
    "revoked": lambda now: Q(revoked_at__isnull=False),
}


class KeyQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: keys of this tenant only"
    )
    project = serializers.SlugField(default="", allow_blank=True)
    scope = serializers.ChoiceField(KeyScope.choices, default="", allow_blank=True)
    name = serializers.CharField(default="", allow_blank=True, max_length=200, help_text="A part of it")
    status = serializers.ChoiceField(list(KEY_STATUSES), default="", allow_blank=True)
    include_revoked = serializers.BooleanField(default=False)


class Budget(serializers.Serializer[Any]):
    """What the key may spend, in millionths of the currency, by day and month of UTC. Null is no limit."""

    day = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MICROS_MAX)
    month = serializers.IntegerField(required=False, allow_null=True, min_value=0, max_value=MICROS_MAX)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        read: dict[str, Any] = super().to_internal_value(data)
        if unknown := ", ".join(set(data) - set(self.fields)):
            raise serializers.ValidationError(f"A budget has day and month, not {unknown}.")
        return read


class Networks(serializers.ListField):
    """Addresses and networks, such as 192.0.2.7 and 2001:db8::/32."""

    def __init__(self, **options: Any) -> None:
        super().__init__(child=serializers.CharField(max_length=43), max_length=NETWORKS_MAX, **options)


class NewKey(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, default="key")
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator; left out: the caller's own"
    )
    project = serializers.SlugField(default="", allow_blank=True, help_text="Left out: the tenant's first")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(KeyScope.choices), default=[KeyScope.INFERENCE], min_length=1
    )
    value = serializers.CharField(
        required=False, trim_whitespace=False, help_text="A key brought along from another gateway"
    )
    allow_weak = serializers.BooleanField(
        default=False, help_text="For the operator: also a value that can be guessed"
    )
    allowed_models = ModelGlobs(required=False, help_text="Of those of the tenant; empty: all of them")
    allowed_ips = Networks(required=False, help_text="Where it may be used from; empty: anywhere")
    budget = Budget(required=False)
    expires_at = serializers.DateTimeField(required=False, help_text="As 2027-01-31T00:00:00Z")


class KeyChange(serializers.Serializer[Any]):
    """What is left out stays as it is."""

    name = serializers.CharField(max_length=200, required=False)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(KeyScope.choices), required=False, min_length=1
    )
    allowed_models = ModelGlobs(required=False)
    allowed_ips = Networks(required=False)
    budget = Budget(required=False, allow_null=True)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class Rotation(serializers.Serializer[Any]):
    overlap_s = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=2**31,
        help_text="How long the value of before goes on: at most 30 days, a day if left out",
    )


class PreviousValue(serializers.Serializer[Any]):
    """Of before the last rotation."""

    kid = serializers.CharField(source="old_kid")
    last4 = serializers.CharField(source="old_last4")
    valid_until = serializers.DateTimeField(source="old_until")
    last_used_at = serializers.DateTimeField(source="old_last_used_at", allow_null=True)


class KeyOut(serializers.ModelSerializer[ApiKey]):
    object = serializers.CharField(default="key", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")
    project = serializers.CharField(source="project.slug")
    status = serializers.SerializerMethodField()
    budget = serializers.SerializerMethodField()
    previous = serializers.SerializerMethodField(
        help_text="The value of before the last rotation, while it is good"
    )

    class Meta:
        model = ApiKey
        fields = [
            "id", "object", "kid", "name", "tenant", "project", "status", "scopes", "allowed_models", "allowed_ips",
            "budget", "last4", "brought_along", "created_at", "last_used_at", "expires_at", "revoked_at", "revoked_for",
            "rotated_at", "previous",
        ]  # fmt: skip

    @extend_schema_field(serializers.ChoiceField(list(KEY_STATUSES)))
    def get_status(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return "active" if key.is_usable() else "expired"

    @extend_schema_field(Budget)
    def get_budget(self, key: ApiKey) -> dict[str, int | None]:
        return budget_of(key)

    @extend_schema_field(PreviousValue(allow_null=True))
    def get_previous(self, key: ApiKey) -> dict[str, Any] | None:
        is_good = key.old_kid and key.old_until and key.old_until > timezone.now() and key.is_usable()
        return dict(PreviousValue(key).data) if is_good else None


class IssuedKey(KeyOut):
    key = ShownOnce()
    warning = serializers.CharField(allow_null=True)

    class Meta(KeyOut.Meta):
        fields = [*KeyOut.Meta.fields, "key", "warning"]


class RotatedKey(KeyOut):
    key = ShownOnce()

    class Meta(KeyOut.Meta):
        fields = [*KeyOut.Meta.fields, "key"]
