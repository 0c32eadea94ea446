"""Every list of the surface comes in pages alike, and every object is its own organization's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tenants.models import Project
from tests.factories.tenants import make_key, make_member, make_project

COUNT = 5

Lister = Callable[..., Any]


def projects(client: OpenAI, project: Project) -> Lister:
    for _ in range(COUNT - 1):
        make_project(project.tenant)
    return client.admin.organization.projects.list


def users(client: OpenAI, project: Project) -> Lister:
    for _ in range(COUNT):
        make_member(project.tenant)
    return client.admin.organization.users.list


def project_users(client: OpenAI, project: Project) -> Lister:
    users(client, project)
    return lambda **query: client.admin.organization.projects.users.list(f"proj_{project.id.hex}", **query)


def invites(client: OpenAI, project: Project) -> Lister:
    for number in range(COUNT):
        client.admin.organization.invites.create(email=f"new{number}@example.org", role="reader")
    return client.admin.organization.invites.list


def keys(client: OpenAI, project: Project) -> Lister:
    for _ in range(COUNT):
        make_key(project)
    return lambda **query: client.admin.organization.projects.api_keys.list(f"proj_{project.id.hex}", **query)


def accounts(client: OpenAI, project: Project) -> Lister:
    keys(client, project)
    of = f"proj_{project.id.hex}"
    return lambda **query: client.admin.organization.projects.service_accounts.list(of, **query)


def admin_keys(client: OpenAI, project: Project) -> Lister:
    for _ in range(COUNT - 1):  # beside the one of the client
        make_key(project, scopes=["manage"])
    return client.admin.organization.admin_api_keys.list


def audit_logs(client: OpenAI, project: Project) -> Lister:
    for number in range(COUNT):
        client.admin.organization.projects.create(name=f"p{number}")
    return lambda **query: client.admin.organization.audit_logs.list(event_types=["project.created"], **query)


LISTS = [projects, users, project_users, invites, keys, accounts, admin_keys, audit_logs]


@pytest.mark.parametrize("prepare", LISTS)
def test_pages_hold_each_once_and_end(client: OpenAI, project: Project, prepare: Any) -> None:
    listed = prepare(client, project)
    whole = listed(limit=100)
    ids = [one.id for one in whole.data]
    assert (len(ids), whole.has_more) == (COUNT, False)

    first = listed(limit=2)
    assert (first.has_more, [one.id for one in first.data]) == (True, ids[:2])
    raw = first.to_dict()
    assert (raw["object"], raw["first_id"], raw["last_id"]) == ("list", ids[0], ids[1])
    assert [one.id for one in first] == ids
    assert [one.id for one in listed(after=ids[2], limit=2).data] == ids[3:]
    end = listed(after=ids[-1])
    assert (end.data, end.has_more) == ([], False)
    assert (end.to_dict()["first_id"], end.to_dict()["last_id"]) == (None, None)


@pytest.mark.parametrize("prepare", LISTS)
def test_pages_that_make_no_sense_are_refused_by_name(client: OpenAI, project: Project, prepare: Any) -> None:
    listed = prepare(client, project)

    for query, param in [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"after": "nothing"}, "after"),
        ({"after": f"odd_{'0' * 32}"}, "after"),
        ({"after": "x" * 200}, "after"),
        ({"extra_query": {"colour": "red"}}, "colour"),
    ]:
        with pytest.raises(BadRequestError) as refused:
            listed(**query)
        assert (refused.value.param, refused.value.type) == (param, "invalid_request_error"), query


def test_page_goes_on_after_something_that_is_gone(client: OpenAI, project: Project) -> None:
    listed = keys(client, project)
    ids = [one.id for one in listed().data]
    client.admin.organization.projects.api_keys.delete(ids[2], project_id=f"proj_{project.id.hex}")

    assert [one.id for one in listed(after=ids[2]).data] == ids[3:]


def test_admin_keys_come_in_both_orders(client: OpenAI, project: Project) -> None:
    listed = admin_keys(client, project)
    ids = [one.id for one in listed(order="asc").data]

    assert [one.id for one in listed(order="desc", limit=2)] == ids[::-1]
    assert [one.id for one in listed(order="desc", after=ids[2])] == ids[1::-1]
    with pytest.raises(BadRequestError):
        listed(order="random")


def test_objects_of_others_are_as_absent_as_those_that_are_not_there(
    client: OpenAI, stranger: OpenAI, project: Project
) -> None:
    """Each object of one organization, asked for by another and in another's place."""
    of = f"proj_{project.id.hex}"
    member, (key, _) = make_member(project.tenant, "developer"), make_key(project)
    admin = client.admin.organization.admin_api_keys.list().data[0]
    invite = client.admin.organization.invites.create(email="new@example.org", role="reader")
    user, shown_key, account = f"user-{member.user_id.hex}", f"key_{key.id.hex}", f"svc_acct_{key.id.hex}"
    their = stranger.admin.organization.projects.list().data[0].id
    zero = "0" * 32

    def calls(
        client: OpenAI, of: str, user: str, key: str, account: str, admin: str, invite: str
    ) -> list[Any]:
        every = client.admin.organization
        return [
            lambda: every.users.retrieve(user),
            lambda: every.users.update(user, role="owner"),
            lambda: every.users.delete(user),
            lambda: every.invites.retrieve(invite),
            lambda: every.invites.delete(invite),
            lambda: every.admin_api_keys.retrieve(admin),
            lambda: every.admin_api_keys.delete(admin),
            lambda: every.projects.api_keys.retrieve(key, project_id=of),
            lambda: every.projects.api_keys.delete(key, project_id=of),
            lambda: every.projects.service_accounts.retrieve(account, project_id=of),
            lambda: every.projects.service_accounts.delete(account, project_id=of),
            lambda: every.projects.users.retrieve(user, project_id=of),
            lambda: every.projects.users.update(user, project_id=of, role="member"),
            lambda: every.projects.users.delete(user, project_id=of),
        ]

    def answers(calls: list[Any]) -> list[Any]:
        found = []
        for call in calls:
            with pytest.raises(NotFoundError) as refused:
                call()
            found.append(refused.value.response.json())
        return found

    foreign = answers(calls(stranger, their, user, shown_key, account, admin.id, invite.id))
    assert foreign == answers(
        calls(
            stranger,
            their,
            f"user-{zero}",
            f"key_{zero}",
            f"svc_acct_{zero}",
            f"key_{zero}",
            f"invite-{zero}",
        )
    )
    assert {one["error"]["code"] for one in foreign} == {"not_found"}
    # A project of others hides what is in it, also what exists in one's own.
    answers(calls(client, their, "user-x", shown_key, account, "key_x", "invite-x"))
    for create in (
        lambda: stranger.admin.organization.projects.service_accounts.create(of, name="x"),
        lambda: stranger.admin.organization.projects.users.create(of, user_id=user, role="member"),
        lambda: stranger.admin.organization.projects.update(of, name="mine"),
    ):
        with pytest.raises(NotFoundError):
            create()
    assert client.admin.organization.users.retrieve(user).role == "reader"
    assert client.admin.organization.invites.retrieve(invite.id).status == "pending"
    assert client.admin.organization.projects.api_keys.retrieve(shown_key, project_id=of).id == shown_key
    assert client.admin.organization.projects.retrieve(of).name == project.name
