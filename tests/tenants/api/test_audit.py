from __future__ import annotations

from gdpr.domain.audit import record
from gdpr.scope import tenant_tx
from tests.factories.tenants import TESTER, make_key, make_project
from tests.inference.conftest import Api
from tests.tenants.api.people import member_of


def events(api: Api, **query: object) -> list[str]:
    answer = api.get("audit", **query)
    assert answer.status_code == 200, answer.content
    return [row["event"] for row in answer.json()["data"]]


def test_tenant_reads_its_own_entries_newest_first(operator: Api) -> None:
    project = make_project()
    owner = Api(make_key(project, scopes=["manage"])[1])
    made = owner.post("projects", {"slug": "web"}).json()
    make_key(make_project())  # of others

    rows = owner.get("audit").json()["data"]

    assert [row["event"] for row in rows] == ["project.created", "key.issued"]
    assert {row["tenant"] for row in rows} == {project.tenant.slug}
    assert rows[0]["about"] == f"project:{made['id'].replace('-', '')}"
    assert rows[0]["actor"] == rows[1]["about"]
    assert set(events(operator, tenant=project.tenant.slug)) == {"project.created", "key.issued"}
    assert owner.get("audit", tenant="operator").status_code == 404


def test_entries_are_found_by_each_filter_and_in_pages(operator: Api) -> None:
    project = make_project()
    key, secret = make_key(project, scopes=["manage"])
    owner = Api(secret)
    owner.patch(f"projects/{project.id}", {"name": "Renamed"})
    with tenant_tx(project.tenant_id):
        record("task.settled", actor=TESTER, object_ref="task:1", outcome="worker_error")

    assert events(owner) == ["project.renamed", "key.issued"]
    assert events(owner, event="task.settled, key.*") == ["task.settled", "key.issued"]
    assert events(owner, event="task.settled", outcome="ok") == []
    assert events(owner, actor=f"key:{key.kid}") == ["project.renamed"]
    assert events(owner, about=f"key:{key.kid}") == ["key.issued"]
    assert events(owner, project=str(project.id)) == ["project.renamed", "key.issued"]
    assert events(owner, since="2099-01-01T00:00:00Z") == events(owner, until="2020-01-01T00:00:00Z") == []
    first = owner.get("audit", limit=1).json()
    assert (first["data"][0]["event"], first["has_more"]) == ("project.renamed", True)
    assert events(owner, cursor=first["next_cursor"]) == ["key.issued"]


def test_questions_that_make_no_sense_are_refused(operator: Api) -> None:
    for query in ({"since": "yesterday"}, {"project": "x"}, {"event": "a\x00"}, {"who": "me"}, {"limit": 0}):
        assert operator.get("audit", **query).status_code == 400, query


def test_only_some_roles_read_it(operator: Api) -> None:
    tenant = make_project().tenant
    answers = {
        role: member_of(tenant, role)[1].get("audit").status_code
        for role in ("admin", "dpo", "developer", "viewer")
    }

    assert answers == {"admin": 200, "dpo": 200, "developer": 403, "viewer": 403}


def test_answer_names_the_request_that_its_entries_are_of(operator: Api) -> None:
    owner = Api(make_key(make_project(), scopes=["manage"])[1])

    made = owner.post("projects", {"slug": "web"})
    refused = owner.post("projects", {"slug": "web"})

    (entry,) = owner.get("audit", event="project.created").json()["data"]
    assert made["x-request-id"].startswith("req_")
    assert entry["request_id"] == made["x-request-id"] != refused["x-request-id"]
    make_key(make_project())
    assert operator.get("audit", event="key.issued", limit=1).json()["data"][0]["request_id"] == ""
