"""What the caller pays for each model."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.domain.price_terms import terms_of
from billing.domain.price_text import prices_shown, terms_shown
from billing.domain.prices import prices_paid
from inference.domain.catalog import models_in_catalog
from inference.domain.choice import may_use
from tenants.api.base import ManagementView
from tenants.api.tenancy import tenant_of
from tenants.rules import Capability


class PricesQuery(serializers.Serializer[Any]):
    tenant = serializers.SlugField(default="", allow_blank=True, help_text="For the operator: of this tenant")


class PaidPriceOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="price")
    model = serializers.CharField()
    type = serializers.CharField()
    currency = serializers.CharField()
    is_free = serializers.BooleanField()
    prices = serializers.DictField(child=serializers.IntegerField())
    shown = serializers.DictField(child=serializers.CharField(), help_text="Like `0.15 EUR per 1M tokens`")
    valid_from = serializers.DateTimeField()


class PaidPricesOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="list")
    data = PaidPriceOut(many=True)  # type: ignore[assignment]
    has_more = serializers.BooleanField(default=False)
    next_cursor = serializers.CharField(allow_null=True)
    tenant = serializers.CharField()
    terms = serializers.DictField(
        child=serializers.JSONField(),
        help_text="Of this month: subscription, minimum, discount, included, tiered",
    )


class Prices(ManagementView):
    capabilities = {"GET": (Capability.USAGE_READ, Capability.BILLING_READ)}

    @extend_schema(operation_id="list_prices", parameters=[PricesQuery], responses=PaidPricesOut)
    def get(self, request: Request) -> Response:
        """Of the models that the tenant may use: what a task costs that is admitted at this moment."""
        tenant = tenant_of(self.caller, self.read_query(PricesQuery)["tenant"])
        plan = tenant.plan
        allowed = plan.allowed_models if tenant.allowed_models is None else tenant.allowed_models
        models = [model for model in models_in_catalog() if may_use(tuple(allowed), model.name)]
        paid = prices_paid(plan, [model.name for model in models])
        rows = [
            {
                "object": "price", "model": model.name, "type": model.capability, "currency": price.currency,
                "is_free": price.is_free, "prices": price.prices,
                "shown": prices_shown(price.prices, price.currency), "valid_from": price.valid_from,
            }
            for model in models
            if (price := paid.get(model.name))
        ]  # fmt: skip
        month = timezone.now().astimezone(UTC).date().replace(day=1)
        return Response(
            {"object": "list", "data": rows, "has_more": False, "next_cursor": None, "tenant": tenant.slug,
             "terms": terms_shown(terms_of(tenant.id, on=month))}
        )  # fmt: skip
