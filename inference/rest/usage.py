from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from billing.domain.usage_summary import BUCKETS, GROUPS, Chosen, Summed, TooManyRows, summarize
from billing.models import UsageEvent
from inference.domain.costs import hive_names
from inference.models import Hive
from inference.rest.csv_answers import csv_answer, wants_csv
from inference.rest.fields import UsageOut, UsageQuery
from inference.rest.periods import FormatQuery, PeriodQuery, period_of
from tenants.api.base import PAGE_MAX, ManagementView, list_response, page_of
from tenants.api.keys import find_key
from tenants.api.permissions import is_operator
from tenants.api.tenancy import find_tenant, scope_of
from tenants.models import ApiKey, Project, Tenant
from tenants.rules import Capability

COLUMNS: Final = (
    "id", "request_id", "tenant", "project", "key", "endpoint", "model", "hive", "worker", "region", "outcome",
    "prompt_tokens", "cached_tokens", "completion_tokens", "images", "audio_ms", "video_ms", "engine_ms", "usage",
    "amount_micros", "currency", "attempt", "began_at", "first_token_at", "ended_at",
)  # fmt: skip
UNITS: Final = COLUMNS[COLUMNS.index("prompt_tokens") : COLUMNS.index("usage")]


class Groups(serializers.ListField):
    """Names with commas between."""

    def to_internal_value(self, data: Any) -> list[str]:
        text = data if isinstance(data, str) else ",".join(map(str, data))
        names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
        if unknown := [name for name in names if name not in GROUPS]:
            raise serializers.ValidationError(f"{unknown[0]} is none of {', '.join(GROUPS)}.")
        return names


class SummaryQuery(PeriodQuery, FormatQuery):
    group_by = Groups(child=serializers.CharField(), required=False, help_text=f"Some of {', '.join(GROUPS)}")
    bucket = serializers.ChoiceField(BUCKETS, required=False, help_text="Of UTC; left out: the whole time")
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant only"
    )
    model = serializers.CharField(default="", allow_blank=True, max_length=128)
    project = serializers.UUIDField(required=False)
    key = serializers.CharField(default="", allow_blank=True, max_length=64, help_text="Its id or kid")
    outcome = serializers.CharField(default="", allow_blank=True, max_length=50)


class SummaryOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="usage.summary")
    start = serializers.DateTimeField(allow_null=True, help_text="Of the bucket")
    group = serializers.DictField(help_text="By what was asked for in group_by")
    tasks = serializers.IntegerField(help_text="All that ended, whatever came of them")
    charged_tasks = serializers.IntegerField()
    usage = serializers.DictField(child=serializers.IntegerField(), help_text="Of those that are charged")
    amount_micros = serializers.IntegerField()
    currency = serializers.CharField()


class Usage(ManagementView):
    capabilities = {"GET": Capability.USAGE_READ}

    @extend_schema(operation_id="list_usage", parameters=[UsageQuery], responses=UsageOut(many=True))
    def get(self, request: Request) -> HttpResponseBase:
        """What tasks used and cost, newest first."""
        query = self.read_query(UsageQuery)
        if wants_csv(request, query):
            first = self._page(
                query | {"limit": PAGE_MAX}
            )  # what is wrong with the question is told before the 200
            return csv_answer(request, "usage", COLUMNS, self._pages(query, *first))
        return list_response(*self._page(query))

    def _pages(
        self, query: dict[str, Any], rows: list[dict[str, Any]], cursor: str | None
    ) -> Iterator[list[dict[str, Any]]]:
        yield [_flat(row) for row in rows]
        while cursor:
            rows, cursor = self._page(query | {"limit": PAGE_MAX, "cursor": cursor})
            yield [_flat(row) for row in rows]

    def _page(self, query: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
        with scope_of(self.caller, "list of usage"):
            rows = UsageEvent.objects.select_related("tenant", "project", "key").defer("receipt", "signature")
            found, cursor = page_of(_filtered(rows, query), query, key="task_id")
            names = dict(
                Hive.objects.filter(id__in={event.hive_id for event in found}).values_list("id", "name")
            )
            return [_row(event, names) for event in found], cursor


class UsageSummary(ManagementView):
    capabilities = {"GET": Capability.USAGE_READ}

    @extend_schema(operation_id="summarize_usage", parameters=[SummaryQuery], responses=SummaryOut(many=True))
    def get(self, request: Request) -> HttpResponseBase:
        """Usage and cost added up: a month's, unless since and until say otherwise."""
        query = self.read_query(SummaryQuery)
        group_by, bucket = query.get("group_by", []), query.get("bucket", "")
        with scope_of(self.caller, "summary of usage"):
            tenant_id = None if is_operator(self.caller) else UUID(str(self.caller.tenant_id))
            chosen = Chosen(
                tenant_id=find_tenant(query["tenant"]).id if query["tenant"] else tenant_id,
                project_id=query.get("project"),
                key_id=find_key(query["key"]).id if query["key"] else None,
                model=query["model"] or None,
                outcome=query["outcome"] or None,
            )
            try:
                found = summarize(period_of(query), group_by=group_by, bucket=bucket, chosen=chosen)
            except TooManyRows as error:
                raise ValidationError({"group_by": [str(error)]}) from None
            rows = _named(found)
        if not wants_csv(request, query):
            return list_response(rows)
        units = sorted({unit for row in rows for unit in row["usage"]})
        columns = ["start", *group_by, "tasks", "charged_tasks", *units, "amount_micros", "currency"]
        flat = [{**row, **row["group"], **row["usage"]} for row in rows]
        return csv_answer(request, "usage-summary", columns, [flat])


def _filtered(rows: QuerySet[UsageEvent], query: Mapping[str, Any]) -> QuerySet[UsageEvent]:
    if query["tenant"]:
        rows = rows.filter(tenant=find_tenant(query["tenant"]))
    if query["key"]:
        rows = rows.filter(key=find_key(query["key"]))
    given = {
        "model": query["model"],
        "outcome": query["outcome"],
        "project_id": query.get("project"),
        "admitted_at__gte": query.get("since"),
        "admitted_at__lt": query.get("until"),
    }
    return rows.filter(**{name: value for name, value in given.items() if value})


def _named(rows: Sequence[Summed]) -> list[dict[str, Any]]:
    """Identifiers as everybody knows them: slugs, kids and names. In the scope of the caller."""
    ids: dict[str, set[Any]] = {name: {row.groups.get(name) for row in rows} - {None} for name in GROUPS}
    names: dict[str, Mapping[Any, Any]] = {
        "tenant": dict(Tenant.objects.filter(id__in=ids["tenant"]).values_list("id", "slug")),
        "project": dict(Project.objects.filter(id__in=ids["project"]).values_list("id", "slug")),
        "key": dict(ApiKey.objects.filter(id__in=ids["key"]).values_list("id", "kid")),
        "hive": hive_names() if ids["hive"] else {},
    }
    return [
        {
            "object": "usage.summary",
            "start": row.start,
            "group": {name: names.get(name, {}).get(value, value) for name, value in row.groups.items()},
            "tasks": row.tasks,
            "charged_tasks": row.charged_tasks,
            "usage": row.usage,
            "amount_micros": row.amount_micros,
            "currency": row.currency,
        }
        for row in rows
    ]


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, **{unit: row["usage"].get(unit) for unit in UNITS}}


def _row(event: UsageEvent, hive_names: Mapping[UUID, str]) -> dict[str, Any]:
    return {
        "id": str(event.task_id),
        "object": "usage",
        "request_id": event.request_id,
        "tenant": event.tenant.slug,
        "project": event.project.slug,
        "key": event.key.kid if event.key else None,
        "endpoint": event.endpoint,
        "model": event.model,
        "hive": hive_names.get(event.hive_id) if event.hive_id else None,
        "worker": event.worker,
        "region": event.region,
        "outcome": event.outcome,
        "usage": event.usage,
        "amount_micros": event.amount_micros,
        "currency": event.currency,
        "attempt": event.attempt,
        "began_at": event.began_at,
        "first_token_at": event.first_token_at,
        "ended_at": event.ended_at,
        "decision": event.decision,
    }
