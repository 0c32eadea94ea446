"""The one permission, over every view that the URLconf has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from uuid import UUID

import pytest
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.test import APIRequestFactory

from inference.urls import management
from tenants.api.base import ManagementView
from tenants.enums import Role
from tenants.rules import COLONY, ROLES, Capability
from tests.factories.tenants import make_key, make_member, make_project, make_tenant
from tests.inference.conftest import Api
from tests.tenants.api.people import member_of

METHODS = ("get", "post", "put", "patch", "delete")


def views_in(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, type]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from views_in(pattern.url_patterns, path)
        else:
            yield (
                path,
                getattr(pattern.callback, "cls", None) or getattr(pattern.callback, "view_class", None),
            )


MANAGED = list(views_in(management))
CELLS = [(path, view, method) for path, view in MANAGED for method in METHODS if hasattr(view, method)]


def declared(view: type, method: str) -> frozenset[Capability]:
    wanted = view.capabilities[method.upper()]
    return frozenset(wanted) if isinstance(wanted, tuple) else frozenset({wanted})


@pytest.mark.parametrize(("path", "view", "method"), CELLS)
def test_every_view_says_what_each_of_its_methods_takes(path: str, view: type, method: str) -> None:
    assert declared(view, method) <= frozenset(Capability), f"{path} {method}"
    assert set(view.capabilities) <= {name.upper() for name in METHODS if hasattr(view, name)}


def test_every_view_below_api_is_a_management_view() -> None:
    found = [path for path, view in views_in(get_resolver().url_patterns) if path.startswith("api/v1/")]

    assert sorted(found) == sorted(f"api/v1/{path}" for path, _ in MANAGED)
    assert [path for path, view in MANAGED if view is None or not hasattr(view, "capabilities")] == []


def test_view_that_declares_nothing_is_closed_to_the_operator(home: Api) -> None:
    class Forgotten(ManagementView):
        def get(self, request):  # type: ignore[no-untyped-def]
            raise AssertionError("nobody gets here")

    request = APIRequestFactory().get("/", REMOTE_ADDR="127.0.0.1", HTTP_HOST="localhost:7833")
    request.user = None

    assert Forgotten.as_view()(request).status_code == 403


def filled(path: str) -> str:
    """The URL of something that is not there."""
    path = re.sub(r"\(\?P<\w+>[^)]*\)", "key", path.strip("^$"))
    return re.sub(
        r"<[^>]+>", lambda field: str(UUID(int=0)) if field[0].startswith("<uuid:") else "nothing", path
    )


@pytest.mark.parametrize("role", Role.values)
def test_each_role_gets_what_the_table_says_and_403_for_the_rest(operator: Api, role: str) -> None:
    _, someone = member_of(make_project().tenant, role)
    wrong = []
    for path, view, method in CELLS:
        wanted = declared(view, method)
        if wanted & {Capability.PUBLIC, Capability.ACCOUNT}:
            continue
        url = filled(path)
        got = getattr(someone, method)(url).status_code
        may = bool(wanted & (ROLES[role] - COLONY))
        if got in {401, 500} or (got == 403) is may:
            wrong.append((method, url, got, may))
    assert wrong == []


def test_role_elsewhere_is_no_role_here(operator: Api) -> None:
    mine, theirs = make_project().tenant, make_project().tenant
    _, owner = member_of(mine, "owner")
    stranger, _ = member_of(theirs, "viewer")
    invited = operator.post("invitations", {"email": "x@example.org", "tenant": theirs.slug}).json()
    visit = operator.post(f"tenants/{theirs.slug}/impersonations", {"reason": "look"}).json()
    nowhere = "01920000-0000-7000-8000-000000000000"
    for method, path, absent in [
        ("get", f"tenants/{theirs.slug}", "tenants/no-such"),
        ("patch", f"tenants/{theirs.slug}", "tenants/no-such"),
        ("post", f"tenants/{theirs.slug}/restore", "tenants/no-such/restore"),
        ("get", f"tenants/{theirs.slug}/sso", "tenants/no-such/sso"),
        ("get", f"members?tenant={theirs.slug}", "members?tenant=no-such"),
        ("get", f"members/{stranger.id}", f"members/{nowhere}"),
        ("patch", f"members/{stranger.id}", f"members/{nowhere}"),
        ("delete", f"members/{stranger.id}", f"members/{nowhere}"),
        ("get", f"invitations?tenant={theirs.slug}", "invitations?tenant=no-such"),
        ("delete", f"invitations/{invited['id']}", f"invitations/{nowhere}"),
        ("delete", f"impersonations/{visit['id']}", f"impersonations/{nowhere}"),
        ("get", f"projects/default?tenant={theirs.slug}", "projects/default?tenant=no-such"),
        ("delete", f"account/memberships/{theirs.slug}", "account/memberships/no-such"),
    ]:
        here, there = getattr(owner, method)(path), getattr(owner, method)(absent)
        assert (here.status_code, here.content) == (404, there.content), path
    assert owner.get("impersonations").json()["data"] == []


def test_suspended_tenant_is_looked_at_and_not_changed(operator: Api) -> None:
    project = make_project()
    _, owner = member_of(project.tenant, "owner")
    operator.post(f"tenants/{project.tenant.slug}/suspend")

    assert owner.get("keys").status_code == 200
    assert owner.get("account").json()["memberships"][0]["status"] == "suspended"
    refused = owner.post("keys", {"name": "more"})
    assert (refused.status_code, "suspended" in refused.json()["error"]["message"]) == (403, True)


def test_developer_makes_no_key_that_manages(operator: Api) -> None:
    _, developer = member_of(make_project().tenant, "developer")

    assert developer.post("keys", {"name": "app"}).status_code == 201
    refused = developer.post("keys", {"name": "power", "scopes": ["manage"]})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "scopes")


def test_key_manages_all_but_ownership(operator: Api) -> None:
    project = make_project()
    key = Api(make_key(project, scopes=["manage"])[1])
    member, _ = member_of(project.tenant, "viewer")

    assert key.post("invitations", {"email": "new@example.org", "role": "admin"}).status_code == 201
    assert key.patch(f"members/{member.id}", {"role": "admin"}).status_code == 200
    for answer in (
        key.delete(f"tenants/{project.tenant.slug}", {"confirm": project.tenant.slug}),
        key.post(
            f"tenants/{project.tenant.slug}/transfer",
            {"member": str(member.id), "confirm": project.tenant.slug},
        ),
        key.post("invitations", {"email": "new@example.org", "role": "owner"}),
    ):
        assert answer.status_code == 403


def test_person_of_several_tenants_says_which(operator: Api) -> None:
    member, someone = member_of(make_project().tenant, "admin")
    other = make_tenant()
    make_member(other, "viewer", user=member.user)

    unclear = someone.get("keys")
    assert (unclear.status_code, unclear.json()["error"]["param"]) == (400, "X-Tenant")
    assert other.slug in unclear.json()["error"]["message"]
    assert (
        someone.client.get("/api/v1/tenants", headers={"X-Tenant": other.slug}).json()["data"][0]["slug"]
        == other.slug
    )
    assert someone.client.post("/api/v1/keys", headers={"X-Tenant": other.slug}).status_code == 403
    assert someone.client.get("/api/v1/keys", headers={"X-Tenant": "no-such"}).status_code == 404
