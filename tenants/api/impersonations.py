from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ManagementView, list_response, page_of
from tenants.api.fields import ShownOnce
from tenants.api.tenancy import TenantQuery, find_tenant, scope_of
from tenants.domain import impersonation
from tenants.models import Impersonation
from tenants.rules import Capability


class ImpersonationOut(serializers.ModelSerializer[Impersonation]):
    object = serializers.CharField(default="impersonation", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")
    write = serializers.BooleanField(source="writes")

    class Meta:
        model = Impersonation
        fields = [
            "id", "object", "tenant", "operator", "reason", "write", "created_at", "expires_at", "ended_at", "requests",
        ]  # fmt: skip


class BegunImpersonation(ImpersonationOut):
    token = ShownOnce("; send it as Authorization: Bearer")

    class Meta(ImpersonationOut.Meta):
        fields = [*ImpersonationOut.Meta.fields, "token"]


class NewImpersonation(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=500, help_text="The tenant reads it")
    minutes = serializers.IntegerField(min_value=1, max_value=impersonation.MINUTES_MAX, default=15)
    write = serializers.BooleanField(default=False)


class BeginImpersonation(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "impersonation.began"}
    shown_once = "token"

    @extend_schema(operation_id="impersonate", request=NewImpersonation, responses={201: BegunImpersonation})
    def post(self, request: Request, slug: str) -> Response:
        """A token that acts in the tenant's place. It never calls /v1 and shows no secret."""
        with scope_of(self.caller, "a tenant"):
            tenant = find_tenant(slug)
        body = self.read_body(NewImpersonation)
        visit, token = impersonation.begin_impersonation(
            tenant.id,
            reason=body["reason"],
            minutes=body["minutes"],
            writes=body["write"],
            actor=self.actor,
        )
        visit.tenant = tenant
        return Response({**ImpersonationOut(visit).data, "token": token}, status.HTTP_201_CREATED)


class Impersonations(ManagementView):
    capabilities = {"GET": Capability.IMPERSONATIONS_READ}

    @extend_schema(
        operation_id="list_impersonations", parameters=[TenantQuery], responses=ImpersonationOut(many=True)
    )
    def get(self, request: Request) -> Response:
        """Open and past ones, newest first."""
        query = self.read_query(TenantQuery)
        with scope_of(self.caller, "list of impersonations"):
            rows = Impersonation.objects.select_related("tenant")
            if query["tenant"]:
                rows = rows.filter(tenant=find_tenant(query["tenant"]))
            found, cursor = page_of(rows, query)
            return list_response([dict(ImpersonationOut(row).data) for row in found], cursor)


class OneImpersonation(ManagementView):
    capabilities = {"DELETE": (Capability.IMPERSONATIONS_END, Capability.COLONY_WRITE)}
    audits = {"DELETE": "impersonation.ended"}

    @extend_schema(operation_id="end_impersonation", responses={200: ImpersonationOut})
    def delete(self, request: Request, visit: UUID) -> Response:
        """At once."""
        with scope_of(self.caller, "an impersonation"):
            found = Impersonation.objects.select_related("tenant").filter(id=visit).first()
        if found is None:
            raise NotFound("There is no such impersonation.")
        tenant = found.tenant
        ended = impersonation.end_impersonation(found, actor=self.actor)
        ended.tenant = tenant
        return Response(ImpersonationOut(ended).data)
