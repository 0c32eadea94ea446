from __future__ import annotations

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

from tenants.models import Project
from tests.factories.tenants import make_key, make_plan, make_project, make_tenant
from tests.inference.conftest import Api, audit_events
from tests.inference.rest.organization.conftest import admin_client

ID = "rl-all-models"


@pytest.fixture
def project(mode: object) -> Project:
    mode("business")
    plan = make_plan(
        requests_per_minute=300, tokens_per_minute=None, limits={"quantities": {"requests": {"day": 900}}}
    )
    return make_project(make_tenant(plan=plan, tokens_per_minute=5000))


def test_limit_that_holds_is_the_lower_one(client: OpenAI, project: Project) -> None:
    limits = client.admin.organization.projects.rate_limits
    of = f"proj_{project.id.hex}"

    (before,) = limits.list_rate_limits(of)
    assert (before.id, before.model, before.object) == (ID, "*", "project.rate_limit")
    assert (before.max_requests_per_1_minute, before.max_tokens_per_1_minute) == (300, 5000)
    assert before.max_requests_per_1_day == 900
    after = limits.update_rate_limit(
        ID, project_id=of, max_requests_per_1_minute=60, max_requests_per_1_day=100
    )

    assert list(limits.list_rate_limits(of)) == [after]
    assert (after.max_requests_per_1_minute, after.max_tokens_per_1_minute) == (60, 5000)
    assert after.max_requests_per_1_day == 100
    assert list(limits.list_rate_limits(of, after=ID)) == []
    assert audit_events("limits.") == ["limits.changed"]


def test_change_keeps_what_it_does_not_name(client: OpenAI, project: Project) -> None:
    of, own = f"proj_{project.id.hex}", Api(make_key(project, scopes=["manage"])[1])
    own.patch(
        f"limits/project/{project.id}", {"quantities": {"requests": {"month": 5000}, "images": {"day": 3}}}
    )

    client.admin.organization.projects.rate_limits.update_rate_limit(
        ID, project_id=of, max_requests_per_1_day=7
    )

    assert own.get(f"limits/project/{project.id}").json()["quantities"] == {
        "requests": {"day": 7, "month": 5000},
        "images": {"day": 3},
    }


def test_project_gets_no_more_than_its_organization(client: OpenAI, project: Project) -> None:
    of, update = f"proj_{project.id.hex}", client.admin.organization.projects.rate_limits.update_rate_limit

    for bad in (
        {"max_requests_per_1_minute": 301},
        {"max_requests_per_1_day": 901},
        {"max_tokens_per_1_minute": -1},
        {"max_images_per_1_minute": 1},
    ):
        with pytest.raises(BadRequestError) as refused:
            update(ID, project_id=of, **bad)
        assert refused.value.param == next(iter(bad))
    with pytest.raises(NotFoundError):
        update("rl-gpt-4o", project_id=of, max_requests_per_1_minute=1)


def test_nobody_reads_limits_of_others(stranger: OpenAI, project: Project) -> None:
    with pytest.raises(NotFoundError):
        stranger.admin.organization.projects.rate_limits.update_rate_limit(
            ID, project_id=f"proj_{project.id.hex}", max_requests_per_1_minute=1
        )


def test_absent_limits_are_null(mode: object) -> None:
    mode("business")
    free = make_project()
    with admin_client(make_key(free, scopes=["manage"])[1]) as client:
        (limit,) = client.admin.organization.projects.rate_limits.list_rate_limits(f"proj_{free.id.hex}")

    assert (limit.max_requests_per_1_minute, limit.max_requests_per_1_day) == (None, None)
