"""What GPUs cost their operator, how long they were there, and what others would have asked. Nothing here is a tenant's."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from gdpr.holding import Held
from gdpr.ids import uuid7
from gdpr.models import AppendOnly


class GpuCost(AppendOnly):
    """What each GPU of a hive costs from `valid_from` on, until a later version; `gpu` null: those of the hive that have
    no card of their own, `hive_id` null: those of all hives."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    hive_id = models.UUIDField(null=True)
    gpu = models.PositiveSmallIntegerField(null=True)
    version = models.PositiveIntegerField()
    valid_from = models.DateTimeField()
    currency = models.CharField(max_length=3)
    kwh_micros = models.BigIntegerField()  # price of a kWh
    tariff = models.JSONField(default=list)  # [{"from_hour", "to_hour", "kwh_micros"}], hours of UTC
    busy_w = models.PositiveIntegerField()
    idle_w = models.PositiveIntegerField()
    price_micros = models.BigIntegerField()  # what it was bought for
    residual_micros = models.BigIntegerField()  # what it will be worth after `months`
    months = models.PositiveIntegerField()  # over which it is written off; 0: not at all
    bought_on = models.DateField()
    hosting_micros = models.BigIntegerField()  # a month
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["hive_id", "gpu", "version"], nulls_distinct=False, name="billing_gpucost_version"
            )
        ]

    class Privacy:
        held = Held("operations", "with the colony", of_operator=True)
        none = ("id", "hive_id", "gpu", "version", "valid_from", "currency", "kwh_micros", "tariff", "busy_w", "idle_w",
                "price_micros", "residual_micros", "months", "bought_on", "hosting_micros", "created_at")  # fmt: skip
        content = ("note",)

    def __str__(self) -> str:
        return f"{self.hive_id or 'all'}:{'*' if self.gpu is None else self.gpu} version {self.version}"


class GpuHour(models.Model):
    """In which minutes of an hour a GPU was there, by its hive's heartbeats, and which workers it had."""

    pk = models.CompositePrimaryKey("hive_id", "gpu", "hour")
    hive_id = models.UUIDField()
    gpu = models.PositiveSmallIntegerField()
    hour = models.DateTimeField()
    minutes = models.BigIntegerField()  # bit n: seen in minute n
    workers = models.JSONField()  # their ids in hex

    class Meta:
        indexes = [models.Index(fields=["hour"], name="billing_gpuhour_hour")]

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("hive_id", "gpu", "hour", "minutes", "workers")

    def __str__(self) -> str:
        return f"{self.hive_id}:{self.gpu} {self.hour}"


class ListPrice(AppendOnly):
    """What a provider asks in public for what one of our models does, as the operator read it on `seen_on`."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    provider = models.CharField(max_length=100)
    offer = models.CharField(max_length=200)  # their name of it
    model = models.CharField(max_length=128)  # ours that it is compared with
    unit = models.CharField(max_length=64)  # of usage
    micros_per_million = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    source = models.CharField(max_length=500)  # where it was read
    seen_on = models.DateField()  # it holds from then on, until a later one
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    class Privacy:
        held = Held("operations", "with the colony")
        none = ("id", "provider", "offer", "model", "unit", "micros_per_million", "currency", "source", "seen_on",
                "created_at")  # fmt: skip

    def __str__(self) -> str:
        return f"{self.provider} {self.offer} {self.unit}"
