from __future__ import annotations

import pytest
from openai import BadRequestError, ConflictError, NotFoundError, OpenAI, PermissionDeniedError

from gdpr.scope import colony_tx
from tenants.models import Project
from tests.factories.tenants import make_key, make_tenant
from tests.inference.conftest import Api, audit_events
from tests.inference.rest.organization.conftest import admin_client
from tests.tenants.api.people import member_of


def test_life_of_a_project(client: OpenAI, project: Project) -> None:
    projects = client.admin.organization.projects

    made = projects.create(name="Chat bot of the shop")
    renamed = projects.update(made.id, name="Chat bot")

    assert (made.object, made.status, made.archived_at) == ("organization.project", "active", None)
    assert (renamed.id, renamed.name) == (made.id, "Chat bot")
    assert projects.retrieve(made.id) == renamed
    assert [one.id for one in projects.list()] == [made.id, f"proj_{project.id.hex}"]
    archived = projects.archive(made.id)
    assert (archived.status, archived.archived_at >= made.created_at) == ("archived", True)
    assert [one.id for one in projects.list()] == [f"proj_{project.id.hex}"]
    assert [one.status for one in projects.list(include_archived=True)] == ["archived", "active"]
    assert audit_events("project.") == ["project.created", "project.renamed", "project.archived"]


def test_projects_of_one_name_have_short_names_of_their_own(client: OpenAI) -> None:
    for name in ("Données & co", "Données & co", "数据", "x" * 200):
        client.admin.organization.projects.create(name=name)

    with colony_tx("tests"):
        slugs = list(Project.objects.order_by("-id").values_list("slug", flat=True)[:4])
    assert slugs[0] == "x" * 50
    assert slugs[1] == "project"
    assert slugs[2].startswith("donnees-co-")
    assert slugs[3] == "donnees-co"


def test_last_project_stays(client: OpenAI, project: Project) -> None:
    with pytest.raises(ConflictError, match="at least one project") as refused:
        client.admin.organization.projects.archive(f"proj_{project.id.hex}")

    assert refused.value.response.headers["x-should-retry"] == "false"
    assert refused.value.request_id.startswith("req_")


def test_pages_hold_each_project_once(client: OpenAI) -> None:
    projects = client.admin.organization.projects
    made = [projects.create(name=f"p{number}").id for number in range(4)]

    first = projects.list(limit=2)

    assert (first.has_more, first.last_id, first.first_id) == (True, made[2], made[3])
    assert [one.id for one in first][:4] == made[::-1]
    assert len(list(first)) == 5
    assert projects.list(after=made[0], limit=2).has_more is False


def test_what_has_no_counterpart_is_refused_by_name(client: OpenAI) -> None:
    projects = client.admin.organization.projects

    assert projects.create(name="fine", geography=None).name == "fine"
    for bad, param in (
        ({"geography": "EU"}, "geography"),
        ({"extra_body": {"color": "red"}}, "color"),
        ({"extra_body": {"name": ""}}, "name"),
    ):
        with pytest.raises(BadRequestError) as refused:
            projects.create(name="p", **bad)
        assert (refused.value.param, refused.value.type) == (param, "invalid_request_error")
    for query in ({"limit": 0}, {"limit": 101}, {"after": "proj_0"}, {"after": "key_" + "0" * 32}):
        with pytest.raises(BadRequestError):
            projects.list(**query)


def test_foreign_and_absent_projects_answer_the_same(stranger: OpenAI, project: Project) -> None:
    answers = []
    for shown in (f"proj_{project.id.hex}", f"proj_{'0' * 32}", "proj_", project.slug, str(project.id)):
        for call in (
            stranger.admin.organization.projects.retrieve,
            stranger.admin.organization.projects.archive,
            stranger.admin.organization.projects.api_keys.list,
            stranger.admin.organization.projects.rate_limits.list_rate_limits,
            stranger.admin.organization.projects.users.list,
        ):
            with pytest.raises(NotFoundError) as refused:
                call(shown)
            answers.append(refused.value.response.json())

    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["error"]["code"] == "not_found"


def test_operator_names_the_organization(operator: Api, project: Project) -> None:
    with admin_client(operator.key, organization=project.tenant.slug) as client:
        assert [one.id for one in client.admin.organization.projects.list()] == [f"proj_{project.id.hex}"]
    with admin_client(operator.key) as client:
        assert [one.name for one in client.admin.organization.projects.list()] == ["Default"]


def test_organization_of_others_is_not_found(client: OpenAI, project: Project) -> None:
    own = client.with_options(organization=project.tenant.slug)
    assert len(list(own.admin.organization.projects.list())) == 1

    for slug in (make_tenant().slug, "no-such", "operator"):
        with pytest.raises(NotFoundError, match="no such tenant"):
            client.with_options(organization=slug).admin.organization.projects.list()


def test_inference_key_administers_nothing(project: Project) -> None:
    with admin_client(make_key(project)[1]) as client, pytest.raises(PermissionDeniedError):
        client.admin.organization.projects.list()


def test_people_use_it_by_their_role(project: Project) -> None:
    _, viewer = member_of(project.tenant, "viewer")

    listed = viewer.client.get("/v1/organization/projects")
    refused = viewer.client.post("/openai/v1/organization/projects", {"name": "x"}, "application/json")

    assert [one["id"] for one in listed.json()["data"]] == [f"proj_{project.id.hex}"]
    assert (refused.status_code, refused.json()["error"]["type"]) == (403, "permission_error")


def test_repeated_post_makes_one_project(client: OpenAI) -> None:
    projects = client.admin.organization.projects
    once = {"Idempotency-Key": "make-it-once"}

    first = projects.with_raw_response.create(name="once", extra_headers=once)
    again = projects.with_raw_response.create(name="once", extra_headers=once)

    assert first.parse() == again.parse()
    assert again.headers["idempotent-replayed"] == "true"
    assert [one.name for one in projects.list()].count("once") == 1
