from __future__ import annotations

import time

from django.contrib.sessions.backends.db import SessionStore

from gdpr.scope import colony_tx
from tenants.api.recency import RECORDS
from tenants.models import WebhookEvent
from tests.factories.tenants import make_project
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import member_of


def test_role_that_is_changed_holds_at_once(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    member, someone = member_of(tenant, "viewer")
    assert someone.post("keys", {"name": "app"}).status_code == 403

    changed = owner.patch(f"members/{member.id}", {"role": "developer"})

    assert (changed.status_code, changed.json()["role"]) == (200, "developer")
    assert someone.post("keys", {"name": "app"}).status_code == 201
    assert owner.delete(f"members/{member.id}").status_code == 200
    assert someone.get("keys").status_code == 403
    assert owner.get(f"members/{member.id}").status_code == 404
    assert audit_events("member.") == ["member.role_changed", "member.removed"]
    with colony_tx("tests"):
        told = WebhookEvent.objects.filter(tenant=tenant, type__startswith="member.").order_by("id")
        assert [(event.type, event.data["role"]) for event in told] == [
            ("member.changed", "developer"), ("member.removed", "developer"),
        ]  # fmt: skip


def test_admin_cannot_touch_the_owner(operator: Api) -> None:
    tenant = make_project().tenant
    owner, _ = member_of(tenant, "owner")
    own, admin = member_of(tenant, "admin")

    assert admin.patch(f"members/{owner.id}", {"role": "viewer"}).status_code == 409
    assert admin.patch(f"members/{own.id}", {"role": "owner"}).status_code == 403
    assert admin.delete(f"members/{owner.id}").status_code == 409
    refused = admin.post(f"tenants/{tenant.slug}/transfer", {"member": str(own.id), "confirm": tenant.slug})
    assert refused.status_code == 403
    assert admin.patch(f"members/{own.id}", {"role": "king"}).json()["error"]["param"] == "role"


def test_ownership_is_transferred_and_not_shared(operator: Api) -> None:
    tenant = make_project().tenant
    before, owner = member_of(tenant, "owner")
    member, heir = member_of(tenant, "developer")
    path = f"tenants/{tenant.slug}/transfer"

    assert owner.post(path, {"member": str(member.id), "confirm": "other"}).status_code == 400
    stranger, _ = member_of(make_project().tenant, "viewer")
    assert owner.post(path, {"member": str(stranger.id), "confirm": tenant.slug}).status_code == 404
    assert owner.post(path, {"member": str(member.id), "confirm": tenant.slug}).status_code == 200

    roles = {row["id"]: row["role"] for row in heir.get("members").json()["data"]}
    assert roles == {str(before.id): "admin", str(member.id): "owner"}
    back = {"member": str(before.id), "confirm": tenant.slug}
    assert owner.post(path, back).status_code == 403
    assert operator.post(path, back).status_code == 200
    assert audit_events("tenant.transferred") == ["tenant.transferred"] * 2


def test_session_that_was_left_open_gives_no_tenant_away(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    member, _ = member_of(tenant, "admin")
    session = SessionStore(session_key=owner.token)
    for record in session[RECORDS]:
        record["at"] = time.time() - 3600
    session.save()

    body = {"member": str(member.id), "confirm": tenant.slug}
    refused = owner.post(f"tenants/{tenant.slug}/transfer", body)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "reauthentication_required")
    assert owner.delete(f"tenants/{tenant.slug}", {"confirm": tenant.slug}).status_code == 403


def test_members_are_listed_by_role_and_address(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    viewer, _ = member_of(tenant, "viewer")

    assert [row["id"] for row in owner.get("members", role="viewer").json()["data"]] == [str(viewer.id)]
    found = operator.get("members", tenant=tenant.slug, email=viewer.user.email.upper()).json()["data"]
    assert [row["id"] for row in found] == [str(viewer.id)]
    page = owner.get("members", limit=1).json()
    assert page["has_more"]
    rest = owner.get("members", limit=1, cursor=page["next_cursor"]).json()
    assert {page["data"][0]["role"], rest["data"][0]["role"]} == {"owner", "viewer"}
