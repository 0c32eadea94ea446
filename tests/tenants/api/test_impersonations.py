"""The operator in a tenant's place: for a while, with a reason, reading, and seen by the tenant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx, tenant_tx
from tenants.models import Impersonation, WebhookEvent
from tests.factories.tenants import make_key, make_project, unique
from tests.inference.conftest import Api
from tests.tenants.api.people import member_of


def visit(operator: Api, slug: str, **fields: object) -> tuple[str, Api]:
    begun = operator.post(f"tenants/{slug}/impersonations", {"reason": "ticket 4711", **fields})
    assert begun.status_code == 201, begun.content
    return begun.json()["id"], Api(begun.json()["token"])


def test_visit_reads_the_tenant_and_is_seen_by_it(operator: Api) -> None:
    project = make_project()
    make_key(project)
    _, owner = member_of(project.tenant, "owner")
    visit_id, inside = visit(operator, project.tenant.slug)

    assert [row["slug"] for row in inside.get("tenants").json()["data"]] == [project.tenant.slug]
    keys = inside.get("keys").json()["data"]
    assert len(keys) == 1
    assert "key" not in keys[0]
    (seen,) = owner.get("impersonations").json()["data"]
    assert (seen["id"], seen["reason"], seen["write"], seen["requests"]) == (
        visit_id,
        "ticket 4711",
        False,
        2,
    )

    with tenant_tx(project.tenant_id):
        entries = AuditEntry.objects.filter(tenant_id=project.tenant_id, event__startswith="impersonation.")
        found = [(entry.event, entry.details.get("route")) for entry in entries.order_by("id")]
        actors = {entry.actor for entry in entries.filter(event="impersonation.request")}
    assert found == [
        ("impersonation.began", None), ("impersonation.request", "api/v1/tenants"),
        ("impersonation.request", "api/v1/keys"),
    ]  # fmt: skip
    (actor,) = actors
    assert actor.startswith("impersonation:")
    assert actor.count("key:") == 1  # both identities
    with colony_tx("tests"):
        assert WebhookEvent.objects.filter(tenant=project.tenant, type="impersonation.began").count() == 1


def test_visit_shows_no_secret_outlasts_nothing_and_calls_no_model(operator: Api) -> None:
    project = make_project()
    for writes in (False, True):
        _, inside = visit(operator, project.tenant.slug, write=writes)
        for method, path, body in [
            ("post", "keys", {"name": "mine"}),
            ("post", "invitations", {"email": "me@example.org"}),
            ("post", "webhooks", {"url": "https://example.com", "events": ["*"]}),
            ("delete", f"tenants/{project.tenant.slug}", {"confirm": project.tenant.slug}),
            ("post", f"tenants/{project.tenant.slug}/impersonations", {"reason": "more"}),
            ("get", "hives", None),
            ("get", "plans", None),
        ]:
            assert getattr(inside, method)(*([path] if body is None else [path, body])).status_code == 403, (
                path
            )
        assert inside.get("account").status_code == 401
        assert inside.post("projects", {"slug": unique("p")}).status_code == (201 if writes else 403)


@pytest.mark.parametrize("by", ["tenant", "operator", "time", "closing"])
def test_visit_ends_at_once(operator: Api, by: str) -> None:
    tenant = make_project().tenant
    _, officer = member_of(tenant, "dpo")
    visit_id, inside = visit(operator, tenant.slug)
    assert inside.get("keys").status_code == 200

    if by == "tenant":
        assert officer.delete(f"impersonations/{visit_id}").json()["ended_at"] is not None
    elif by == "operator":
        assert operator.delete(f"impersonations/{visit_id}").status_code == 200
        assert operator.delete(f"impersonations/{visit_id}").status_code == 200  # ended is ended
    elif by == "time":
        with colony_tx("tests"):
            Impersonation.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    else:
        with colony_tx("tests"):
            type(tenant).objects.filter(id=tenant.id).update(status="closed")

    assert inside.get("keys").status_code == 401


@pytest.mark.parametrize(
    ("body", "param"),
    [({}, "reason"), ({"reason": " "}, "reason"), ({"reason": "x", "minutes": 61}, "minutes"),
     ({"reason": "x", "minutes": 0}, "minutes"), ({"reason": "x", "read": True}, "read")],
)  # fmt: skip
def test_visit_without_a_reason_or_without_end_is_refused(
    operator: Api, body: dict[str, object], param: str
) -> None:
    answer = operator.post(f"tenants/{make_project().tenant.slug}/impersonations", body)

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_only_the_operator_visits_and_never_itself(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")

    assert owner.post(f"tenants/{tenant.slug}/impersonations", {"reason": "x"}).status_code == 403
    assert operator.post("tenants/operator/impersonations", {"reason": "x"}).status_code == 409
    assert operator.post("tenants/no-such/impersonations", {"reason": "x"}).status_code == 404


@pytest.mark.parametrize("token", ["rbee_imp_", "rbee_imp_x_y", f"rbee_imp_{'0' * 32}_secret"])
def test_token_that_is_none_is_refused(operator: Api, token: str) -> None:
    assert Api(token).get("keys").status_code == 401


def test_token_of_one_visit_with_the_secret_of_another_is_refused(operator: Api) -> None:
    tokens = [
        operator.post(f"tenants/{make_project().tenant.slug}/impersonations", {"reason": "x"}).json()["token"]
        for _ in range(2)
    ]
    mixed = tokens[0].rpartition("_")[0] + "_" + tokens[1].rpartition("_")[2]

    assert Api(mixed).get("keys").status_code == 401
