from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gdpr.domain.requests import work_requests
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from tenants.models import ApiKey, Invitation, Member, Tenant, WebhookEndpoint
from tests.factories.tenants import make_key, make_project
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import member_of


def test_operator_changes_a_tenant_and_the_tenant_its_name(operator: Api) -> None:
    tenant = make_project().tenant
    _, admin = member_of(tenant, "admin")

    changed = operator.patch(
        f"tenants/{tenant.slug}",
        {"plan": "pro", "region": "EU", "allowed_models": ["llama-*"], "gpu_classes": ["H100"]},
    ).json()
    assert [changed[name] for name in ("plan", "region", "allowed_models", "gpu_classes")] == [
        "pro", "EU", ["llama-*"], ["H100"],
    ]  # fmt: skip
    assert operator.patch(f"tenants/{tenant.slug}", {"allowed_models": None}).json()["allowed_models"] is None
    assert admin.patch(f"tenants/{tenant.slug}", {"name": "Acme B.V."}).json()["name"] == "Acme B.V."
    assert admin.patch(f"tenants/{tenant.slug}", {"gpu_classes": None}).status_code == 403
    assert admin.patch(f"tenants/{tenant.slug}", {"plan": "enterprise"}).status_code == 403
    assert audit_events("tenant.changed") == ["tenant.changed"] * 3


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"plan": "gold"}, "plan"), ({"region": "E U"}, "region"), ({"requests_per_minute": 1}, "requests_per_minute"),
        ({"gpu_classes": [""]}, "gpu_classes"), ({"allowed_models": "x"}, "allowed_models"),
        ({"allowed_models": ["a b"]}, "allowed_models"), ({"slug": "new"}, "slug"), ({"status": "active"}, "status"),
        ({"name": ""}, "name"),
    ],
)  # fmt: skip
def test_change_that_makes_no_sense_is_refused_by_name(
    operator: Api, body: dict[str, object], param: str
) -> None:
    answer = operator.patch(f"tenants/{make_project().tenant.slug}", body)

    assert (answer.status_code, (answer.json()["error"]["param"] or "").partition(".")[0]) == (400, param)


def test_suspension_refuses_keys_and_ends(operator: Api) -> None:
    project = make_project()
    key = Api(make_key(project, scopes=["manage"])[1])
    slug = project.tenant.slug

    assert operator.post(f"tenants/{slug}/suspend").json()["status"] == "suspended"
    assert operator.post(f"tenants/{slug}/suspend").status_code == 200  # done is done
    assert key.get("keys").status_code == 401
    assert operator.post(f"tenants/{slug}/resume").json()["status"] == "active"
    assert key.get("keys").status_code == 200
    assert audit_events("tenant.")[-2:] == ["tenant.suspended", "tenant.resumed"]
    for own in ("operator", "home"):
        assert operator.post(f"tenants/{own}/suspend").status_code in {404, 409}


def test_deletion_has_a_time_of_grace_and_is_taken_back(operator: Api) -> None:
    project = make_project()
    key = Api(make_key(project, scopes=["manage"])[1])
    slug = project.tenant.slug

    wrong = operator.delete(f"tenants/{slug}", {"confirm": "other"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "confirm")
    gone = operator.delete(f"tenants/{slug}", {"confirm": slug}).json()
    assert gone["status"] == "deleting"
    assert timedelta(days=29) < _time(gone["deletes_at"]) - timezone.now() < timedelta(days=31)
    assert key.get("keys").status_code == 401
    assert operator.post(f"tenants/{slug}/suspend").status_code == 409

    back = operator.post(f"tenants/{slug}/restore").json()
    assert (back["status"], back["deletes_at"]) == ("active", None)
    assert key.get("keys").status_code == 200


def test_owner_cannot_shake_off_a_suspension_by_deleting_and_restoring(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    operator.post(f"tenants/{tenant.slug}/suspend")

    assert owner.delete(f"tenants/{tenant.slug}", {"confirm": tenant.slug}).json()["status"] == "deleting"
    assert owner.post(f"tenants/{tenant.slug}/restore").json()["status"] == "suspended"
    assert owner.post(f"tenants/{tenant.slug}/resume").status_code == 403


def test_tenant_is_closed_once_its_grace_is_over(operator: Api) -> None:
    project = make_project()
    key, _ = make_key(project)
    _, owner = member_of(project.tenant, "owner")
    slug = project.tenant.slug
    owner.post("invitations", {"email": "late@example.org"})
    owner.post("webhooks", {"url": "https://example.com/hook", "events": ["*"]})
    operator.delete(f"tenants/{slug}", {"confirm": slug})
    assert work_requests(60) == 0
    with colony_tx("tests"):
        DataRequest.objects.filter(tenant_id=project.tenant.id).update(next_at=timezone.now())

    assert work_requests(60) == 1
    assert work_requests(60) == 0

    with colony_tx("tests"):
        closed = Tenant.objects.get(id=project.tenant.id)
        assert (closed.status, closed.slug) == ("closed", f"erased-{closed.id.hex}")
        assert ApiKey.objects.get(id=key.id).revoked_at is not None
        for model in (Member, Invitation, WebhookEndpoint):
            assert not model.objects.filter(tenant=project.tenant).exists(), model
    assert owner.get("account").json()["memberships"] == []
    assert operator.post(f"tenants/{slug}/restore").status_code == 404
    assert operator.post(f"tenants/{closed.slug}/restore").status_code == 409
    assert audit_events("tenant.closed") == ["tenant.closed"]


def test_projects_are_made_renamed_and_archived(operator: Api) -> None:
    tenant = make_project(slug="default").tenant
    _, developer = member_of(tenant, "developer")

    made = developer.post("projects", {"slug": "bot", "name": "Bot"}).json()
    key = developer.post("keys", {"project": "bot"}).json()
    again = developer.post("projects", {"slug": "bot"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "name_taken")
    assert developer.patch("projects/bot", {"name": "Chat bot"}).json()["name"] == "Chat bot"
    assert developer.get(f"projects/{made['id']}").json()["name"] == "Chat bot"

    assert developer.delete("projects/bot").json()["archived_at"] is not None
    assert developer.delete("projects/bot").status_code == 200  # done is done
    assert developer.get(f"keys/{key['kid']}").json()["revoked_at"] is not None
    assert developer.post("keys", {"project": "bot"}).status_code == 404
    assert [row["slug"] for row in developer.get("projects").json()["data"]] == ["default"]
    assert len(developer.get("projects", include_archived=True).json()["data"]) == 2
    last = developer.delete("projects/default")
    assert (last.status_code, last.json()["error"]["code"]) == (409, "state_conflict")
    assert audit_events("project.") == ["project.created", "project.renamed", "project.archived"]


def _time(text: str):  # type: ignore[no-untyped-def]
    return timezone.datetime.fromisoformat(text)


def test_lists_of_tenants_are_filtered_and_paged(operator: Api) -> None:
    for number in range(5):
        operator.post("tenants", {"slug": f"t{number}", "plan": "pro" if number % 2 else "free"})
    operator.post("tenants/t1/suspend")

    assert [row["slug"] for row in operator.get("tenants", plan="pro", status="active").json()["data"]] == [
        "t3"
    ]
    seen, cursor = [], ""
    while cursor is not None:
        page = operator.get("tenants", plan="free", limit=2, cursor=cursor).json()
        seen += [row["slug"] for row in page["data"]]
        cursor = page["next_cursor"]
    assert [slug for slug in seen if slug.startswith("t")][:3] == ["t4", "t2", "t0"]
    assert operator.get("tenants", status="odd").json()["error"]["param"] == "status"
