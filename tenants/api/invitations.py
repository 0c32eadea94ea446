from __future__ import annotations

from typing import Any
from uuid import UUID

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.scope import tenant_tx
from tenants.api.base import ManagementView, deleted_response, list_response, page_of
from tenants.api.fields import ShownOnce
from tenants.api.members import MemberOut, Until, require_giving
from tenants.api.permissions import is_operator, user_of
from tenants.api.tenancy import TenantQuery, scope_of, tenant_of
from tenants.domain import invitations
from tenants.enums import Role
from tenants.models import Invitation, Member
from tenants.rules import Capability


class InvitationOut(serializers.ModelSerializer[Invitation]):
    object = serializers.CharField(default="invitation", read_only=True)
    tenant = serializers.CharField(source="tenant.slug")
    until = serializers.DateTimeField(
        source="ends_at", allow_null=True, help_text="Of an auditor; null: for good"
    )

    class Meta:
        model = Invitation
        fields = [
            "id", "object", "tenant", "email", "role", "until", "created_at", "expires_at", "mailed_at", "accepted_at",
            "revoked_at",
        ]  # fmt: skip


class MadeInvitation(InvitationOut):
    link = ShownOnce("; for the operator where no e-mail leaves: hand it over yourself")

    class Meta(InvitationOut.Meta):
        fields = [*InvitationOut.Meta.fields, "link"]


class NewInvitation(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(Role.choices, default=Role.VIEWER)
    until = Until()
    tenant = serializers.SlugField(default="", allow_blank=True, help_text="For the operator; else your own")


class InvitationQuery(TenantQuery):
    include_closed = serializers.BooleanField(
        default=False, help_text="Accepted, withdrawn and overdue ones too"
    )


class Acceptance(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=200)
    name = serializers.CharField(max_length=200, default="", allow_blank=True)
    password = serializers.CharField(
        max_length=128,
        default="",
        allow_blank=True,
        trim_whitespace=False,
        help_text="Of an account to be made",
    )


class Invitations(ManagementView):
    capabilities = {"GET": Capability.MEMBERS_READ, "POST": Capability.MEMBERS_WRITE}
    audits = {"POST": "invitation.created"}
    shown_once = "link"

    @extend_schema(
        operation_id="list_invitations", parameters=[InvitationQuery], responses=InvitationOut(many=True)
    )
    def get(self, request: Request) -> Response:
        query = self.read_query(InvitationQuery)
        tenant = tenant_of(self.caller, query["tenant"])
        with scope_of(self.caller, "list of invitations"):
            rows = Invitation.objects.select_related("tenant").filter(tenant=tenant)
            if not query["include_closed"]:
                rows = rows.filter(accepted_at=None, revoked_at=None)
            found, cursor = page_of(rows, query)
            return list_response([dict(InvitationOut(row).data) for row in found], cursor)

    @extend_schema(operation_id="invite", request=NewInvitation, responses={201: MadeInvitation})
    def post(self, request: Request) -> Response:
        """Sends a link that works once, for seven days. Whoever is invited again gets another."""
        body = self.read_body(NewInvitation)
        require_giving(self.caller, body["role"])
        tenant = tenant_of(self.caller, body["tenant"])
        made, token = invitations.invite(
            tenant.id, email=body["email"], role=body["role"], until=body.get("until"), actor=self.actor
        )
        # Whoever holds the link can make the account of that address, so only the operator is ever told.
        is_told = is_operator(self.caller) and not settings.RBEE.smtp_url
        link = invitations.link_of(token) if is_told else None
        with scope_of(self.caller, "an invitation"):
            shown = {**InvitationOut(self._row(made.id)).data, "link": link}
        return Response(shown, status.HTTP_201_CREATED)

    def _row(self, invitation_id: UUID) -> Invitation:
        return Invitation.objects.select_related("tenant").get(id=invitation_id)


class OneInvitation(ManagementView):
    capabilities = {"DELETE": Capability.MEMBERS_WRITE}
    audits = {"DELETE": "invitation.withdrawn"}

    @extend_schema(operation_id="withdraw_invitation", responses={200: None})
    def delete(self, request: Request, invitation: UUID) -> Response:
        with scope_of(self.caller, "an invitation"):
            found = Invitation.objects.filter(id=invitation).first()
        if found is None:
            raise NotFound("There is no such invitation.")
        invitations.withdraw(found, actor=self.actor)
        return deleted_response("invitation", str(found.id))


class AcceptInvitation(ManagementView):
    capabilities = {"POST": Capability.PUBLIC}
    audits = {"POST": "invitation.accepted"}

    @extend_schema(operation_id="accept_invitation", request=Acceptance, responses={201: MemberOut})
    def post(self, request: Request) -> Response:
        """Logged in with the address that was invited, or with a password for an account that this makes."""
        body = self.read_body(Acceptance)
        member = invitations.accept(
            body["token"], user=user_of(request), name=body["name"], password=body["password"]
        )
        with tenant_tx(member.tenant_id):
            shown = MemberOut(Member.objects.select_related("tenant", "user").get(id=member.id)).data
        return Response(shown, status.HTTP_201_CREATED)
