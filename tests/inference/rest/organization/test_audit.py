from __future__ import annotations

import time

import pytest
from openai import BadRequestError, OpenAI

from gdpr.domain.audit import record
from gdpr.scope import tenant_tx
from tenants.models import Project
from tests.factories.tenants import TESTER, make_key, make_project
from tests.inference.conftest import Api
from tests.tenants.api.people import member_of


def test_what_was_done_is_told_in_openais_words(client: OpenAI, project: Project) -> None:
    organization = client.admin.organization
    made = organization.projects.create(name="Shop")
    account = organization.projects.service_accounts.create(made.id, name="app")
    organization.invites.create(email="new@example.org", role="reader")
    organization.projects.rate_limits.update_rate_limit(
        "rl-all-models", project_id=made.id, max_requests_per_1_minute=5
    )

    entries = list(organization.audit_logs.list(limit=2))

    assert [one.type for one in entries[:4]] == [
        "rate_limit.updated", "invite.sent", "api_key.created", "project.created",
    ]  # fmt: skip
    created = entries[2]
    key = organization.admin_api_keys.list().data[0]
    assert created.api_key_created.id == account.api_key.id
    assert created.actor.type == "api_key"
    assert created.actor.api_key.id == key.id
    assert (created.project.id, created.project.name) == (made.id, "Shop")
    assert created.effective_at == account.created_at
    assert entries[3].project_created.id == made.id


def test_entries_are_filtered(client: OpenAI, stranger: OpenAI, project: Project) -> None:
    organization = client.admin.organization
    member, person = member_of(project.tenant, "admin")
    made = person.client.post("/v1/organization/projects", {"name": "theirs"}, "application/json").json()
    organization.projects.create(name="mine")
    key = organization.admin_api_keys.list().data[0]

    def types(**query: object) -> list[str]:
        return [one.type for one in organization.audit_logs.list(**query)]

    assert types(event_types=["project.created"]) == ["project.created"] * 2
    assert types(actor_ids=[f"user-{member.user_id.hex}"]) == ["project.created"]
    assert types(actor_emails=[member.user.email]) == ["project.created"]
    assert types(actor_ids=[key.id]) == ["project.created"]
    assert types(project_ids=[made["id"]]) == types(resource_ids=[made["id"]]) == ["project.created"]
    assert types(actor_ids=["user-x"]) == types(project_ids=["proj_x"]) == []
    now = int(time.time())
    assert len(types(effective_at={"gte": now - 60, "lt": now + 60})) >= 3
    assert types(effective_at={"gt": now + 60}) == types(effective_at={"lte": now - 60}) == []
    (theirs,) = organization.audit_logs.list(actor_emails=[member.user.email])
    assert theirs.actor.session.user.email == member.user.email
    assert not {one.id for one in stranger.admin.organization.audit_logs.list()} & {
        one.id for one in organization.audit_logs.list()
    }


def test_pages_go_both_ways(client: OpenAI) -> None:
    logs = client.admin.organization.audit_logs
    for number in range(4):
        client.admin.organization.projects.create(name=f"p{number}")
    ids = [one.id for one in logs.list(event_types=["project.created"])]

    back = logs.list(event_types=["project.created"], before=ids[3], limit=2)

    assert ([one.id for one in back.data], back.has_more) == ([ids[1], ids[2]], True)
    with pytest.raises(BadRequestError):
        logs.list(before=ids[0], after=ids[1])


def test_the_books_are_left_out_unless_named(client: OpenAI, project: Project) -> None:
    with tenant_tx(project.tenant_id):
        record("task.settled", actor=TESTER, object_ref="task:1")
        record("policy.saved", actor=TESTER, object_ref="policy:1")
    logs = client.admin.organization.audit_logs

    assert "task.settled" not in {one.type for one in logs.list()}
    assert [one.type for one in logs.list(event_types=["task.settled"])] == ["task.settled"]
    (saved,) = logs.list(event_types=["policy.saved"])
    assert saved.to_dict()["policy.saved"]["id"] == "policy:1"
    assert saved.actor.to_dict() == {"type": "system", "id": "tests"}


def test_operators_people_stay_pseudonyms(operator: Api, client: OpenAI, project: Project) -> None:
    operator.patch(f"tenants/{project.tenant.slug}", {"region": "EU"})

    (changed,) = client.admin.organization.audit_logs.list(event_types=["organization.updated"])

    assert changed.actor.api_key.service_account.id is None
    assert not changed.actor.api_key.id.startswith("key_")


def test_who_may_not_read_it(project: Project) -> None:
    _, developer = member_of(project.tenant, "developer")
    _, dpo = member_of(make_project().tenant, "dpo")

    assert developer.client.get("/v1/organization/audit_logs").status_code == 403
    assert dpo.client.get("/v1/organization/audit_logs").status_code == 200
    assert Api(make_key(project)[1]).client.get("/v1/organization/audit_logs").status_code == 403
