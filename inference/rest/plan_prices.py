"""What a plan pays for a model in place of everybody else: prices on the plan's own card."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from billing.domain.prices import ANY_MODEL, DEFAULT_CURRENCY, current_prices, plan_card, set_price
from billing.models import Price
from tenants.api.base import ManagementView, list_response
from tenants.models import Plan
from tenants.rules import Capability


class PlanPriceOut(serializers.ModelSerializer[Price]):
    object = serializers.CharField(default="price", read_only=True)

    class Meta:
        model = Price
        fields = ["id", "object", "model", "version", "currency", "prices", "is_free", "valid_from"]


class NewPlanPrice(serializers.Serializer[Any]):
    model = serializers.CharField(
        max_length=128, default=ANY_MODEL, help_text="Left out: every model that has none of its own here"
    )
    prices = serializers.DictField(
        child=serializers.IntegerField(), default=dict, help_text="Unit to micro-units for a million of it"
    )
    currency = serializers.RegexField(
        r"^[A-Z]{3}\Z", required=False, help_text="Of the first price; it stays"
    )
    free = serializers.BooleanField(default=False)


class PlanPrices(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "PUT": Capability.COLONY_WRITE}

    @extend_schema(operation_id="list_plan_prices", responses=PlanPriceOut(many=True))
    def get(self, request: Request, slug: str) -> Response:
        """Those that hold today. What is not here costs what it costs everybody."""
        return list_response([dict(PlanPriceOut(price).data) for price in current_prices(self.plan(slug))])

    @extend_schema(operation_id="set_plan_price", request=NewPlanPrice, responses=PlanPriceOut)
    def put(self, request: Request, slug: str) -> Response:
        """Of one model. What was admitted before costs what it cost then."""
        plan = self.plan(slug)
        body = self.read_body(NewPlanPrice)
        currency = body.get("currency")
        price = set_price(
            body["model"],
            body["prices"],
            is_free=body["free"],
            currency=currency,
            card=plan_card(plan, currency=currency or DEFAULT_CURRENCY, actor=self.actor),
            actor=self.actor,
        )
        return Response(PlanPriceOut(price).data)

    def plan(self, slug: str) -> Plan:
        plan = Plan.objects.filter(slug=slug).first()
        if plan is None:
            raise NotFound("There is no such plan.")
        return plan
