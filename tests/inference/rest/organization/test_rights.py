"""The table of rights over every route of the surface, and the way there through a server."""

from __future__ import annotations

import pytest

from inference.rest.organization.routes import urlpatterns
from tenants.enums import Role
from tenants.models import Project
from tenants.rules import COLONY, ROLES
from tests.factories.tenants import make_key
from tests.inference.conftest import Api
from tests.tenants.api.people import member_of
from tests.tenants.api.test_capabilities import METHODS, declared, filled, views_in

CELLS = [
    (path, view, method)
    for path, view in views_in(urlpatterns)
    for method in METHODS
    if hasattr(view, method)
]


def test_each_route_says_what_it_takes() -> None:
    assert len(CELLS) > 35
    for path, view, method in CELLS:
        assert declared(view, method), path
        assert set(view.capabilities) == {name.upper() for name in METHODS if hasattr(view, name)}


@pytest.mark.parametrize("role", Role.values)
def test_each_role_gets_what_the_table_says(project: Project, role: str) -> None:
    _, someone = member_of(project.tenant, role)
    wrong = []
    for path, view, method in CELLS:
        may = bool(declared(view, method) & (ROLES[role] - COLONY))
        got = getattr(someone.client, method)(f"/v1/organization/{filled(path)}").status_code
        if got in {401, 500} or (got == 403) is may:
            wrong.append((method, path, got, may))
    assert wrong == []


def test_nothing_is_open_without_a_key_or_with_one_for_inference(project: Project) -> None:
    nobody, caller = Api(host="example.org"), Api(make_key(project)[1])
    for path, _, method in CELLS:
        url = f"/openai/v1/organization/{filled(path)}"
        assert getattr(nobody.client, method)(url).status_code == 401
        assert getattr(caller.client, method)(url).status_code == 403


def test_unknown_urls_and_methods_are_in_the_envelope(project: Project) -> None:
    manager = Api(make_key(project, scopes=["manage"])[1])

    for path, method, status, code in [
        ("nothing", "get", 404, "unknown_url"),
        ("projects/a/b/c", "get", 404, "unknown_url"),
        ("projects", "delete", 405, "method_not_allowed"),
        ("users", "post", 405, "method_not_allowed"),
    ]:
        answer = getattr(manager.client, method)(f"/v1/organization/{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), path
    key = {"Idempotency-Key": "k"}
    assert manager.client.post("/v1/organization/users", headers=key).status_code == 405
