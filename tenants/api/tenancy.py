from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.scope import colony_tx, tenant_tx
from tenants.api.base import ManagementView, PageQuery, list_response, page_of
from tenants.api.permissions import CanManage, IsOperator, is_operator
from tenants.domain.authentication import Caller
from tenants.domain.tenancy import OPERATOR_TENANTS, create_tenant
from tenants.models import Project, Tenant

REGION = r"[A-Za-z0-9][A-Za-z0-9._/-]*"


class TenantOut(serializers.ModelSerializer[Tenant]):
    object = serializers.CharField(default="tenant", read_only=True)
    plan = serializers.CharField(source="plan.slug")
    tier = serializers.CharField(source="plan.tier")

    class Meta:
        model = Tenant
        fields = [
            "id",
            "object",
            "slug",
            "name",
            "plan",
            "tier",
            "region",
            "industry",
            "status",
            "created_at",
        ]


class NewTenant(serializers.Serializer[Any]):
    slug = serializers.RegexField(
        r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z",
        max_length=50,
        error_messages={"invalid": "A slug has lower-case letters, digits and hyphens, such as acme."},
    )
    name = serializers.CharField(max_length=200, default="", allow_blank=True)
    plan = serializers.SlugField(default="free")
    region = serializers.RegexField(
        rf"^{REGION}\Z", max_length=50, default="", allow_blank=True, help_text="Tasks run there only"
    )
    industry = serializers.CharField(max_length=100, default="", allow_blank=True)


class ProjectOut(serializers.ModelSerializer[Project]):
    object = serializers.CharField(default="project", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")

    class Meta:
        model = Project
        fields = ["id", "object", "slug", "name", "tenant", "created_at"]


class TenantQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant only"
    )


class Tenants(ManagementView):
    def get_permissions(self) -> list[Any]:
        return [CanManage() if self.request.method == "GET" else IsOperator()]

    @extend_schema(operation_id="list_tenants", parameters=[PageQuery], responses=TenantOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(PageQuery)
        with scope_of(self.caller, "list of tenants"):
            found, cursor = page_of(Tenant.objects.select_related("plan"), query)
            return list_response([dict(TenantOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_tenant", request=NewTenant, responses={201: TenantOut})
    def post(self, request: Request) -> Response:
        body = self.read_body(NewTenant)
        if body["slug"] in OPERATOR_TENANTS:
            raise ValidationError({"slug": [f"{body['slug']} is the operator's own."]})
        tenant, _ = create_tenant(
            slug=body["slug"],
            name=body["name"],
            plan_slug=body["plan"],
            region=body["region"],
            industry=body["industry"],
            actor=self.actor,
        )
        return Response(TenantOut(tenant).data, status.HTTP_201_CREATED)


class OneTenant(ManagementView):
    @extend_schema(operation_id="get_tenant", responses=TenantOut)
    def get(self, request: Request, slug: str) -> Response:
        with scope_of(self.caller, "a tenant"):
            return Response(TenantOut(find_tenant(slug)).data)


class Projects(ManagementView):
    @extend_schema(operation_id="list_projects", parameters=[TenantQuery], responses=ProjectOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(TenantQuery)
        with scope_of(self.caller, "list of projects"):
            rows = Project.objects.select_related("tenant")
            if query["tenant"]:
                rows = rows.filter(tenant=find_tenant(query["tenant"]))
            found, cursor = page_of(rows, query)
            return list_response([dict(ProjectOut(row).data) for row in found], cursor)


def scope_of(caller: Caller, reason: str) -> AbstractContextManager[None]:
    """The operator sees all tenants, a tenant itself."""
    return colony_tx(reason) if is_operator(caller) else tenant_tx(caller.tenant_id)


def find_tenant(slug: str) -> Tenant:
    """In a scope: a tenant that is foreign to it is as absent as one that is not there. Raises NotFound."""
    tenant = Tenant.objects.select_related("plan").filter(slug=slug).first()
    if tenant is None:
        raise NotFound("There is no such tenant.")
    return tenant


def find_project(tenant: Tenant, slug: str) -> Project:
    """The tenant's first, when no slug is given. In a scope. Raises NotFound."""
    projects = Project.objects.select_related("tenant").filter(tenant=tenant)
    project = (projects.filter(slug=slug) if slug else projects.order_by("id")).first()
    if project is None:
        raise NotFound("There is no such project.")
    return project
