"""Exports and erasures as people, keys and the operator ask for them, over HTTP."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.http import HttpResponse
from django.utils import timezone

from gdpr.domain import signing
from gdpr.domain.requests import work_requests
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from rbee_cli.documents import checked_document
from tenants.models import Invitation, Member, User
from tests.factories.tenants import make_key, make_member, make_project
from tests.inference.conftest import Api, audit_events
from tests.tenants.api.people import log_in, member_of


@pytest.fixture(autouse=True)
def data_dir(operator: Api, tmp_path: Path) -> Iterator[Path]:
    before = settings.RBEE
    settings.RBEE = dataclasses.replace(before, data_dir=tmp_path)
    yield tmp_path
    settings.RBEE = before


def gdpr(api: Api, method: str, path: str, body: Any = None) -> HttpResponse:
    call = getattr(api.client, method)
    return call(
        f"/gdpr/{path}", **({} if body is None else {"data": body, "content_type": "application/json"})
    )


def content(answer: HttpResponse) -> bytes:
    return b"".join(answer.streaming_content)


def over(request_id: str) -> None:
    """Its grace."""
    with colony_tx("tests"):
        DataRequest.objects.filter(id=request_id).update(next_at=timezone.now() - timedelta(seconds=1))


def test_tenant_is_exported_by_a_key_with_the_scope_gdpr(data_dir: Path) -> None:
    project = make_project()
    key = Api(make_key(project, scopes=["gdpr"])[1])
    asked = gdpr(key, "get", "export?format=json")
    assert asked.status_code == 202
    status_url = asked.json()["status_url"]
    assert gdpr(key, "get", "export?format=json").json()["id"] == asked.json()["id"]  # the same one
    early = gdpr(key, "get", f"export/{asked.json()['id']}/content")
    assert (early.status_code, early.json()["error"]["code"]) == (409, "state_conflict")

    work_requests(60)

    found = key.client.get(status_url).json()
    assert (found["state"], found["done"]["tenants.Project"], found["error"]) == ("ready", 1, "")
    answer = gdpr(key, "get", f"export/{found['id']}/content")
    assert answer["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(content(answer))) as archive:
        assert json.loads(archive.read("json/tenants.Project.json"))[0]["slug"] == project.slug
        manifest = checked_document(json.loads(archive.read("manifest.json")), signing.public_key())
    assert manifest["tables"]["tenants.ApiKey"]["rows"] == 1
    assert audit_events("gdpr.") == ["gdpr.export.requested", "gdpr.export.ready", "gdpr.export.downloaded"]


def test_export_expires(data_dir: Path) -> None:
    from gdpr.domain.exports import expire_exports

    key = Api(make_key(make_project(), scopes=["gdpr"])[1])
    export_id = gdpr(key, "post", "export", {}).json()["id"]
    work_requests(60)
    assert expire_exports() == 0
    with colony_tx("tests"):
        DataRequest.objects.filter(id=export_id).update(expires_at=timezone.now())

    assert expire_exports() == 1
    assert list((data_dir / "exports").iterdir()) == []
    assert gdpr(key, "get", f"export/{export_id}/content").status_code == 404
    assert gdpr(key, "get", f"export/{export_id}").json()["state"] == "expired"
    assert gdpr(key, "get", "export").json()["id"] != export_id


@pytest.mark.parametrize(
    ("role", "status"),
    [("owner", 202), ("dpo", 202), ("admin", 403), ("developer", 403), ("billing", 403), ("viewer", 403)],
)
def test_who_may_ask_for_a_subject(role: str, status: int) -> None:
    _, someone = member_of(make_project().tenant, role)

    assert gdpr(someone, "post", "export", {"subject": "user-1"}).status_code == status
    answer = gdpr(someone, "post", "delete", {"subject": "user-1", "confirm": "user-1"})
    assert answer.status_code == status


def test_other_keys_may_not(operator: Api) -> None:
    project = make_project()
    for scopes in (["manage"], ["read"], ["inference"]):
        key = Api(make_key(project, scopes=scopes)[1])
        assert gdpr(key, "get", "export").status_code == 403, scopes
        assert gdpr(key, "delete", f"delete?confirm={project.tenant.slug}", {}).status_code == 403


def test_requests_of_others_are_not_there() -> None:
    mine, theirs = make_project(), make_project()
    key, stranger = (Api(make_key(project, scopes=["gdpr"])[1]) for project in (mine, theirs))
    export_id = gdpr(key, "post", "export", {}).json()["id"]
    erasure_id = gdpr(key, "post", "delete", {"subject": "u", "confirm": "u"}).json()["id"]
    nowhere = "01920000-0000-7000-8000-000000000000"

    for path in ("export/{}", "export/{}/content", "delete/{}", "delete/{}/certificate"):
        request_id = export_id if path.startswith("export") else erasure_id
        answer, absent = (gdpr(stranger, "get", path.format(each)) for each in (request_id, nowhere))
        assert (answer.status_code, answer.content) == (404, absent.content), path
    assert gdpr(stranger, "post", f"delete/{erasure_id}/cancel", {}).status_code == 404
    assert gdpr(stranger, "get", "requests").json()["data"] == []
    assert [row["id"] for row in gdpr(key, "get", "requests").json()["data"]] == [erasure_id, export_id]
    assert gdpr(key, "get", f"requests?tenant={theirs.tenant.slug}").status_code == 404


def test_who_is_in_charge_no_more_reads_and_takes_back_nothing() -> None:
    tenant = make_project().tenant
    settings.RBEE = dataclasses.replace(settings.RBEE, grace_subject_days=7)
    member, dpo = member_of(tenant, "dpo")
    export_id = gdpr(dpo, "post", "export", {}).json()["id"]
    erasure_id = gdpr(dpo, "post", "delete", {"subject": "u", "confirm": "u"}).json()["id"]
    with colony_tx("tests"):
        Member.objects.filter(id=member.id).update(role="viewer")
    work_requests(60)

    assert gdpr(dpo, "get", f"export/{export_id}").status_code == 404
    assert gdpr(dpo, "get", f"export/{export_id}/content").status_code == 404
    assert gdpr(dpo, "post", f"delete/{erasure_id}/cancel", {}).status_code == 404
    over(erasure_id)
    work_requests(60)
    assert gdpr(dpo, "get", f"delete/{erasure_id}/certificate").status_code == 200  # they had asked for it


def test_tenant_is_erased_after_its_grace_and_certified(operator: Api) -> None:
    project = make_project()
    tenant = project.tenant
    _, owner = member_of(tenant, "owner")
    key = Api(make_key(project, scopes=["gdpr"])[1])
    owner.post("invitations", {"email": "late@example.org"})
    wrong = gdpr(key, "post", "delete", {"confirm": "another"})
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "confirm")

    asked = gdpr(key, "delete", "delete", {"confirm": tenant.slug})
    assert asked.status_code == 202
    erasure = asked.json()
    assert (
        gdpr(key, "get", erasure["status_url"].removeprefix("/gdpr/")).status_code == 401
    )  # its keys are refused
    assert gdpr(owner, "post", f"delete/{erasure['id']}/cancel", {}).json()["state"] == "cancelled"
    assert owner.get(f"tenants/{tenant.slug}").json()["status"] == "active"
    assert gdpr(key, "get", "requests").status_code == 200

    erasure = gdpr(owner, "post", "delete", {"confirm": tenant.slug}).json()
    early = gdpr(owner, "get", f"delete/{erasure['id']}/certificate")
    assert early.status_code == 409
    over(erasure["id"])
    work_requests(60)

    late = gdpr(operator, "post", f"delete/{erasure['id']}/cancel", {})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "state_conflict")
    key_of_colony = gdpr(Api(), "get", "signing-key").json()["key"]
    for reader in (operator, owner):  # whoever asked for it reads it when the tenant is gone
        certificate = checked_document(
            gdpr(reader, "get", f"delete/{erasure['id']}/certificate").json(), key_of_colony
        )
        assert certificate["of"] == f"tenant:{tenant.id.hex}"
    assert {"tenants.Tenant", "gdpr.AuditEntry"} <= {entry["what"] for entry in certificate["kept"]}
    with colony_tx("tests"):
        assert not Member.objects.filter(tenant_id=tenant.id).exists()
        assert not Invitation.objects.filter(tenant_id=tenant.id).exists()


def test_person_erases_their_account() -> None:
    tenant = make_project().tenant
    member, someone = member_of(tenant, "viewer")
    make_member(tenant, "owner")
    email, user_id = someone.user.email, someone.user.id
    with colony_tx("tests"):
        Invitation.objects.create(
            tenant=make_project().tenant, email=email, role="viewer", salt=b"x", invited_by="user:x",
            expires_at=timezone.now() + timedelta(days=1),
        )  # fmt: skip
    export = gdpr(someone, "get", "export").json()
    work_requests(60)
    with zipfile.ZipFile(
        io.BytesIO(content(gdpr(someone, "get", f"export/{export['id']}/content")))
    ) as archive:
        assert json.loads(archive.read("json/tenants.User.json"))[0]["email"] == email
        assert b"scrypt" not in b"".join(archive.read(name) for name in archive.namelist())

    erasure = gdpr(someone, "post", "delete", {"confirm": email}).json()
    assert gdpr(someone, "post", f"delete/{erasure['id']}/cancel", {}).json()["state"] == "cancelled"
    erasure = gdpr(someone, "delete", f"delete?confirm={email}").json()
    over(erasure["id"])
    work_requests(60)

    with colony_tx("tests"):
        done = DataRequest.objects.get(id=erasure["id"])
        assert done.state == "erased", (done.state, done.progress, done.error)
        assert not User.objects.filter(id=user_id).exists()
        assert not Member.objects.filter(id=member.id).exists()
        assert not Invitation.objects.filter(email=email).exists()
    assert gdpr(someone, "get", "requests").status_code == 401
    with pytest.raises(AssertionError):
        log_in(email)


def test_owner_of_a_tenant_transfers_it_first() -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")

    refused = gdpr(owner, "post", "delete", {"scope": "account", "confirm": owner.user.email})

    assert (refused.status_code, tenant.slug in refused.json()["error"]["message"]) == (409, True)


def test_dpo_erases_end_users_and_no_tenant() -> None:
    tenant = make_project().tenant
    _, officer = member_of(tenant, "dpo")

    assert gdpr(officer, "post", "delete", {"confirm": tenant.slug}).status_code == 403
    done = gdpr(officer, "post", "delete", {"subject": "user-1", "confirm": "user-1"}).json()
    work_requests(60)
    found = gdpr(officer, "get", f"delete/{done['id']}").json()
    assert (found["state"], found["subject"] != "user-1") == ("erased", True)


def test_tenants_export_begins_anew_when_one_of_its_end_users_is_erased() -> None:
    project = make_project()
    key = Api(make_key(project, scopes=["gdpr"])[1])
    ready = gdpr(key, "post", "export", {"format": "json"}).json()["id"]
    work_requests(60)
    running = gdpr(key, "post", "export", {"format": "csv"}).json()["id"]
    with colony_tx("tests"):
        DataRequest.objects.filter(id=running).update(
            state="running",
            progress={"left": [], "rows": {}, "at": None},
            lease_until=timezone.now() + timedelta(hours=1),
        )
    erasure = gdpr(key, "post", "delete", {"subject": "user-1", "confirm": "user-1"}).json()
    over(erasure["id"])

    work_requests(60)
    work_requests(60)

    assert gdpr(key, "get", f"delete/{erasure['id']}").json()["state"] == "erased"
    assert gdpr(key, "get", f"export/{ready}").json()["state"] == "expired"
    anew = gdpr(key, "get", f"export/{running}").json()
    assert (anew["state"], anew["done"]["tenants.Project"]) == ("ready", 1)


def test_operators_own_tenant_stays(operator: Api) -> None:
    assert gdpr(operator, "post", "delete", {"confirm": "operator"}).status_code == 409


def test_operator_exports_and_erases_any_tenant(operator: Api) -> None:
    tenant = make_project().tenant

    export = gdpr(operator, "post", "export", {"tenant": tenant.slug})
    assert export.status_code == 202
    erasure = gdpr(operator, "post", "delete", {"tenant": tenant.slug, "confirm": tenant.slug}).json()
    over(erasure["id"])
    work_requests(60)

    assert gdpr(operator, "get", f"delete/{erasure['id']}").json()["state"] == "erased"
    assert gdpr(operator, "get", f"export/{export.json()['id']}").json()["state"] == "expired"
    assert gdpr(operator, "post", "replay", {}).json()["erased"] == []


def test_archive_that_is_none_is_refused(operator: Api, data_dir: Path) -> None:
    for body in (b"", b"no zip", b"PK\x03\x04 nor this"):
        answer = operator.client.post("/gdpr/import", body, "application/zip")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")
    assert list((data_dir / "exports").iterdir()) == []
    key = Api(make_key(make_project(), scopes=["gdpr"])[1])
    assert key.client.post("/gdpr/import", b"x", "application/zip").status_code == 403


def test_what_makes_no_sense_is_a_clear_refusal() -> None:
    key = Api(make_key(make_project(), scopes=["gdpr"])[1])

    for path, body in [
        ("export", {"format": "xml"}),
        ("export", {"nonsense": 1}),
        ("delete", {}),
        ("delete", {"confirm": 1, "scope": "x"}),
    ]:
        assert gdpr(key, "post", path, body).status_code == 400, (path, body)
    assert gdpr(key, "post", "export", {"scope": "account"}).status_code == 403
    assert gdpr(key, "get", "export/nonsense").status_code == 404
