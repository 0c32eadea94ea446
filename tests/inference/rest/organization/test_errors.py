"""What makes no sense is refused in OpenAI's words, by the name of the field."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from openai import BadRequestError, ConflictError, OpenAI

from gdpr.scope import colony_tx
from tenants.models import Invitation, Project
from tests.factories.tenants import make_key, make_member
from tests.inference.conftest import Api
from tests.inference.rest.organization.conftest import admin_client
from tests.tenants.api.people import member_of

LONG = "x" * 201

BODIES: list[tuple[str, dict[str, Any], str]] = [
    ("projects", {}, "name"),
    ("projects", {"name": LONG}, "name"),
    ("projects", {"name": ["a"]}, "name"),
    ("projects", {"name": "a\x00"}, "name"),
    ("projects", {"name": "x", "external_key_id": "k"}, "external_key_id"),
    ("projects/{project}", {"name": ""}, "name"),
    ("projects/{project}", {"geography": "EU"}, "geography"),
    ("projects/{project}/service_accounts", {}, "name"),
    ("projects/{project}/service_accounts", {"name": LONG}, "name"),
    ("projects/{project}/service_accounts", {"name": "x", "expires_in_seconds": "soon"}, "expires_in_seconds"),
    ("projects/{project}/service_accounts", {"name": "x", "expires_in_seconds": 2**40}, "expires_in_seconds"),
    ("projects/{project}/users", {"email": "x@example.org"}, "role"),
    ("projects/{project}/users", {"user_id": "user-x", "role": "king"}, "role"),
    ("projects/{project}/users/{user}", {"role": "king"}, "role"),
    ("projects/{project}/rate_limits/rl-all-models", {"max_requests_per_1_minute": -1}, "max_requests_per_1_minute"),
    ("projects/{project}/rate_limits/rl-all-models", {"max_tokens_per_1_minute": 2**31}, "max_tokens_per_1_minute"),
    ("projects/{project}/rate_limits/rl-all-models", {"max_requests_per_1_day": 1.5}, "max_requests_per_1_day"),
    ("projects/{project}/rate_limits/rl-all-models", {"batch_1_day_max_input_tokens": 1}, "batch_1_day_max_input_tokens"),
    ("admin_api_keys", {}, "name"),
    ("admin_api_keys", {"name": "x", "expires_in_seconds": 0}, "expires_in_seconds"),
    ("admin_api_keys", {"name": "x", "scopes": ["inference"]}, "scopes"),
    ("invites", {"role": "reader"}, "email"),
    ("invites", {"email": "nobody", "role": "reader"}, "email"),
    ("invites", {"email": "x@example.org"}, "role"),
    ("invites", {"email": "x@example.org", "role": "developer"}, "role"),
    ("users/{user}", {"role": "developer"}, "role"),
    ("users/{user}", {"role": "owner", "colour": "red"}, "colour"),
    ("users/{user}", {"technical_level": "high"}, "technical_level"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "param"), BODIES)
def test_body_that_makes_no_sense_is_refused_by_its_field(
    project: Project, path: str, body: dict[str, Any], param: str
) -> None:
    member = make_member(project.tenant, "viewer")
    manager = Api(make_key(project, scopes=["manage"])[1])
    url = path.format(project=f"proj_{project.id.hex}", user=f"user-{member.user_id.hex}")

    answer = manager.client.post(f"/v1/organization/{url}", body, "application/json")

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"], error["param"]) == (
        400, "invalid_request_error", "invalid_value", param,
    )  # fmt: skip
    assert answer["x-request-id"].startswith("req_")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 10_000])
def test_body_that_is_no_object_is_refused(project: Project, body: bytes) -> None:
    manager = Api(make_key(project, scopes=["manage"])[1])

    answer = manager.client.generic("POST", "/v1/organization/projects", body, "application/json")

    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("audit_logs?effective_at[gt]=soon", "effective_at.gt"),
        ("audit_logs?effective_at[around]=5", "effective_at.around"),
        ("audit_logs?effective_at=5", "effective_at"),
        ("projects?include_archived=perhaps", "include_archived"),
        ("projects/{project}/api_keys?owner_project_access=some", "owner_project_access"),
        ("users?emails[]=" + "x" * 255, "emails.0"),
        ("costs", "start_time"),
        ("costs?start_time=-1", "start_time"),
        ("usage/completions?start_time=0&group_by=colour", "group_by"),
    ],
)
def test_query_that_makes_no_sense_is_refused_by_its_field(project: Project, path: str, param: str) -> None:
    manager = Api(make_key(project, scopes=["manage"])[1])

    answer = manager.client.get(f"/v1/organization/{path.format(project=f'proj_{project.id.hex}')}")

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_who_is_a_member_is_not_invited_and_who_accepted_is_not_withdrawn(
    client: OpenAI, project: Project
) -> None:
    invites = client.admin.organization.invites
    member = make_member(project.tenant)
    with pytest.raises(ConflictError, match="member already"):
        invites.create(email=member.user.email, role="reader")
    made = invites.create(email="new@example.org", role="owner")
    with colony_tx("tests"):
        Invitation.objects.update(accepted_at=timezone.now())

    assert invites.retrieve(made.id).status == "accepted"
    with pytest.raises(ConflictError, match="accepted"):
        invites.delete(made.id)


def test_invites_tell_what_became_of_them(client: OpenAI) -> None:
    invites = client.admin.organization.invites
    first = invites.create(email="new@example.org", role="reader")
    again = invites.create(email="new@example.org", role="owner")
    assert [one.id for one in invites.list()] == [again.id]
    assert (first.role, again.role) == ("reader", "owner")
    with colony_tx("tests"):
        Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert [one.status for one in invites.list()] == ["expired"]


def test_admin_key_ends_when_it_said(client: OpenAI) -> None:
    made = client.admin.organization.admin_api_keys.create(name="ci", extra_body={"expires_in_seconds": 60})

    assert made.to_dict()["expires_at"] - made.created_at in {59, 60, 61}
    with admin_client(made.value) as other:
        assert other.admin.organization.projects.list().data


def test_keys_are_filtered_by_whether_their_owner_is_there(client: OpenAI, project: Project) -> None:
    make_key(project)
    keys = client.admin.organization.projects.api_keys

    counts = {
        access: len(list(keys.list(f"proj_{project.id.hex}", owner_project_access=access)))
        for access in ("active", "any", "inactive")
    }

    assert counts == {"active": 1, "any": 1, "inactive": 0}


def test_archived_project_is_looked_at_and_takes_nothing_new(client: OpenAI, project: Project) -> None:
    projects = client.admin.organization.projects
    made = projects.create(name="old")
    projects.archive(made.id)

    assert projects.retrieve(made.id).status == "archived"
    assert list(projects.api_keys.list(made.id)) == []
    with pytest.raises(BadRequestError, match="archived") as refused:
        projects.service_accounts.create(made.id, name="late")
    assert refused.value.param == "project_id"
    assert projects.archive(made.id).status == "archived"


def test_role_is_given_by_who_may_give_it(project: Project) -> None:
    _, admin = member_of(project.tenant, "admin")
    other = make_member(project.tenant, "viewer")
    url = f"/v1/organization/users/user-{other.user_id.hex}"

    given = admin.client.post(url, {"role": "owner"}, "application/json")
    assert (given.status_code, given.json()["role"]) == (200, "owner")
    for role in ("developer", "billing", "dpo", "viewer"):
        _, someone = member_of(project.tenant, role)
        assert someone.client.post(url, {"role": "reader"}, "application/json").status_code == 403
        assert someone.client.delete(url).status_code == 403
    reading = Api(make_key(project, scopes=["read"])[1])
    assert reading.client.get(url).json()["role"] == "owner"
    assert reading.client.delete(url).status_code == 403


def test_bills_are_for_billing_and_people_are_not(project: Project) -> None:
    _, billing = member_of(project.tenant, "billing")

    answers = {
        path: billing.client.get(f"/v1/organization/{path}").status_code
        for path in (
            "costs?start_time=0",
            "usage/completions?start_time=0",
            "projects",
            "users",
            "admin_api_keys",
        )
    }

    assert answers == {
        "costs?start_time=0": 200, "usage/completions?start_time=0": 200, "projects": 200, "users": 403,
        "admin_api_keys": 403,
    }  # fmt: skip
