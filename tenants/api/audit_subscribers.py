"""`/gdpr/audit/subscribers`: which members are mailed the audit log's checkpoint of the day."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ManagementView, deleted_response, list_response, page_of
from tenants.api.tenancy import TenantQuery, scope_of, tenant_of
from tenants.domain.authentication import Caller
from tenants.domain.checkpoint_mail import subscribe, unsubscribe
from tenants.models import CheckpointMail, Member
from tenants.rules import Capability


class SubscriberOut(serializers.ModelSerializer[CheckpointMail]):
    object = serializers.CharField(default="audit.subscriber", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")
    member = serializers.UUIDField(source="member_id")
    email = serializers.CharField(source="member.user.email")
    mailed_at = serializers.DateTimeField(
        allow_null=True, help_text="Of the last one; null: none yet, or not today's"
    )

    class Meta:
        model = CheckpointMail
        fields = ["id", "object", "tenant", "member", "email", "created_at", "mailed_at"]


class SubscriberIn(serializers.Serializer[Any]):
    member = serializers.UUIDField()


class Subscribers(ManagementView):
    capabilities = {"GET": Capability.MEMBERS_READ, "POST": Capability.MEMBERS_WRITE}
    audits = {"POST": "audit.subscribed"}

    @extend_schema(
        operation_id="list_audit_subscribers", parameters=[TenantQuery], responses=SubscriberOut(many=True)
    )
    def get(self, request: Request) -> Response:
        """Of the caller's own tenant, or for the operator of that of `tenant`."""
        query = self.read_query(TenantQuery)
        tenant = tenant_of(self.caller, query["tenant"])
        with scope_of(self.caller, "who is mailed checkpoints"):
            rows = CheckpointMail.objects.select_related("tenant", "member__user").filter(tenant=tenant)
            found, cursor = page_of(rows, query)
            return list_response([dict(SubscriberOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="subscribe_to_audit", request=SubscriberIn, responses={201: SubscriberOut})
    def post(self, request: Request) -> Response:
        """Mail this member the checkpoint of each day; again changes nothing."""
        row = subscribe(find_member(self.caller, self.read_body(SubscriberIn)["member"]), actor=self.actor)
        with scope_of(self.caller, "who is mailed checkpoints"):
            shown = CheckpointMail.objects.select_related("tenant", "member__user").get(id=row.id)
            return Response(dict(SubscriberOut(shown).data), status=201)


class OneSubscriber(ManagementView):
    capabilities = {"DELETE": Capability.MEMBERS_WRITE}
    audits = {"DELETE": "audit.unsubscribed"}

    @extend_schema(operation_id="unsubscribe_from_audit", responses={200: None})
    def delete(self, request: Request, member: UUID) -> Response:
        found = find_member(self.caller, member)
        unsubscribe(found, actor=self.actor)
        return deleted_response("audit.subscriber", str(found.id))


def find_member(caller: Caller, member_id: UUID) -> Member:
    with scope_of(caller, "a member"):
        member = Member.objects.filter(id=member_id).first()
    if member is None:
        raise NotFound("There is no such member.")
    return member
