from __future__ import annotations

from typing import Any

from rest_framework import serializers

from billing.cost_models import GpuCost, ListPrice
from inference.rest.periods import FormatQuery, PeriodQuery

HELP_TARGET = "`all`, a hive, or one GPU of it, like gpu-node-01:0"


class TariffFields(serializers.Serializer[Any]):
    from_hour = serializers.IntegerField(min_value=0, max_value=23, help_text="Of UTC")
    to_hour = serializers.IntegerField(min_value=0, max_value=24, help_text="Excluded; may be past midnight")
    kwh_micros = serializers.IntegerField(min_value=0)


class NewCostBody(serializers.Serializer[Any]):
    """Of each GPU that it is for. Amounts in micro-units of the currency."""

    target = serializers.CharField(max_length=80, default="all", help_text=HELP_TARGET)
    currency = serializers.CharField(max_length=3, required=False)
    kwh_micros = serializers.IntegerField(required=False, help_text="Price of a kWh")
    tariff = TariffFields(many=True, required=False, help_text="In other hours than the rest")
    busy_w = serializers.IntegerField(required=False, help_text="Watts at work")
    idle_w = serializers.IntegerField(required=False, help_text="Watts at rest")
    price_micros = serializers.IntegerField(required=False, help_text="What it was bought for")
    residual_micros = serializers.IntegerField(
        required=False, help_text="What it will be worth after `months`"
    )
    months = serializers.IntegerField(required=False, help_text="Over which it is written off")
    bought_on = serializers.DateField(required=False, help_text="Left out: when the card begins")
    hosting_micros = serializers.IntegerField(required=False, help_text="A month")
    valid_from = serializers.DateTimeField(
        required=False, help_text="Left out: now. It holds from the next full hour"
    )
    note = serializers.CharField(max_length=200, required=False, allow_blank=True)


class CostOut(serializers.ModelSerializer[GpuCost]):
    object = serializers.CharField(default="gpu_cost", read_only=True)
    target = serializers.CharField(help_text=HELP_TARGET)

    class Meta:
        model = GpuCost
        fields = [
            "id", "object", "target", "version", "valid_from", "currency", "kwh_micros", "tariff", "busy_w", "idle_w",
            "price_micros", "residual_micros", "months", "bought_on", "hosting_micros", "note",
        ]  # fmt: skip


class ReportQuery(PeriodQuery, FormatQuery):
    by = serializers.ChoiceField(["model", "tenant", "hive", "gpu"], default="model")


class CostRow(serializers.Serializer[Any]):
    group = serializers.CharField(allow_null=True, help_text="null: of no hive")
    currency = serializers.CharField()
    tasks = serializers.IntegerField(help_text="All that ran, charged or not")
    charged_tasks = serializers.IntegerField()
    engine_ms = serializers.IntegerField()
    revenue_micros = serializers.IntegerField(help_text="Of tasks, without what is late")
    late_micros = serializers.IntegerField(help_text="Used beyond what was held: the operator's loss")
    busy_cost_micros = serializers.IntegerField(help_text="Its share of the busy time of its GPUs")
    waiting_cost_micros = serializers.IntegerField(help_text="Its share of the time in which they waited")
    cost_micros = serializers.IntegerField()
    margin_micros = serializers.IntegerField()
    margin_percent = serializers.CharField(allow_null=True, help_text="Of the revenue; null: there is none")


class GpuRow(serializers.Serializer[Any]):
    gpu = serializers.CharField()
    currency = serializers.CharField(allow_blank=True)
    source = serializers.ChoiceField(["card", "labels", "none"], help_text="Of what it costs")  # type: ignore[assignment]
    total_ms = serializers.IntegerField()
    present_ms = serializers.IntegerField(help_text="Measured by heartbeats, to the minute")
    busy_ms = serializers.IntegerField(help_text="Measured: at least one task ran")
    no_card_ms = serializers.IntegerField(help_text="Nobody said what it costs: left out")
    utilisation_percent = serializers.CharField(allow_null=True)
    cost_micros = serializers.IntegerField()
    unallocated_micros = serializers.IntegerField(help_text="Of a GPU that ran nothing")


class BesideTasks(serializers.Serializer[Any]):
    tenant = serializers.CharField()
    kind = serializers.CharField()
    currency = serializers.CharField()
    revenue_micros = serializers.IntegerField(help_text="Below zero: discounts")


class CostReportOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="cost_report")
    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    rows = CostRow(many=True)
    gpus = GpuRow(many=True)
    beside_tasks = BesideTasks(many=True, help_text="Revenue that is of no task: subscriptions, rating")
    totals = CostRow(many=True, help_text="One for each currency; costs with what is unallocated")


class UtilisationQuery(PeriodQuery, FormatQuery):
    bucket = serializers.ChoiceField(["hour", "day"], default="day")


class UtilisationOut(serializers.Serializer[Any]):
    gpu = serializers.CharField()
    start = serializers.DateTimeField()
    present_ms = serializers.IntegerField()
    busy_ms = serializers.IntegerField()
    percent = serializers.CharField(allow_null=True)


class NewListPriceBody(serializers.Serializer[Any]):
    provider = serializers.CharField(max_length=100)
    offer = serializers.CharField(max_length=200, required=False, help_text="Their name of it")
    model = serializers.CharField(max_length=128, help_text="Ours that it is compared with")
    unit = serializers.CharField(max_length=64, help_text="Of usage, such as prompt_tokens")
    micros_per_million = serializers.IntegerField()
    currency = serializers.CharField(max_length=3)
    source = serializers.CharField(max_length=500, help_text="Where it was read")  # type: ignore[assignment]
    seen_on = serializers.DateField(required=False, help_text="It holds from then on; left out: today")


class ListPriceOut(serializers.ModelSerializer[ListPrice]):
    object = serializers.CharField(default="list_price", read_only=True)

    class Meta:
        model = ListPrice
        fields = [
            "id", "object", "provider", "offer", "model", "unit", "micros_per_million", "currency", "source", "seen_on",
        ]  # fmt: skip


class ComparedLine(serializers.Serializer[Any]):
    model = serializers.CharField()
    offer = serializers.CharField()
    unit = serializers.CharField()
    quantity = serializers.IntegerField()
    micros_per_million = serializers.IntegerField()
    amount_micros = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    seen_on = serializers.DateField()


class OwnCost(serializers.Serializer[Any]):
    model = serializers.CharField()
    cost_micros = serializers.IntegerField()


class LeftOut(serializers.Serializer[Any]):
    model = serializers.CharField()
    why = serializers.CharField()


class ComparisonOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="list_comparison")
    provider = serializers.CharField()
    currency = serializers.CharField()
    lines = ComparedLine(many=True)
    list_micros = serializers.IntegerField(help_text="What the same quantities cost at these list prices")
    own_costs = OwnCost(many=True)
    own_micros = serializers.IntegerField(help_text="What they cost on the operator's own GPUs")
    cheaper_percent = serializers.CharField(
        allow_null=True, help_text="100 * (list - own) / list; below zero: dearer"
    )
    revenue_micros = serializers.IntegerField(help_text="What customers paid for them")
    left_out = LeftOut(many=True)
