"""What is about the caller's own account, whatever tenants they are in; and the operator's people."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.scope import colony_tx
from tenants.api.base import ManagementView, deleted_response
from tenants.api.fields import Slug
from tenants.api.members import MemberOut, Until
from tenants.api.tenancy import TenantOut, refuse_operator_slug
from tenants.domain.accounts import create_operator
from tenants.domain.authentication import find_memberships
from tenants.domain.members import remove_member
from tenants.domain.rights import capabilities_of
from tenants.domain.tenancy import StateRefused, create_tenant
from tenants.enums import Role, TenantStatus
from tenants.models import Member, User
from tenants.rules import Capability

SIGN_UP_PLAN = "free"


class MembershipOut(serializers.Serializer[Any]):
    tenant = serializers.CharField()
    status = serializers.ChoiceField(TenantStatus.choices)
    role = serializers.ChoiceField(Role.choices)
    capabilities = serializers.ListField(child=serializers.CharField())


class AccountOut(serializers.Serializer[Any]):
    object = serializers.CharField(default="account")
    id = serializers.UUIDField()
    email = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    may_create_tenant = serializers.BooleanField()
    memberships = MembershipOut(many=True)


class OwnTenant(serializers.Serializer[Any]):
    slug = Slug()
    name = serializers.CharField(max_length=200, default="", allow_blank=True)


class NewOperator(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    name = serializers.CharField(max_length=200, default="", allow_blank=True)
    password = serializers.CharField(max_length=128, trim_whitespace=False)
    role = serializers.ChoiceField([role for role in Role.choices if role[0] != Role.OWNER], required=False)
    until = Until()


class Account(ManagementView):
    capabilities = {"GET": Capability.ACCOUNT}

    @extend_schema(operation_id="get_account", responses=AccountOut)
    def get(self, request: Request) -> Response:
        """Who is logged in, and what they may do where. X-Tenant says which tenant a request is about."""
        user = self.user
        memberships = [
            {
                "tenant": person.tenant_slug,
                "status": person.status,
                "role": person.role,
                "capabilities": sorted(capabilities_of(person)),
            }
            for person in find_memberships(user.id)
        ]
        return Response(
            {
                "object": "account",
                "id": user.id,
                "email": user.email,
                "name": user.name,
                "may_create_tenant": _may_create_tenant(user),
                "memberships": memberships,
            }
        )


class OwnTenants(ManagementView):
    capabilities = {"POST": Capability.ACCOUNT}
    audits = {"POST": "tenant.created"}

    @extend_schema(operation_id="sign_up_tenant", request=OwnTenant, responses={201: TenantOut})
    def post(self, request: Request) -> Response:
        """A tenant of one's own, where sign-up is open: one for each account, on the plan free."""
        body = self.read_body(OwnTenant)
        refuse_operator_slug(body["slug"])
        if settings.RBEE.signup != "open":
            raise PermissionDenied("Tenants are made by the operator here.")
        with colony_tx("sign-up of a tenant"):
            User.objects.select_for_update().get(id=self.user.id)  # one at a time
            if not _may_create_tenant(self.user):
                raise StateRefused("slug", "You own a tenant already.")
            tenant, _ = create_tenant(
                slug=body["slug"],
                name=body["name"],
                plan_slug=SIGN_UP_PLAN,
                owner=self.user,
                actor=self.actor,
            )
        return Response(TenantOut(tenant).data, status.HTTP_201_CREATED)


class OwnMembership(ManagementView):
    capabilities = {"DELETE": Capability.ACCOUNT}
    audits = {"DELETE": "member.removed"}

    @extend_schema(operation_id="leave_tenant", responses={200: None})
    def delete(self, request: Request, slug: str) -> Response:
        """Leaves a tenant. Its owner transfers the ownership first."""
        with colony_tx("a membership of one's own"):
            member = Member.objects.filter(user=self.user, tenant__slug=slug).first()
        if member is None:
            raise NotFound("You are a member of no such tenant.")
        remove_member(member, actor=self.actor)
        return deleted_response("membership", slug)


class Operators(ManagementView):
    capabilities = {"POST": Capability.COLONY_WRITE}
    audits = {"POST": "member.added"}

    @extend_schema(operation_id="create_operator", request=NewOperator, responses={201: MemberOut})
    def post(self, request: Request) -> Response:
        """An account for one of the operator's people. The first one owns the operator's tenant."""
        body = self.read_body(NewOperator)
        member = create_operator(
            email=body["email"],
            name=body["name"],
            password=body["password"],
            role=body.get("role", ""),
            until=body.get("until"),
            actor=self.actor,
        )
        with colony_tx("a member"):
            shown = MemberOut(Member.objects.select_related("tenant", "user").get(id=member.id)).data
        return Response(shown, status.HTTP_201_CREATED)


def _may_create_tenant(user: User) -> bool:
    if settings.RBEE.signup != "open":
        return False
    with colony_tx("tenants that somebody owns"):
        return not Member.objects.filter(user=user, role=Role.OWNER).exists()
