"""What the surface answers, for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.api.fields import ShownOnce

Shape = serializers.Serializer[Any]


class DeletedShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class ProjectShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    created_at = serializers.IntegerField()
    archived_at = serializers.IntegerField(allow_null=True)
    status = serializers.CharField(help_text="active or archived")


class ServiceAccountShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()
    created_at = serializers.IntegerField()


class MadeKeyShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    value = ShownOnce()
    created_at = serializers.IntegerField()
    expires_at = serializers.IntegerField(allow_null=True)


class MadeServiceAccountShape(ServiceAccountShape):
    api_key = MadeKeyShape(allow_null=True)


class AccountOfKeyShape(Shape):
    id = serializers.CharField()
    name = serializers.CharField()
    role = serializers.CharField()
    created_at = serializers.IntegerField()


class OwnerShape(Shape):
    type = serializers.CharField()
    service_account = AccountOfKeyShape()


class ProjectKeyShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    redacted_value = serializers.CharField()
    created_at = serializers.IntegerField()
    last_used_at = serializers.IntegerField(allow_null=True)
    expires_at = serializers.IntegerField(allow_null=True)
    owner = OwnerShape()
    owner_project_access = serializers.CharField()


class AdminOwnerShape(AccountOfKeyShape):
    object = serializers.CharField()
    type = serializers.CharField()


class AdminKeyShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    redacted_value = serializers.CharField()
    created_at = serializers.IntegerField()
    last_used_at = serializers.IntegerField(allow_null=True)
    expires_at = serializers.IntegerField(allow_null=True)
    owner = AdminOwnerShape()


class MadeAdminKeyShape(AdminKeyShape):
    value = ShownOnce()


class UserShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    name = serializers.CharField()
    email = serializers.CharField()
    role = serializers.CharField(help_text="owner or reader")
    added_at = serializers.IntegerField()


class ProjectUserShape(UserShape):
    role = serializers.CharField(help_text="owner or member")


class InviteShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    email = serializers.CharField()
    role = serializers.CharField(help_text="owner or reader")
    status = serializers.CharField(help_text="pending, accepted or expired")
    created_at = serializers.IntegerField()
    expires_at = serializers.IntegerField()
    accepted_at = serializers.IntegerField(allow_null=True)
    projects = serializers.ListField(child=serializers.DictField())


class RateLimitShape(Shape):
    id = serializers.CharField()
    object = serializers.CharField()
    model = serializers.CharField()
    max_requests_per_1_minute = serializers.IntegerField(allow_null=True)
    max_tokens_per_1_minute = serializers.IntegerField(allow_null=True)
    max_requests_per_1_day = serializers.IntegerField(allow_null=True)


class UsageResult(Shape):
    """Quantities are those of the kind; what is not grouped by is null."""

    object = serializers.CharField()
    num_model_requests = serializers.IntegerField()
    input_tokens = serializers.IntegerField(required=False)
    output_tokens = serializers.IntegerField(required=False)
    input_cached_tokens = serializers.IntegerField(required=False)
    images = serializers.IntegerField(required=False)
    characters = serializers.IntegerField(required=False)
    seconds = serializers.IntegerField(required=False)
    project_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)
    api_key_id = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    batch = serializers.BooleanField(required=False, allow_null=True)
    service_tier = serializers.CharField(required=False, allow_null=True)
    source = serializers.CharField(required=False, allow_null=True)  # type: ignore[assignment]
    size = serializers.CharField(required=False, allow_null=True)


class Money(Shape):
    value = serializers.FloatField()
    currency = serializers.CharField(help_text="In lower case")


class CostResult(Shape):
    object = serializers.CharField()
    amount = Money()
    line_item = serializers.CharField(allow_null=True)
    quantity = serializers.FloatField(allow_null=True)
    quantity_unit = serializers.CharField(allow_null=True)
    project_id = serializers.CharField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)
    api_key_id = serializers.CharField(allow_null=True)


class Bucket(Shape):
    object = serializers.CharField()
    start_time = serializers.IntegerField()
    end_time = serializers.IntegerField()


class UsageBucket(Bucket):
    results = UsageResult(many=True)


class CostBucket(Bucket):
    results = CostResult(many=True)


class Pages(Shape):
    object = serializers.CharField()
    has_more = serializers.BooleanField()
    next_page = serializers.CharField(allow_null=True)


class UsagePage(Pages):
    data = UsageBucket(many=True)  # type: ignore[assignment]


class CostPage(Pages):
    data = CostBucket(many=True)  # type: ignore[assignment]


class EntryProject(Shape):
    id = serializers.CharField()
    name = serializers.CharField()


class EntryShape(Shape):
    """Beside these, a field of the name that `type` gives holds the id of what it was done to, and its details."""

    id = serializers.CharField()
    object = serializers.CharField()
    type = serializers.CharField()
    effective_at = serializers.IntegerField()
    actor = serializers.DictField()
    project = EntryProject(required=False)
