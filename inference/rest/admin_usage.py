"""`/admin/usage`: a customer's month for the operator's own systems, and all customers' in one table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any, Final

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.domain.accounts import find_account
from billing.domain.monthly_usage import (
    KINDS,
    SHOWN,
    MonthOf,
    empty_month,
    months_of,
    overage,
    shown_costs,
    shown_quantities,
)
from gdpr.scope import colony_tx
from inference.rest.csv_answers import csv_answer
from inference.rest.periods import FormatQuery, MonthField
from tenants.api.base import PAGE_MAX, ManagementView, list_response
from tenants.api.tenancy import find_tenant
from tenants.domain.limits import limits_in_force
from tenants.models import Tenant
from tenants.rules import Capability

COLUMNS: Final = (
    "customer", "month", "tier", "currency", *SHOWN, *(f"{kind}_cost" for kind in KINDS), "total_cost",
    *(f"{name}_overage" for name in SHOWN),
)  # fmt: skip


class MonthQuery(serializers.Serializer[Any]):
    month = MonthField(required=False, help_text="As 2027-01; left out: the running one")


class ExportQuery(MonthQuery, FormatQuery):
    pass


class UsedQuantities(serializers.Serializer[Any]):
    text_tokens = serializers.IntegerField(help_text="Read and written")
    images_generated = serializers.IntegerField()
    audio_minutes = serializers.FloatField()
    video_minutes = serializers.FloatField()


class Costs(serializers.Serializer[Any]):
    text = serializers.CharField(help_text="In the currency, exact to the micro-unit")
    images = serializers.CharField()
    audio = serializers.CharField()
    video = serializers.CharField()
    total = serializers.CharField()


class CustomerMonth(serializers.Serializer[Any]):
    object = serializers.CharField(default="customer.usage")
    customer = serializers.CharField()
    month = serializers.CharField()
    tier = serializers.CharField()
    currency = serializers.CharField()
    usage = UsedQuantities()
    costs = Costs()
    other_costs = serializers.DictField(child=Costs(), help_text="By currency, where there is another")
    overage = UsedQuantities(help_text="What was used beyond soft limits of the plan or the tenant")


class CustomerUsage(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="get_customer_usage", parameters=[MonthQuery], responses=CustomerMonth)
    def get(self, request: Request, customer: str) -> Response:
        """What a customer used in a month, what it cost, and what went beyond its plan."""
        month = _month(self.read_query(MonthQuery))
        with colony_tx("usage of a customer"):
            tenant = find_tenant(customer)
            found = next(months_of(month, tenant.id), None) or empty_month(tenant.id)
            return Response(_shown(tenant, month, found))


class UsageExport(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(
        operation_id="export_customer_usage", parameters=[ExportQuery], responses=CustomerMonth(many=True)
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Of every customer that used anything; as CSV unless `format=json`."""
        query = self.read_query(ExportQuery)
        month = _month(query)
        rows = list(_all(month))
        if query.get("format", "csv") == "json":
            return list_response(rows)
        flat = [[_flat(row) for row in rows]]
        return csv_answer(request, f"usage-{month:%Y-%m}", COLUMNS, flat)


def _all(month: date) -> Iterator[dict[str, Any]]:
    with colony_tx("usage of all customers"):
        found = months_of(month)
        while page := list(islice(found, PAGE_MAX)):
            ids = [each.tenant_id for each in page]
            tenants = Tenant.objects.select_related("plan").in_bulk(ids)
            for each in page:
                yield _shown(tenants[each.tenant_id], month, each)


def _month(query: dict[str, Any]) -> date:
    return query.get("month") or datetime.now(UTC).date().replace(day=1)


def _shown(tenant: Tenant, month: date, found: MonthOf) -> dict[str, Any]:
    currency = find_account(tenant.id).currency
    if currency not in found.costs and found.costs:
        currency = next(iter(found.costs))
    others = {name: shown_costs(costs) for name, costs in found.costs.items() if name != currency}
    return {
        "object": "customer.usage",
        "customer": tenant.slug,
        "month": f"{month:%Y-%m}",
        "tier": tenant.plan.tier,
        "currency": currency,
        "usage": shown_quantities(found.total),
        "costs": shown_costs(found.costs.get(currency, {})),
        "other_costs": others,
        "overage": shown_quantities(overage(found, limits_in_force(tenant))),
    }


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    costs = {f"{kind}_cost": cost for kind, cost in row["costs"].items()}
    return {**row, **row["usage"], **costs, **{f"{name}_overage": n for name, n in row["overage"].items()}}
