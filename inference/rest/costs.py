"""What GPUs cost, what tasks cost by that, and what others would have asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from billing.cost_models import GpuCost, ListPrice
from billing.domain.cost_report import Books, By, percent, read_books, rows_of, unallocated, utilisation
from billing.domain.gpu_books import Gpu, revenue_beside_tasks
from billing.domain.gpu_costs import CostRefused, NewCost, set_cost
from billing.domain.gpu_rates import Tariff
from billing.domain.list_prices import ListPriceRefused, NewListPrice, compare_with_lists, enter_list_price
from gdpr.scope import colony_tx
from inference.domain.costs import cards_of_colony, hive_names, target_of
from inference.rest.cost_fields import (
    ComparisonOut,
    CostOut,
    CostReportOut,
    ListPriceOut,
    NewCostBody,
    NewListPriceBody,
    ReportQuery,
    UtilisationOut,
    UtilisationQuery,
)
from inference.rest.csv_answers import csv_answer, wants_csv
from inference.rest.periods import PeriodQuery, period_of
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.models import Tenant
from tenants.rules import Capability

ROW: Final = (
    "group", "currency", "tasks", "charged_tasks", "engine_ms", "revenue_micros", "late_micros", "busy_cost_micros",
    "waiting_cost_micros", "cost_micros", "margin_micros", "margin_percent",
)  # fmt: skip
SUMMED: Final = ROW[2:-1]
UTILISATION: Final = ("gpu", "start", "present_ms", "busy_ms", "percent")


class GpuCosts(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "gpu_cost.set"}

    @extend_schema(operation_id="list_gpu_costs", parameters=[PageQuery], responses=CostOut(many=True))
    def get(self, request: Request) -> Response:
        """All versions of all cards, newest first."""
        found, cursor = page_of(GpuCost.objects.all(), self.read_query(PageQuery))
        names = hive_names()
        return list_response([_card(row, names) for row in found], cursor)

    @extend_schema(operation_id="set_gpu_cost", request=NewCostBody, responses={201: CostOut})
    def post(self, request: Request) -> Response:
        """A further version of a card. What was before it costs what it cost then."""
        body = self.read_body(NewCostBody)
        hive_id, gpu = target_of(body.pop("target"))
        body["tariff"] = [Tariff(**each) for each in body.get("tariff", [])]
        try:
            row = set_cost(hive_id, gpu, NewCost(**body), actor=self.actor)
        except CostRefused as error:
            raise ValidationError({error.field: [str(error)]}) from None
        return Response(_card(row, hive_names()), status.HTTP_201_CREATED)


class CostReport(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(operation_id="report_costs", parameters=[ReportQuery], responses=CostReportOut)
    def get(self, request: Request) -> HttpResponseBase:
        """Cost, revenue and margin of a month, unless since and until say otherwise."""
        query = self.read_query(ReportQuery)
        period, by = period_of(query), query["by"]
        with colony_tx("cost report"):
            books = read_books(period, cards_of_colony(), by)
            names = hive_names()
            slugs = dict(Tenant.objects.values_list("id", "slug"))
            beside = [
                {"tenant": slugs.get(tenant_id), "kind": kind, "currency": currency, "revenue_micros": micros}
                for tenant_id, kind, currency, micros in revenue_beside_tasks(period)
            ]
        rows = [row | {"group": _group(by, row["group"], names, slugs)} for row in rows_of(books)]
        if wants_csv(request, query):
            return csv_answer(request, f"costs-by-{by}", ROW, [rows])
        return Response(
            {
                "object": "cost_report",
                "since": period.since,
                "until": period.until,
                "rows": rows,
                "gpus": _gpus(books, names),
                "beside_tasks": beside,
                "totals": _totals(rows, books),
            }
        )


class Utilisation(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(
        operation_id="report_utilisation", parameters=[UtilisationQuery], responses=UtilisationOut(many=True)
    )
    def get(self, request: Request) -> HttpResponseBase:
        """Busy time of each GPU beside the time that it was there."""
        query = self.read_query(UtilisationQuery)
        with colony_tx("utilisation"):
            books = read_books(period_of(query), cards_of_colony(), "gpu")
            names = hive_names()
        buckets = utilisation(books, hours=1 if query["bucket"] == "hour" else 24)
        rows = [row | {"gpu": gpu_name(row["gpu"], names)} for row in buckets]
        if wants_csv(request, query):
            return csv_answer(request, "utilisation", UTILISATION, [rows])
        return list_response(rows)


class ListPrices(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "list_price.entered"}

    @extend_schema(operation_id="list_list_prices", parameters=[PageQuery], responses=ListPriceOut(many=True))
    def get(self, request: Request) -> Response:
        """What the operator read elsewhere, newest first."""
        found, cursor = page_of(ListPrice.objects.all(), self.read_query(PageQuery))
        return list_response([dict(ListPriceOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="enter_list_price", request=NewListPriceBody, responses={201: ListPriceOut})
    def post(self, request: Request) -> Response:
        body = self.read_body(NewListPriceBody)
        try:
            row = enter_list_price(NewListPrice(**body), actor=self.actor)
        except ListPriceRefused as error:
            raise ValidationError({error.field: [str(error)]}) from None
        return Response(ListPriceOut(row).data, status.HTTP_201_CREATED)


class CompareLists(ManagementView):
    capabilities = {"GET": Capability.COLONY_READ}

    @extend_schema(
        operation_id="compare_with_list_prices",
        parameters=[PeriodQuery],
        responses=ComparisonOut(many=True),
    )
    def get(self, request: Request) -> Response:
        """What the same work would have cost at list prices, with every input; nothing is assumed."""
        period = period_of(self.read_query(PeriodQuery))
        with colony_tx("comparison with list prices"):
            books = read_books(period, cards_of_colony(), "model")
            found = compare_with_lists(books)
        return list_response([{"object": "list_comparison", **row} for row in found])


def gpu_name(gpu: Gpu, names: Mapping[UUID, str]) -> str:
    return f"{names.get(gpu[0], gpu[0].hex)}:{gpu[1]}"


def _card(row: GpuCost, names: Mapping[UUID, str]) -> dict[str, Any]:
    target = "all" if row.hive_id is None else names.get(row.hive_id, row.hive_id.hex)
    fields = {name: getattr(row, name) for name in CostOut.Meta.fields if name not in ("object", "target")}
    return {
        **fields,
        "id": str(row.id),
        "object": "gpu_cost",
        "target": target if row.gpu is None else f"{target}:{row.gpu}",
    }


def _group(by: By, group: Any, names: Mapping[UUID, str], slugs: Mapping[UUID, str]) -> str | None:
    if group is None:
        return None
    if by == "model":
        return str(group)
    if by == "tenant":
        return slugs.get(group)
    if by == "hive":
        return names.get(group)
    hive_id, indexes = group
    return f"{names.get(hive_id)}:{'+'.join(map(str, indexes))}"


def _gpus(books: Books, names: Mapping[UUID, str]) -> list[dict[str, Any]]:
    alone = {gpu: micros for gpu, _, micros in unallocated(books)}
    return [
        {
            "gpu": gpu_name(gpu, names),
            **{
                name: getattr(total, name)
                for name in ("currency", "source", "total_ms", "present_ms", "busy_ms", "no_card_ms")
            },
            "utilisation_percent": percent(total.busy_ms, total.present_ms),
            "cost_micros": round(total.busy_cost) + round(total.waiting_cost),
            "unallocated_micros": alone.get(gpu, 0),
        }
        for gpu, total in books.gpus.items()
    ]


def _totals(rows: Iterable[Mapping[str, Any]], books: Books) -> list[dict[str, Any]]:
    sums: dict[str, dict[str, Any]] = {}
    for row in rows:
        into = sums.setdefault(row["currency"], dict.fromkeys(SUMMED, 0))
        for name in SUMMED:
            into[name] += row[name]
    for _, currency, micros in unallocated(books):
        into = sums.setdefault(currency, dict.fromkeys(SUMMED, 0))
        into["waiting_cost_micros"] += micros
        into["cost_micros"] += micros
        into["margin_micros"] -= micros
    return [
        {
            "group": None,
            "currency": currency,
            **each,
            "margin_percent": percent(each["margin_micros"], each["revenue_micros"]),
        }
        for currency, each in sorted(sums.items())
    ]
