from __future__ import annotations

import time

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tenants.domain.authentication import find_caller
from tenants.models import Project
from tests.factories.tenants import make_key, make_project
from tests.inference.conftest import audit_events
from tests.inference.rest.organization.conftest import admin_client
from tests.tenants.api.people import member_of


def shown(project: Project) -> str:
    return f"proj_{project.id.hex}"


def test_service_account_gives_a_key_once_and_ends_with_it(client: OpenAI, project: Project) -> None:
    accounts = client.admin.organization.projects.service_accounts

    made = accounts.create(shown(project), name="shop", expires_in_seconds=3600)

    assert made.api_key is not None
    assert (made.object, made.role) == ("organization.project.service_account", "member")
    assert made.api_key.object == "organization.project.service_account.api_key"
    assert 3590 <= made.api_key.expires_at - time.time() <= 3600
    caller = find_caller(made.api_key.value)
    assert caller is not None
    assert (caller.project_id, caller.scopes) == (project.id.hex, frozenset({"inference"}))
    listed = accounts.list(shown(project))
    assert [one.id for one in listed] == [made.id]
    assert made.api_key.value not in listed.to_json()
    assert accounts.retrieve(made.id, project_id=shown(project)).name == "shop"
    gone = accounts.delete(made.id, project_id=shown(project))
    assert (gone.deleted, gone.object) == (True, "organization.project.service_account.deleted")
    assert find_caller(made.api_key.value) is None
    with pytest.raises(NotFoundError):
        accounts.retrieve(made.id, project_id=shown(project))
    assert audit_events("key.")[-2:] == ["key.issued", "key.revoked"]


def test_project_keys_are_looked_at_and_deleted(client: OpenAI, project: Project) -> None:
    keys = client.admin.organization.projects.api_keys
    key, secret = make_key(project, name="production")
    brought, _ = make_key(project, name="brought", value="sk-from-another-gateway-1234")

    first, second = keys.list(shown(project))

    assert (first.name, first.redacted_value) == ("brought", f"***{brought.last4}")
    assert second == keys.retrieve(f"key_{key.id.hex}", project_id=shown(project))
    assert (second.object, second.name) == ("organization.project.api_key", "production")
    assert second.redacted_value == f"rbee_***_{key.kid}_***{secret[-4:]}"
    assert second.owner.type == "service_account"
    assert second.owner.service_account.id == f"svc_acct_{key.id.hex}"
    assert list(keys.list(shown(project), owner_project_access="inactive")) == []
    gone = keys.delete(f"key_{key.id.hex}", project_id=shown(project))
    assert (gone.id, gone.object) == (f"key_{key.id.hex}", "organization.project.api_key.deleted")
    assert [one.id for one in keys.list(shown(project))] == [f"key_{brought.id.hex}"]
    assert find_caller(secret) is None


def test_key_is_found_in_its_own_project_only(client: OpenAI, project: Project) -> None:
    other = make_project(project.tenant)
    key, _ = make_key(project)

    for of in (shown(other), shown(make_project())):
        with pytest.raises(NotFoundError):
            client.admin.organization.projects.api_keys.delete(f"key_{key.id.hex}", project_id=of)
    for wrong in (f"svc_acct_{key.id.hex}", f"key_{'0' * 32}", key.kid):
        with pytest.raises(NotFoundError):
            client.admin.organization.projects.api_keys.retrieve(wrong, project_id=shown(project))


def test_admin_keys_administer_and_call_no_model(client: OpenAI, project: Project) -> None:
    keys = client.admin.organization.admin_api_keys
    make_key(project)

    made = keys.create(name="ci")

    assert (made.object, made.owner.type) == ("organization.admin_api_key", "service_account")
    assert [one.name for one in keys.list()] == ["terraform", "ci"]
    assert [one.name for one in keys.list(order="desc", limit=1)] == ["ci", "terraform"]
    assert [one.name for one in keys.list(after=made.id)] == []
    assert keys.retrieve(made.id).redacted_value.startswith("rbee_***_")
    with admin_client(made.value) as other:
        assert [one.id for one in other.admin.organization.projects.list()] == [shown(project)]
    caller = find_caller(made.value)
    assert caller is not None
    assert caller.scopes == frozenset({"manage"})
    assert keys.delete(made.id).object == "organization.admin_api_key.deleted"
    assert find_caller(made.value) is None


def test_nobody_makes_a_key_that_may_more_than_they(project: Project) -> None:
    _, developer = member_of(project.tenant, "developer")

    made = developer.client.post(
        f"/v1/organization/projects/{shown(project)}/service_accounts", {"name": "app"}, "application/json"
    )
    refused = developer.client.post("/v1/organization/admin_api_keys", {"name": "x"}, "application/json")

    assert made.status_code == 200
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "scopes")


def test_archived_project_takes_its_keys_along_but_those_that_administer(
    client: OpenAI, project: Project
) -> None:
    other = make_project(project.tenant)
    secret = make_key(project)[1]
    client.admin.organization.projects.archive(shown(project))

    assert find_caller(secret) is None
    caller = find_caller(str(client.admin_api_key))
    assert caller is not None
    assert caller.project_id == other.id.hex
    assert "key.moved" in audit_events("key.")

    with pytest.raises(BadRequestError, match="archived"):
        client.admin.organization.projects.service_accounts.create(shown(project), name="late")


def test_account_without_a_key_cannot_be_made(client: OpenAI, project: Project) -> None:
    accounts = client.admin.organization.projects.service_accounts

    for bad in ({"create_service_account_only": True}, {"expires_in_seconds": 0}, {"name": "\n"}):
        with pytest.raises(BadRequestError):
            accounts.create(shown(project), **{"name": "x", **bad})


def test_repeated_creation_makes_one_and_shows_its_value_once(client: OpenAI, project: Project) -> None:
    accounts = client.admin.organization.projects.service_accounts
    once = {"Idempotency-Key": "deploy-42"}

    first = accounts.create(shown(project), name="shop", extra_headers=once)
    again = accounts.create(shown(project), name="shop", extra_headers=once)

    assert first.api_key is not None
    assert (again.id, again.api_key) == (first.id, None)
    assert len(list(accounts.list(shown(project)))) == 1
