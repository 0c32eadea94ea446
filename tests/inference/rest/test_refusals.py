"""What the management API refuses is in the audit log. The queen that writes it: tests/inference/api/test_organization.py."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from inference.domain.refusal_log import HANDED, Refusal, RefusalLog, source_pseudonym, write_refusals
from tenants.models import Member
from tests.factories.tenants import make_key, make_project
from tests.inference.conftest import Api
from tests.tenants.api.people import member_of

SOURCE = f"source:{source_pseudonym('127.0.0.1')}"


@pytest.fixture(autouse=True)
def _nothing_handed() -> Iterator[None]:
    HANDED.clear()
    yield
    HANDED.clear()


def written() -> list[Refusal]:
    """What a queen would write of what was handed over."""
    found: list[Refusal] = []

    async def write(refusals: object) -> None:
        found.extend(refusals)

    asyncio.run(RefusalLog(write).stop())
    return found


@pytest.mark.parametrize(
    "path", ["/api/v1/keys", "/v1/organization/projects", "/openai/v1/organization/users"]
)
def test_wrong_keys_are_told_by_where_they_come_from(operator: Api, path: str) -> None:
    client = Api("rbee_live_wrong").client
    answers = [client.get(path) for _ in range(20)]
    assert {answer.status_code for answer in answers} == {401}

    first, rest = written()

    assert (first.event, first.tenant_id, first.actor, first.code, first.status, first.times, first.asked) == (
        "auth.refused", "", SOURCE, "invalid_api_key", 401, 1, "",
    )  # fmt: skip
    assert first.request_id == answers[0]["x-request-id"]
    assert rest.times == 19


def test_refused_requests_name_who_asked_and_for_what(operator: Api) -> None:
    project = make_project()
    key, secret = make_key(project)
    member, viewer = member_of(project.tenant, "viewer")
    Api(secret).get("keys")
    Api(secret).client.get("/v1/organization/users/user-1")
    viewer.post("keys", {"name": "x"})
    viewer.delete(f"members/{member.id}")

    found = written()

    tenant = project.tenant_id.hex
    assert [(one.event, one.tenant_id, one.actor, one.status, one.asked) for one in found] == [
        ("request.refused", tenant, f"key:{key.kid}", 403, "GET /api/v1/keys"),
        ("request.refused", tenant, f"key:{key.kid}", 403, "GET /v1/organization/users/<str:user>"),
        ("request.refused", tenant, f"user:{member.user_id.hex}", 403, "POST /api/v1/keys"),
        (
            "request.refused",
            tenant,
            f"user:{member.user_id.hex}",
            403,
            "DELETE /api/v1/members/<uuid:member>",
        ),
    ]
    assert str(member.id) not in str(found)


def test_key_from_elsewhere_is_refused_by_its_name(operator: Api) -> None:
    key, secret = make_key(scopes=["manage"], allowed_ips=["192.0.2.0/24"])

    assert Api(secret).get("keys").status_code == 401
    (found,) = written()

    assert (found.event, found.actor, found.code) == (
        "request.refused",
        f"key:{key.kid}",
        "ip_not_authorized",
    )


def test_person_in_no_tenant_is_named(operator: Api) -> None:
    member, somebody = member_of(make_project().tenant, "viewer")
    with colony_tx("tests"):
        Member.objects.all().delete()

    assert somebody.get("keys").status_code == 403
    (found,) = written()

    assert (found.tenant_id, found.actor) == ("", f"user:{member.user_id.hex}")


def test_visitor_is_named_with_both_identities(operator: Api) -> None:
    tenant = make_project().tenant
    visit = operator.post(f"tenants/{tenant.slug}/impersonations", {"reason": "ticket 4711"}).json()

    assert Api(visit["token"]).post("keys", {"name": "x"}).status_code == 403
    (found,) = written()

    assert (found.tenant_id, found.actor.split("/")[0]) == (
        tenant.id.hex, f"impersonation:{visit['id'].replace('-', '')}",
    )  # fmt: skip


def test_methods_that_nobody_knows_make_no_entries_of_their_own(operator: Api) -> None:
    secret = make_key()[1]
    for number in range(5):
        Api(secret).client.generic(f"ODD{number}", "/api/v1/keys")

    assert {one.asked for one in written()} <= {"OTHER /api/v1/keys"}


def test_what_makes_no_sense_or_is_not_there_is_no_refusal(operator: Api) -> None:
    assert operator.get("keys/nothing").status_code == 404
    assert operator.post("keys", {"colour": "red"}).status_code == 400
    assert operator.get("keys").status_code == 200

    assert written() == []


def test_entries_say_what_was_asked(operator: Api) -> None:
    project = make_project()
    Api(make_key(project)[1]).get("keys")

    write_refusals(written())

    with colony_tx("tests"):
        entry = AuditEntry.objects.get(tenant_id=project.tenant_id, event="request.refused")
    assert (entry.outcome, entry.details) == (
        "refused", {"code": "permission_denied", "status": 403, "count": 1, "asked": "GET /api/v1/keys"},
    )  # fmt: skip
