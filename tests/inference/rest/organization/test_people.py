from __future__ import annotations

import pytest
from openai import AuthenticationError, BadRequestError, ConflictError, NotFoundError, OpenAI

from gdpr.scope import colony_tx
from tenants.models import Invitation, Member, Project
from tests.factories.tenants import make_member
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import member_of


def role_of(member: Member) -> str:
    with colony_tx("tests"):
        return Member.objects.get(id=member.id).role


def test_users_are_owners_or_readers(client: OpenAI, project: Project) -> None:
    people = {role: make_member(project.tenant, role) for role in ("owner", "admin", "billing", "viewer")}
    make_member()  # of another organization

    users = list(client.admin.organization.users.list(limit=2))

    assert [user.id for user in users] == [f"user-{one.user_id.hex}" for one in reversed(people.values())]
    assert [user.role for user in users] == ["reader", "reader", "owner", "owner"]
    found = client.admin.organization.users.list(emails=[people["admin"].user.email.upper(), "x@example.org"])
    assert [user.email for user in found] == [people["admin"].user.email]
    one = client.admin.organization.users.retrieve(users[0].id)
    assert (one.object, one.added_at) == ("organization.user", int(people["viewer"].created_at.timestamp()))


def test_roles_change_only_where_they_differ(client: OpenAI, project: Project) -> None:
    update = client.admin.organization.users.update
    billing, viewer = make_member(project.tenant, "billing"), make_member(project.tenant, "viewer")

    assert update(f"user-{billing.user_id.hex}", role="reader").role == "reader"
    assert role_of(billing) == "billing"
    assert update(f"user-{viewer.user_id.hex}", role="owner").role == "owner"
    assert role_of(viewer) == "admin"
    assert update(f"user-{viewer.user_id.hex}", role="reader").role == "reader"
    assert role_of(viewer) == "developer"
    with pytest.raises(BadRequestError, match="named"):
        update(f"user-{viewer.user_id.hex}", role_id="role_1")


def test_owner_stays(client: OpenAI, project: Project) -> None:
    owner = f"user-{make_member(project.tenant, 'owner').user_id.hex}"

    with pytest.raises(ConflictError):
        client.admin.organization.users.update(owner, role="reader")
    with pytest.raises(ConflictError):
        client.admin.organization.users.delete(owner)


def test_user_who_is_deleted_is_no_member(client: OpenAI, stranger: OpenAI, project: Project) -> None:
    user = f"user-{make_member(project.tenant).user_id.hex}"

    with pytest.raises(NotFoundError):
        stranger.admin.organization.users.delete(user)
    gone = client.admin.organization.users.delete(user)

    assert (gone.deleted, gone.object) == (True, "organization.user.deleted")
    with pytest.raises(NotFoundError):
        client.admin.organization.users.retrieve(user)


def test_viewer_changes_nobody(project: Project) -> None:
    _, viewer = member_of(project.tenant, "viewer")
    other = make_member(project.tenant)

    refused = viewer.client.delete(f"/v1/organization/users/user-{other.user_id.hex}")

    assert refused.status_code == 403


def test_members_are_in_all_projects(client: OpenAI, project: Project) -> None:
    of = f"proj_{project.id.hex}"
    users = client.admin.organization.projects.users
    member = make_member(project.tenant, "developer")
    user = f"user-{member.user_id.hex}"

    assert [(one.id, one.role, one.object) for one in users.list(of)] == [
        (user, "member", "organization.project.user")
    ]
    assert users.retrieve(user, project_id=of).email == member.user.email
    assert users.create(of, user_id=user, role="member").id == user
    assert users.create(of, email=member.user.email, role="member").id == user
    assert users.update(user, project_id=of, role="member").role == "member"
    for refused in (
        lambda: users.create(of, user_id=user, role="owner"),
        lambda: users.update(user, project_id=of, role="owner"),
        lambda: users.delete(user, project_id=of),
    ):
        with pytest.raises(BadRequestError, match="in all of its projects"):
            refused()
    for absent in (
        lambda: users.create(of, email="x@example.org", role="member"),
        lambda: users.create(of, user_id=f"user-{make_member().user_id.hex}", role="member"),
    ):
        with pytest.raises(NotFoundError):
            absent()
    assert role_of(member) == "developer"


def test_life_of_an_invite(client: OpenAI, stranger: OpenAI, project: Project) -> None:
    invites = client.admin.organization.invites

    made = invites.create(email="New@example.org", role="reader")

    assert (made.object, made.email, made.role, made.status) == (
        "organization.invite", "new@example.org", "reader", "pending",
    )  # fmt: skip
    assert made.expires_at - made.created_at in range(7 * 86_400 - 1, 7 * 86_400 + 2)
    with colony_tx("tests"):
        assert Invitation.objects.get(tenant=project.tenant).role == "developer"
    assert [one.id for one in invites.list()] == [made.id]
    assert invites.retrieve(made.id) == made
    with pytest.raises(NotFoundError):
        stranger.admin.organization.invites.delete(made.id)
    assert invites.delete(made.id).object == "organization.invite.deleted"
    assert list(invites.list()) == []
    with pytest.raises(NotFoundError):
        invites.retrieve(made.id)
    assert audit_events("invitation.") == ["invitation.created", "invitation.withdrawn"]


def test_invite_to_one_project_is_refused(client: OpenAI, project: Project) -> None:
    with pytest.raises(BadRequestError, match="in all of its projects") as refused:
        client.admin.organization.invites.create(
            email="new@example.org",
            role="reader",
            projects=[{"id": f"proj_{project.id.hex}", "role": "member"}],
        )

    assert refused.value.param == "projects"


def test_developer_invites_nobody(project: Project) -> None:
    _, developer = member_of(project.tenant, "developer")

    refused = developer.client.post(
        "/v1/organization/invites", {"email": "x@example.org", "role": "owner"}, "application/json"
    )

    assert refused.status_code == 403


def test_admin_key_of_a_suspended_tenant_is_refused(client: OpenAI, operator: Api, project: Project) -> None:
    operator.post(f"tenants/{project.tenant.slug}/suspend")

    with pytest.raises(AuthenticationError):
        client.admin.organization.users.list()
