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
from tenants.api.etags import tagged, unchanged
from tenants.api.fields import GpuClasses, ModelGlobs, Purposes, Region, Slug
from tenants.api.permissions import is_operator, user_of
from tenants.api.recency import require_recent_login
from tenants.domain import tenant_life
from tenants.domain.authentication import Caller
from tenants.domain.members import transfer_ownership
from tenants.domain.tenancy import OPERATOR_TENANTS, create_tenant
from tenants.enums import TenantStatus
from tenants.models import Member, Project, Tenant
from tenants.rules import Capability


class TenantOut(serializers.ModelSerializer[Tenant]):
    object = serializers.CharField(default="tenant", read_only=True)
    plan = serializers.CharField(source="plan.slug")
    tier = serializers.CharField(source="plan.tier")

    class Meta:
        model = Tenant
        fields = [
            "id", "object", "slug", "name", "plan", "tier", "region", "industry", "status", "requests_per_minute",
            "tokens_per_minute", "tokens_per_day", "concurrent_tasks", "allowed_models", "gpu_classes", "required_consents",
            "subject_consents", "content_days", "suspended_at", "deletes_at", "created_at",
        ]  # fmt: skip


class NewTenant(serializers.Serializer[Any]):
    slug = Slug(
        error_messages={"invalid": "A slug has lower-case letters, digits and hyphens, such as acme."},
    )
    name = serializers.CharField(max_length=200, default="", allow_blank=True)
    plan = serializers.SlugField(default="free")
    region = Region(default="", help_text="Tasks run there only")
    industry = serializers.CharField(max_length=100, default="", allow_blank=True)


class TenantChange(serializers.Serializer[Any]):
    """Name, industry and what its end users must agree to are the tenant's to change, the rest is the operator's. What is null is the plan's. Limits are
    changed at /limits/tenant/{slug}."""

    name = serializers.CharField(max_length=200, required=False)
    industry = serializers.CharField(max_length=100, required=False, allow_blank=True)
    plan = serializers.SlugField(required=False)
    region = Region(required=False)
    allowed_models = ModelGlobs(required=False, allow_null=True)
    gpu_classes = GpuClasses(required=False, allow_null=True)
    required_consents = Purposes(
        required=False, allow_null=True, help_text="Purposes that it must have agreed to: /gdpr/consents"
    )
    subject_consents = Purposes(
        required=False, help_text="Purposes that each of its end users must have agreed to"
    )


class Deletion(serializers.Serializer[Any]):
    confirm = serializers.CharField(help_text="The tenant's slug, so that nobody deletes another by mistake")
    grace_days = serializers.IntegerField(
        min_value=0,
        max_value=365,
        required=False,
        help_text="For the operator; left out: RBEE_GRACE_TENANT_DAYS",
    )


class Transfer(serializers.Serializer[Any]):
    member = serializers.UUIDField(help_text="Who becomes the owner")
    confirm = serializers.CharField(help_text="The tenant's slug")


class TenantQuery(PageQuery):
    tenant = serializers.SlugField(
        default="", allow_blank=True, help_text="For the operator: of this tenant only"
    )


class TenantsQuery(PageQuery):
    status = serializers.ChoiceField(TenantStatus.choices, default="", allow_blank=True)
    plan = serializers.SlugField(default="", allow_blank=True)


class Tenants(ManagementView):
    capabilities = {"GET": Capability.TENANT_READ, "POST": Capability.COLONY_WRITE}
    audits = {"POST": "tenant.created"}

    @extend_schema(operation_id="list_tenants", parameters=[TenantsQuery], responses=TenantOut(many=True))
    def get(self, request: Request) -> Response:
        query = self.read_query(TenantsQuery)
        with scope_of(self.caller, "list of tenants"):
            rows = Tenant.objects.select_related("plan")
            if query["status"]:
                rows = rows.filter(status=query["status"])
            if query["plan"]:
                rows = rows.filter(plan__slug=query["plan"])
            found, cursor = page_of(rows, query)
            return list_response([dict(TenantOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="create_tenant", request=NewTenant, responses={201: TenantOut})
    def post(self, request: Request) -> Response:
        body = self.read_body(NewTenant)
        refuse_operator_slug(body["slug"])
        tenant, _ = create_tenant(
            slug=body["slug"],
            name=body["name"],
            plan_slug=body["plan"],
            region=body["region"],
            industry=body["industry"],
            actor=self.actor,
        )
        return Response(TenantOut(tenant).data, status.HTTP_201_CREATED)


class TenantView(ManagementView):
    def tenant(self, slug: str) -> Tenant:
        with scope_of(self.caller, "a tenant"):
            return find_tenant(slug)

    def confirmed(self, slug: str, confirm: str) -> Tenant:
        """What cannot be undone by whoever finds an open browser. Raises ValidationError and RecentLoginNeeded."""
        tenant = self.tenant(slug)
        if confirm != tenant.slug:
            raise ValidationError({"confirm": [f"Write {tenant.slug} to confirm."]})
        if user_of(self.request) is not None:
            require_recent_login(self.request)
        return tenant


class OneTenant(TenantView):
    has_etag = True
    capabilities = {
        "GET": Capability.TENANT_READ,
        "PATCH": (Capability.TENANT_WRITE, Capability.COLONY_WRITE),
        "DELETE": (Capability.TENANT_DELETE, Capability.COLONY_WRITE),
    }
    audits = {"PATCH": "tenant.changed", "DELETE": "tenant.deleted"}

    @extend_schema(operation_id="get_tenant", responses=TenantOut)
    def get(self, request: Request, slug: str) -> Response:
        return tagged(TenantOut(self.tenant(slug)).data)

    @extend_schema(operation_id="update_tenant", request=TenantChange, responses=TenantOut)
    def patch(self, request: Request, slug: str) -> Response:
        tenant = self.tenant(slug)
        body = self.read_body(TenantChange)
        if not tenant_life.OWN_FIELDS.issuperset(body):
            self.require(Capability.COLONY_WRITE)
        scope = scope_of(self.caller, "a tenant, if unchanged")
        with unchanged(request, scope, tenant, lambda row: TenantOut(self.tenant(row.slug)).data):
            changed = tenant_life.update_tenant(tenant.id, body, actor=self.actor)
        return tagged(TenantOut(changed).data)

    @extend_schema(operation_id="delete_tenant", request=Deletion, responses={200: TenantOut})
    def delete(self, request: Request, slug: str) -> Response:
        """Refuses its keys at once. It can be restored until `deletes_at`."""
        body = self.read_body(Deletion)
        if "grace_days" in body:
            self.require(Capability.COLONY_WRITE)
        tenant = self.confirmed(slug, body["confirm"])
        days = body.get("grace_days")
        return Response(
            TenantOut(tenant_life.delete_tenant(tenant.id, grace_days=days, actor=self.actor)).data
        )


class Suspension(serializers.Serializer[Any]):
    reason = serializers.CharField(
        max_length=500, default="", allow_blank=True, help_text="The tenant reads it beside the audit entry"
    )


class SuspendTenant(TenantView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "tenant.suspended"}

    @extend_schema(operation_id="suspend_tenant", request=Suspension, responses=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        """Refuses its keys within a second; its members log in and read."""
        reason = self.read_body(Suspension)["reason"]
        suspended = tenant_life.suspend_tenant(self.tenant(slug).id, reason=reason, actor=self.actor)
        return Response(TenantOut(suspended).data)


class ResumeTenant(TenantView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "tenant.resumed"}

    @extend_schema(operation_id="resume_tenant", request=None, responses=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        return Response(TenantOut(tenant_life.resume_tenant(self.tenant(slug).id, actor=self.actor)).data)


class RestoreTenant(TenantView):
    capabilities = {"POST": (Capability.TENANT_DELETE, Capability.COLONY_WRITE)}
    audits = {"POST": "tenant.restored"}

    @extend_schema(operation_id="restore_tenant", request=None, responses=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        """Takes a deletion back, within its time of grace."""
        return Response(TenantOut(tenant_life.restore_tenant(self.tenant(slug).id, actor=self.actor)).data)


class TransferTenant(TenantView):
    capabilities = {"POST": (Capability.TENANT_TRANSFER, Capability.COLONY_WRITE)}
    audits = {"POST": "tenant.transferred"}

    @extend_schema(operation_id="transfer_tenant", request=Transfer, responses=TenantOut)
    def post(self, request: Request, slug: str) -> Response:
        """Makes another member the owner, and the owner an administrator. People have to have logged in recently."""
        body = self.read_body(Transfer)
        tenant = self.confirmed(slug, body["confirm"])
        with tenant_tx(tenant.id):
            member = Member.objects.filter(id=body["member"]).first()
        if member is None:
            raise NotFound("There is no such member.")
        transfer_ownership(member, actor=self.actor)
        return Response(TenantOut(self.tenant(slug)).data)


def scope_of(caller: Caller, reason: str) -> AbstractContextManager[None]:
    """The operator sees all tenants, a tenant itself."""
    return colony_tx(reason) if is_operator(caller) else tenant_tx(caller.tenant_id)


def find_tenant(slug: str) -> Tenant:
    """In a scope: a tenant that is foreign to it is as absent as one that is not there. Raises NotFound."""
    tenant = Tenant.objects.select_related("plan").filter(slug=slug).first()
    if tenant is None:
        raise NotFound("There is no such tenant.")
    return tenant


def tenant_of(caller: Caller, slug: str) -> Tenant:
    """The caller's own when no slug is given. Raises NotFound."""
    with scope_of(caller, "a tenant"):
        return find_tenant(slug or caller.tenant_slug)


def find_project(tenant: Tenant, slug: str) -> Project:
    """One that is not archived, the tenant's first when no slug is given. In a scope. Raises NotFound."""
    projects = Project.objects.select_related("tenant").filter(tenant=tenant, archived_at=None)
    project = (projects.filter(slug=slug) if slug else projects.order_by("id")).first()
    if project is None:
        raise NotFound("There is no such project.")
    return project


def refuse_operator_slug(slug: str) -> None:
    if slug in OPERATOR_TENANTS:
        raise ValidationError({"slug": [f"{slug} is the operator's own."]})
