from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.permissions import is_operator
from tenants.api.tenancy import find_tenant, scope_of
from tenants.domain.alerts import close_alert
from tenants.models import Alert
from tenants.rules import Capability


class AlertQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant; left out: its own"
    )
    state = serializers.ChoiceField(["open", "closed", "all"], default="open")


class AlertOut(serializers.ModelSerializer[Alert]):
    object = serializers.CharField(default="alert", read_only=True)
    tenant = serializers.SlugField(source="tenant.slug", default=None, allow_null=True)

    class Meta:
        model = Alert
        fields = [
            "id", "object", "tenant", "kind", "object_ref", "message", "count", "first_at", "last_at", "closed_at",
        ]  # fmt: skip


class Alerts(ManagementView):
    capabilities = {"GET": Capability.ALERTS_READ}

    @extend_schema(operation_id="list_alerts", parameters=[AlertQuery], responses=AlertOut(many=True))
    def get(self, request: Request) -> Response:
        """What the caller has to see to, newest first."""
        query = self.read_query(AlertQuery)
        with scope_of(self.caller, "list of alerts"):
            owner = None
            if query["tenant"] or not is_operator(self.caller):
                owner = find_tenant(query["tenant"] or self.caller.tenant_slug).id
            rows = Alert.objects.select_related("tenant").filter(tenant=owner)
            if query["state"] != "all":
                rows = rows.filter(closed_at__isnull=query["state"] == "open")
            found, cursor = page_of(rows, query)
            return list_response([_row(row) for row in found], cursor)


class CloseAlert(ManagementView):
    capabilities = {"POST": Capability.ALERTS_WRITE}
    audits = {"POST": "alert.closed"}

    @extend_schema(operation_id="close_alert", request=None, responses=AlertOut)
    def post(self, request: Request, alert: UUID) -> Response:
        with scope_of(self.caller, "an alert"):
            found = Alert.objects.filter(id=alert).first()
        if found is None:
            raise NotFound("There is no such alert.")
        close_alert(found, actor=self.actor)
        with scope_of(self.caller, "an alert"):
            return Response(_row(Alert.objects.select_related("tenant").get(id=alert)))


def _row(alert: Alert) -> dict[str, Any]:
    return dict(AlertOut(alert).data)
