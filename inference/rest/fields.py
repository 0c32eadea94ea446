"""What management endpoints take and give, for reading bodies and for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from hive_agent.protocol import WorkerStatus
from inference.enums import Capability, Engine, HiveState
from tenants.api.base import PageQuery
from tenants.api.fields import ShownOnce


class Scalars(serializers.JSONField):
    """An object of texts, numbers, true and false; `inference.rules` checks them."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError('This takes an object such as {"gpu_type": "A100"}.')
        return data


class NewJoinToken(serializers.Serializer[Any]):
    region = serializers.CharField(default="", allow_blank=True)
    labels = Scalars(default=dict)
    models = serializers.ListField(child=serializers.CharField(), default=list, max_length=64)


class JoinTokenOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="join_token")
    token = ShownOnce("; works once")
    expires_at = serializers.DateTimeField()
    expires_in_s = serializers.IntegerField()
    region = serializers.CharField()
    labels = serializers.DictField()
    models = serializers.ListField(child=serializers.CharField())
    join_url = serializers.CharField(allow_null=True)


class NewAttestation(serializers.Serializer[Any]):
    region = serializers.CharField(
        max_length=64, help_text="Where the machine stands, such as EU or EU/Netherlands"
    )
    until = serializers.DateTimeField(
        required=False, help_text="When somebody has to look again; left out: in a year"
    )


class NewModelBody(serializers.Serializer[Any]):
    source = serializers.CharField(  # type: ignore[assignment]
        max_length=1024,
        help_text="builtin:rbee-mini, a path on the hive, a Hugging Face id, or a model's name",
    )
    name = serializers.CharField(max_length=128, default="", allow_blank=True)
    engine = serializers.ChoiceField(Engine.choices, required=False)
    capability = serializers.ChoiceField(Capability.choices, required=False)
    hives = serializers.ListField(
        child=serializers.CharField(max_length=63), required=False, max_length=1000,
        help_text="Left out: the only hive there is",
    )  # fmt: skip
    options = Scalars(default=dict)
    prices = serializers.DictField(
        child=serializers.IntegerField(), default=dict, help_text="Unit to micro-units for a million of it"
    )
    currency = serializers.CharField(max_length=3, default="", allow_blank=True)
    free = serializers.BooleanField(default=False)


class WorkerOut(serializers.Serializer[Any]):
    id = serializers.CharField()
    hive = serializers.CharField()
    model = serializers.CharField()
    engine = serializers.ChoiceField(Engine.choices)
    capability = serializers.ChoiceField(Capability.choices)
    slot = serializers.IntegerField()
    status = serializers.ChoiceField([status.value for status in WorkerStatus])
    in_flight = serializers.IntegerField()
    queue_depth = serializers.IntegerField()
    capacity = serializers.IntegerField()
    vram_mib = serializers.IntegerField()
    ttft_ms = serializers.IntegerField()
    uptime_s = serializers.IntegerField()
    error = serializers.CharField(allow_blank=True)
    progress = serializers.CharField(allow_blank=True)


class ModelOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="model")
    name = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]
    engine = serializers.ChoiceField(Engine.choices)
    capability = serializers.ChoiceField(Capability.choices)
    type = serializers.CharField()
    context_tokens = serializers.IntegerField(allow_null=True)
    options = serializers.DictField()
    published = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    prices = serializers.DictField(child=serializers.IntegerField(), allow_null=True)
    currency = serializers.CharField(allow_null=True)
    is_free = serializers.BooleanField(allow_null=True)
    hives = serializers.ListField(child=serializers.CharField())
    workers = WorkerOut(many=True)
    ready_workers = serializers.IntegerField()


class DeviceOut(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    kind = serializers.CharField()
    name = serializers.CharField()
    gpu_type = serializers.CharField()
    vram_total_mib = serializers.IntegerField()
    vram_free_mib = serializers.IntegerField()
    util_pct = serializers.IntegerField()


class HiveOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    object = serializers.CharField(default="hive")
    name = serializers.CharField()
    region = serializers.CharField(help_text="What the operator said last")
    region_attested = serializers.BooleanField(
        help_text="Whether it counts for tenants that are bound to a region"
    )
    region_until = serializers.DateTimeField(allow_null=True)
    labels = serializers.DictField()
    state = serializers.ChoiceField(HiveState.choices)
    heartbeat_age_s = serializers.FloatField(allow_null=True)
    epoch = serializers.IntegerField(allow_null=True)
    software = serializers.CharField()
    draining = serializers.BooleanField()
    cpu_pct = serializers.IntegerField(allow_null=True)
    rss_mib = serializers.IntegerField(allow_null=True)
    joined_at = serializers.DateTimeField()
    devices = DeviceOut(many=True)
    workers = WorkerOut(many=True)


class QueenOut(serializers.Serializer[Any]):
    url = serializers.CharField()
    redis = serializers.ChoiceField(["up", "down"])
    epoch = serializers.CharField(allow_null=True)


class PolicyInForce(serializers.Serializer[Any]):
    source = serializers.ChoiceField(["file", "database", "default"])  # type: ignore[assignment]
    path = serializers.CharField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True)
    error = serializers.CharField(allow_null=True)


class Counts(serializers.Serializer[Any]):
    hives = serializers.IntegerField()
    hives_online = serializers.IntegerField()
    workers = serializers.IntegerField()
    workers_ready = serializers.IntegerField()
    models = serializers.IntegerField()
    in_flight = serializers.IntegerField()


class StatusOut(serializers.Serializer[Any]):
    mode = serializers.ChoiceField(["home", "business"])
    version = serializers.CharField()
    queen = QueenOut()
    policy = PolicyInForce()
    counts = Counts()
    hives = HiveOut(many=True)
    models = ModelOut(many=True)


class UsageQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant only"
    )
    model = serializers.CharField(default="", allow_blank=True, max_length=128)
    project = serializers.UUIDField(required=False)
    key = serializers.CharField(default="", allow_blank=True, max_length=64, help_text="Its id or kid")
    outcome = serializers.CharField(default="", allow_blank=True, max_length=50)
    since = serializers.DateTimeField(required=False, help_text="As 2027-01-31T00:00:00Z; by admission")
    until = serializers.DateTimeField(required=False, help_text="Excluded")
    format = serializers.ChoiceField(
        ["json", "csv"], required=False, help_text="csv has all rows in one answer. Or `Accept: text/csv`"
    )


class UsageOut(serializers.Serializer[Any]):
    id = serializers.UUIDField(help_text="Of the task")
    object = serializers.CharField(default="usage")
    request_id = serializers.CharField()
    tenant = serializers.CharField()
    project = serializers.CharField()
    key = serializers.CharField(allow_null=True, help_text="null: a call without a key")
    endpoint = serializers.CharField()
    model = serializers.CharField()
    hive = serializers.CharField(allow_null=True)
    worker = serializers.CharField()
    region = serializers.CharField()
    outcome = serializers.CharField()
    usage = serializers.DictField(child=serializers.IntegerField())
    amount_micros = serializers.IntegerField()
    currency = serializers.CharField()
    attempt = serializers.IntegerField()
    began_at = serializers.DateTimeField(allow_null=True)
    first_token_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    decision = serializers.DictField()
