from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from billing.models import UsageEvent
from inference.models import Hive
from inference.rest.fields import UsageOut, UsageQuery
from tenants.api.base import ManagementView, list_response, page_of
from tenants.api.keys import find_key
from tenants.api.tenancy import find_tenant, scope_of
from tenants.rules import Capability


class Usage(ManagementView):
    capabilities = {"GET": Capability.USAGE_READ}

    @extend_schema(operation_id="list_usage", parameters=[UsageQuery], responses=UsageOut(many=True))
    def get(self, request: Request) -> Response:
        """What tasks used and cost, newest first."""
        query = self.read_query(UsageQuery)
        with scope_of(self.caller, "list of usage"):
            rows = UsageEvent.objects.select_related("tenant", "project", "key").defer("receipt", "signature")
            if query["tenant"]:
                rows = rows.filter(tenant=find_tenant(query["tenant"]))
            if query["key"]:
                rows = rows.filter(key=find_key(query["key"]))
            rows = rows.filter(**_filters(query))
            found, cursor = page_of(rows, query, key="task_id")
            names = dict(
                Hive.objects.filter(id__in={event.hive_id for event in found}).values_list("id", "name")
            )
            return list_response([_row(event, names) for event in found], cursor)


def _filters(query: Mapping[str, Any]) -> dict[str, Any]:
    given = {
        "model": query["model"],
        "outcome": query["outcome"],
        "project_id": query.get("project"),
        "admitted_at__gte": query.get("since"),
        "admitted_at__lt": query.get("until"),
    }
    return {name: value for name, value in given.items() if value}


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
