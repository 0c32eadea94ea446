"""Users, those of projects, and invites. OpenAI knows two roles where rbee has seven."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from gdpr.duties import unrecorded
from inference.rest.organization.base import (
    INVITE,
    USER,
    ListQuery,
    OrganizationView,
    Unsupported,
    deleted_response,
    page,
    read_id,
    seconds,
    shown_id,
)
from inference.rest.organization.shapes import DeletedShape, InviteShape, ProjectUserShape, UserShape
from tenants.api.members import require_giving
from tenants.domain import invitations, members
from tenants.enums import Role
from tenants.models import Invitation, Member
from tenants.rules import Capability

OWNERS = frozenset({Role.OWNER.value, Role.ADMIN.value})
GIVEN = {"owner": Role.ADMIN, "reader": Role.DEVELOPER}
ORGANIZATION_ROLES = list(GIVEN)
PROJECT_ROLES = ["owner", "member"]
ALL_PROJECTS = "Members of an organization are in all of its projects."


class UserQuery(ListQuery):
    emails = serializers.ListField(child=serializers.CharField(max_length=254), required=False)


class UserChange(serializers.Serializer[Any]):
    role = serializers.ChoiceField(ORGANIZATION_ROLES, required=False, allow_null=True)
    role_id = Unsupported("Roles are named: owner or reader, or the seven of /api/v1/members.")
    developer_persona = Unsupported("Nothing is kept about people but their name and address.")
    technical_level = Unsupported("Nothing is kept about people but their name and address.")


class NewInvite(serializers.Serializer[Any]):
    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(ORGANIZATION_ROLES)
    projects = Unsupported(ALL_PROJECTS)


class NewProjectUser(serializers.Serializer[Any]):
    role = serializers.ChoiceField(PROJECT_ROLES)
    user_id = serializers.CharField(required=False, allow_null=True, max_length=64)
    email = serializers.CharField(required=False, allow_null=True, max_length=254)


class ProjectUserChange(serializers.Serializer[Any]):
    role = serializers.ChoiceField(PROJECT_ROLES, required=False, allow_null=True)


class PeopleView(OrganizationView):
    def rows(self) -> QuerySet[Member]:
        return Member.objects.select_related("user")

    def member(self, user_id: str) -> Member:
        with self.scope():
            found = self.rows().filter(user_id=read_id(USER, user_id, "user")).first()
        if found is None:
            raise NotFound("There is no such user.")
        return found


class Users(PeopleView):
    capabilities = {"GET": Capability.MEMBERS_READ}

    @extend_schema(
        operation_id="list_organization_users", parameters=[UserQuery], responses=UserShape(many=True)
    )
    def get(self, request: Request) -> Response:
        query = self.read_query(UserQuery)
        with self.scope():
            rows = self.rows()
            if "emails" in query:
                rows = rows.filter(user__email__in=[email.strip().lower() for email in query["emails"]])
            return page(rows, query, USER, lambda found: [shown_user(row) for row in found], key="user_id")


class OneUser(PeopleView):
    capabilities = {
        "GET": Capability.MEMBERS_READ,
        "POST": Capability.MEMBERS_WRITE,
        "DELETE": Capability.MEMBERS_WRITE,
    }
    audits = {"POST": "member.role_changed", "DELETE": "member.removed"}

    @extend_schema(operation_id="retrieve_organization_user", responses=UserShape)
    def get(self, request: Request, user: str) -> Response:
        return Response(shown_user(self.member(user)))

    @extend_schema(operation_id="modify_organization_user", request=UserChange, responses={200: UserShape})
    def post(self, request: Request, user: str) -> Response:
        """A role that counts as the wanted one already stays as it is: a billing member is a reader."""
        member = self.member(user)
        wanted = self.read_body(UserChange).get("role")
        if wanted is not None and wanted != role_shown(member.role):
            require_giving(self.caller, GIVEN[wanted])
            member = members.change_role(member, GIVEN[wanted], actor=self.actor)
        return Response(shown_user(member))

    @extend_schema(operation_id="delete_organization_user", responses={200: DeletedShape})
    def delete(self, request: Request, user: str) -> Response:
        """Takes them out of the organization. Their account stays."""
        member = self.member(user)
        members.remove_member(member, actor=self.actor)
        return deleted_response("organization.user", shown_id(USER, member.user_id))


class ProjectUsers(PeopleView):
    capabilities = {"GET": Capability.MEMBERS_READ, "POST": Capability.MEMBERS_WRITE}
    audits = {"POST": unrecorded("members of a tenant are in all of its projects: it changes nothing")}

    @extend_schema(
        operation_id="list_project_users", parameters=[ListQuery], responses=ProjectUserShape(many=True)
    )
    def get(self, request: Request, project: str) -> Response:
        query = self.read_query(ListQuery)
        self.project(project)
        with self.scope():
            return page(
                self.rows(),
                query,
                USER,
                lambda found: [shown_project_user(row) for row in found],
                key="user_id",
            )

    @extend_schema(
        operation_id="create_project_user", request=NewProjectUser, responses={200: ProjectUserShape}
    )
    def post(self, request: Request, project: str) -> Response:
        """For a member of the organization this changes nothing: they are in the project. Others are invited."""
        self.project(project)
        body = self.read_body(NewProjectUser)
        email = (body.get("email") or "").strip().lower()
        if body.get("user_id"):
            member = self.member(body["user_id"])
        else:
            with self.scope():
                found = self.rows().filter(user__email=email).first()
            if found is None:
                raise NotFound("There is no such user: invite them to the organization.")
            member = found
        return Response(shown_project_user(_in_role(member, body["role"])))


class OneProjectUser(PeopleView):
    capabilities = {
        "GET": Capability.MEMBERS_READ,
        "POST": Capability.MEMBERS_WRITE,
        "DELETE": Capability.MEMBERS_WRITE,
    }
    audits = {
        "POST": unrecorded("members of a tenant are in all of its projects: it changes nothing"),
        "DELETE": unrecorded("it is always refused: members of a tenant are in all of its projects"),
    }

    @extend_schema(operation_id="retrieve_project_user", responses=ProjectUserShape)
    def get(self, request: Request, project: str, user: str) -> Response:
        self.project(project)
        return Response(shown_project_user(self.member(user)))

    @extend_schema(
        operation_id="modify_project_user", request=ProjectUserChange, responses={200: ProjectUserShape}
    )
    def post(self, request: Request, project: str, user: str) -> Response:
        """Roles are the organization's; this refuses to change one for a single project."""
        self.project(project)
        member = self.member(user)
        role = self.read_body(ProjectUserChange).get("role")
        return Response(shown_project_user(_in_role(member, role) if role else member))

    @extend_schema(operation_id="delete_project_user", responses={200: DeletedShape})
    def delete(self, request: Request, project: str, user: str) -> Response:
        """Refused, and says what does it: who leaves a project leaves the organization."""
        self.project(project)
        self.member(user)
        raise ValidationError({"user_id": [f"{ALL_PROJECTS} DELETE /v1/organization/users/{{user_id}}."]})


class Invites(PeopleView):
    capabilities = {"GET": Capability.MEMBERS_READ, "POST": Capability.MEMBERS_WRITE}
    audits = {"POST": "invitation.created"}

    @extend_schema(
        operation_id="list_organization_invites", parameters=[ListQuery], responses=InviteShape(many=True)
    )
    def get(self, request: Request) -> Response:
        query = self.read_query(ListQuery)
        with self.scope():
            rows = Invitation.objects.filter(revoked_at=None)
            return page(rows, query, INVITE, lambda found: [shown_invite(row) for row in found])

    @extend_schema(operation_id="create_organization_invite", request=NewInvite, responses={200: InviteShape})
    def post(self, request: Request) -> Response:
        """Sends a link that works once, for seven days."""
        body = self.read_body(NewInvite)
        role = GIVEN[body["role"]]
        require_giving(self.caller, role)
        made, _ = invitations.invite(self.organization.id, email=body["email"], role=role, actor=self.actor)
        return Response(shown_invite(made))


class OneInvite(PeopleView):
    capabilities = {"GET": Capability.MEMBERS_READ, "DELETE": Capability.MEMBERS_WRITE}
    audits = {"DELETE": "invitation.withdrawn"}

    @extend_schema(operation_id="retrieve_organization_invite", responses=InviteShape)
    def get(self, request: Request, invite: str) -> Response:
        return Response(shown_invite(self.found(invite)))

    @extend_schema(operation_id="delete_organization_invite", responses={200: DeletedShape})
    def delete(self, request: Request, invite: str) -> Response:
        found = self.found(invite)
        invitations.withdraw(found, actor=self.actor)
        return deleted_response("organization.invite", shown_id(INVITE, found.id))

    def found(self, invite: str) -> Invitation:
        with self.scope():
            rows = Invitation.objects.filter(revoked_at=None)
            found = rows.filter(id=read_id(INVITE, invite, "invite")).first()
        if found is None:
            raise NotFound("There is no such invite.")
        return found


def shown_user(member: Member) -> dict[str, Any]:
    return {
        "id": shown_id(USER, member.user_id),
        "object": "organization.user",
        "name": member.user.name,
        "email": member.user.email,
        "role": role_shown(member.role),
        "added_at": seconds(member.created_at),
    }


def shown_project_user(member: Member) -> dict[str, Any]:
    return shown_user(member) | {"object": "organization.project.user", "role": _project_role(member)}


def shown_invite(invitation: Invitation) -> dict[str, Any]:
    return {
        "id": shown_id(INVITE, invitation.id),
        "object": "organization.invite",
        "email": invitation.email,
        "role": role_shown(invitation.role),
        "status": _status(invitation),
        "created_at": seconds(invitation.created_at),
        "expires_at": seconds(invitation.expires_at),
        "accepted_at": seconds(invitation.accepted_at),
        "projects": [],
    }


def role_shown(role: str) -> str:
    return "owner" if role in OWNERS else "reader"


def _project_role(member: Member) -> str:
    return "owner" if member.role in OWNERS else "member"


def _in_role(member: Member, role: str) -> Member:
    if role != _project_role(member):
        raise ValidationError(
            {"role": [f"{ALL_PROJECTS} Change their role there: POST /v1/organization/users/{{user_id}}."]}
        )
    return member


def _status(invitation: Invitation) -> str:
    if invitation.accepted_at is not None:
        return "accepted"
    return "expired" if invitation.expires_at <= timezone.now() else "pending"
