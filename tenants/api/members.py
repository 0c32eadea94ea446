from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ManagementView, deleted_response, list_response, page_of
from tenants.api.etags import tagged, unchanged
from tenants.api.tenancy import TenantQuery, scope_of, tenant_of
from tenants.domain import members
from tenants.domain.authentication import Caller
from tenants.domain.rights import roles_given_by
from tenants.enums import Role
from tenants.models import Member
from tenants.rules import Capability


class Until(serializers.DateTimeField):
    def __init__(self, **more: Any) -> None:
        super().__init__(
            required=False,
            allow_null=True,
            help_text="Of an auditor, who has to have an end: at most 90 days",
            **more,
        )


class MemberOut(serializers.ModelSerializer[Member]):
    object = serializers.CharField(default="member", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")
    user = serializers.UUIDField(source="user_id")
    email = serializers.CharField(source="user.email")
    name = serializers.CharField(source="user.name")
    until = serializers.DateTimeField(
        source="ends_at", allow_null=True, help_text="Of an auditor; null: for good"
    )

    class Meta:
        model = Member
        fields = ["id", "object", "tenant", "user", "email", "name", "role", "until", "created_at"]


class RoleChange(serializers.Serializer[Any]):
    role = serializers.ChoiceField(Role.choices)
    until = Until()


class MemberQuery(TenantQuery):
    role = serializers.ChoiceField(Role.choices, default="", allow_blank=True)
    email = serializers.CharField(default="", allow_blank=True, max_length=254)


class Members(ManagementView):
    capabilities = {"GET": Capability.MEMBERS_READ}

    @extend_schema(operation_id="list_members", parameters=[MemberQuery], responses=MemberOut(many=True))
    def get(self, request: Request) -> Response:
        """Of the caller's own tenant, or for the operator of that of `tenant`."""
        query = self.read_query(MemberQuery)
        tenant = tenant_of(self.caller, query["tenant"])
        with scope_of(self.caller, "list of members"):
            rows = Member.objects.select_related("tenant", "user").filter(tenant=tenant)
            if query["role"]:
                rows = rows.filter(role=query["role"])
            if query["email"]:
                rows = rows.filter(user__email=query["email"].strip().lower())
            found, cursor = page_of(rows, query)
            return list_response([dict(MemberOut(row).data) for row in found], cursor)


class OneMember(ManagementView):
    has_etag = True
    capabilities = {
        "GET": Capability.MEMBERS_READ,
        "PATCH": Capability.MEMBERS_WRITE,
        "DELETE": Capability.MEMBERS_WRITE,
    }
    audits = {"PATCH": "member.role_changed", "DELETE": "member.removed"}

    @extend_schema(operation_id="get_member", responses=MemberOut)
    def get(self, request: Request, member: UUID) -> Response:
        return tagged(self.shown(member))

    @extend_schema(operation_id="change_role", request=RoleChange, responses=MemberOut)
    def patch(self, request: Request, member: UUID) -> Response:
        found = self.found(member)
        body = self.read_body(RoleChange)
        role = body["role"]
        require_giving(self.caller, role)
        scope = scope_of(self.caller, "a member, if unchanged")
        with unchanged(request, scope, found, lambda row: self.shown(row.id)):
            members.change_role(found, role, actor=self.actor, until=body.get("until"))
        return tagged(self.shown(member))

    @extend_schema(operation_id="remove_member", responses={200: None})
    def delete(self, request: Request, member: UUID) -> Response:
        found = self.found(member)
        members.remove_member(found, actor=self.actor)
        return deleted_response("member", str(found.id))

    def shown(self, member_id: UUID) -> Any:
        return MemberOut(self.found(member_id)).data

    def found(self, member_id: UUID) -> Member:
        with scope_of(self.caller, "a member"):
            member = Member.objects.select_related("tenant", "user").filter(id=member_id).first()
        if member is None:
            raise NotFound("There is no such member.")
        return member


def require_giving(caller: Caller, role: str) -> None:
    if role not in roles_given_by(caller):
        raise PermissionDenied(f"You cannot make anybody {role} here.")
