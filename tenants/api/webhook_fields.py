"""What the webhook endpoints take and give."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.api.base import PageQuery
from tenants.api.fields import ShownOnce
from tenants.domain.deliveries import message_id
from tenants.domain.webhooks import IN_FLIGHT_MAX
from tenants.enums import DeliveryState
from tenants.models import WebhookDelivery, WebhookEndpoint


class WebhookQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant; left out: its own"
    )


class DeliveryQuery(PageQuery):
    state = serializers.ChoiceField(DeliveryState.choices, default="", allow_blank=True)


class NewWebhook(serializers.Serializer[Any]):
    url = serializers.CharField(trim_whitespace=False, help_text="https, on the public internet")
    tenant = serializers.SlugField(
        default="",
        allow_blank=True,
        help_text="For the operator: for this tenant; left out: its own, told of all",
    )
    events = serializers.ListField(
        child=serializers.CharField(max_length=64), default=["*"], help_text="Names, key.*, or * for all"
    )
    description = serializers.CharField(max_length=200, default="", allow_blank=True)
    max_in_flight = serializers.IntegerField(min_value=1, max_value=IN_FLIGHT_MAX, default=4)
    keeps_responses = serializers.BooleanField(
        default=False, help_text="Keep the first KiB of the last answer to each delivery"
    )


class WebhookRotation(serializers.Serializer[Any]):
    overlap_hours = serializers.IntegerField(
        default=24, help_text="How long the old secret signs too; 0 ends it at once"
    )


class Replay(serializers.Serializer[Any]):
    since = serializers.DateTimeField(help_text="As 2027-01-31T00:00:00Z")
    until = serializers.DateTimeField(required=False, help_text="Left out: until now")
    only_failed = serializers.BooleanField(
        default=True, help_text="Failed ones and those never sent; false: delivered ones again too"
    )


class WebhookOut(serializers.ModelSerializer[WebhookEndpoint]):
    object = serializers.CharField(default="webhook", read_only=True)
    tenant = serializers.SlugField(source="tenant.slug", default=None, allow_null=True)

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id", "object", "tenant", "url", "description", "events", "status", "disabled_reason", "failing_since",
            "max_in_flight", "keeps_responses", "old_secret_until", "created_at",
        ]  # fmt: skip


class WebhookWithSecret(WebhookOut):
    secret = ShownOnce()

    class Meta(WebhookOut.Meta):
        fields = [*WebhookOut.Meta.fields, "secret"]


class DeliveryOut(serializers.ModelSerializer[WebhookDelivery]):
    object = serializers.CharField(default="webhook.delivery", read_only=True)
    webhook = serializers.UUIDField(source="endpoint_id")
    event = serializers.SerializerMethodField()
    type = serializers.CharField(source="event.type")
    status = serializers.SerializerMethodField()
    next_at = serializers.SerializerMethodField()

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "object", "webhook", "event", "type", "state", "attempt", "status", "next_at", "created_at",
            "ended_at", "log", "response",
        ]  # fmt: skip

    def get_event(self, row: WebhookDelivery) -> str:
        """The webhook-id that the receiver sees."""
        return message_id(row.event_id)

    def get_status(self, row: WebhookDelivery) -> int | None:
        """Of the last attempt's answer."""
        return row.log[-1]["status"] if row.log else None

    def get_next_at(self, row: WebhookDelivery) -> str | None:
        return row.next_at.isoformat().replace("+00:00", "Z") if row.state == DeliveryState.QUEUED else None


class Replayed(serializers.Serializer[Any]):
    object = serializers.CharField()
    queued = serializers.IntegerField()


class EventOut(serializers.Serializer[Any]):
    object = serializers.CharField()
    name = serializers.CharField()
    when = serializers.CharField()
    version = serializers.IntegerField()
    example = serializers.DictField()
