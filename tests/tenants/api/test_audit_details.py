"""What is kept beside audit entries, through the front door: what is kept, who sees it, and that looking is recorded."""

from __future__ import annotations

from typing import Any

import pytest

from gdpr.domain import vault
from gdpr.domain.audit import leaf_of
from gdpr.models import AuditEntry, VaultItem
from gdpr.scope import colony_tx
from tenants.models import Invitation, Tenant
from tests.factories.tenants import make_key, make_project
from tests.inference.conftest import Api
from tests.tenants.api.people import member_of

AGENT = "canary-agent/1"


def entry_of(api: Api, event: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = api.get("audit", event=event).json()["data"]
    return found[0]


def private(api: Api, entry: dict[str, Any]) -> dict[str, dict[str, Any]]:
    answer = api.get(f"audit/{entry['id']}", details="true")
    assert answer.status_code == 200, answer.content
    return {one["kind"]: one for one in answer.json()["private"]}


@pytest.fixture
def tenant(operator: Api) -> Tenant:
    return make_project().tenant


def test_a_change_says_from_where_and_nothing_of_it_is_in_the_entry(operator: Api, tenant: Tenant) -> None:
    _, owner = member_of(tenant, "owner")
    owner.client.post(
        "/api/v1/projects",
        {"slug": "web"},
        "application/json",
        REMOTE_ADDR="198.51.100.7",
        headers={"user-agent": AGENT},
    )
    entry = entry_of(owner, "project.created")
    assert "198.51" not in str(entry)
    assert AGENT not in str(entry)
    assert private(owner, entry)["source"] == {
        "kind": "source", "state": "kept", "fields": {"address": "198.51.100.7", "user_agent": AGENT},
    }  # fmt: skip
    with colony_tx("look"):
        stored = AuditEntry.objects.get(id=entry["id"])
        assert leaf_of(stored) == bytes(stored.leaf)


def test_owner_and_officer_and_operator_see_details_and_nobody_else_does(
    operator: Api, tenant: Tenant
) -> None:
    people = {role: member_of(tenant, role)[1] for role in ("owner", "admin", "dpo", "developer")}
    people["key"] = Api(make_key(make_project(tenant), scopes=["manage"])[1])
    people["reading key"] = Api(make_key(make_project(tenant), scopes=["read"])[1])
    people["operator"] = operator
    visit = operator.post(f"tenants/{tenant.slug}/impersonations", {"reason": "to see", "write": True}).json()
    people["visitor"] = Api(visit["token"])
    entry = entry_of(people["owner"], "key.issued")
    answers = {
        who: api.get(f"audit/{entry['id']}", details="true").status_code for who, api in people.items()
    }
    assert {who for who, status in answers.items() if status == 200} == {"owner", "dpo", "operator"}
    assert set(answers.values()) == {200, 403}
    plain = {who: api.get(f"audit/{entry['id']}").status_code for who, api in people.items()}
    assert plain == {**dict.fromkeys(people, 200), "developer": 403}
    assert "private" not in people["owner"].get(f"audit/{entry['id']}").json()


def test_that_somebody_looked_is_in_the_log_of_whom_it_concerns(operator: Api, tenant: Tenant) -> None:
    member, officer = member_of(tenant, "dpo")
    entry = entry_of(officer, "member.*") if officer.get("audit", event="member.*").json()["data"] else None
    make_key(make_project(tenant))
    entry = entry or entry_of(officer, "key.issued")
    private(officer, entry)
    private(operator, entry)
    looked = officer.get("audit", event="audit.details_read").json()["data"]
    assert [row["about"] for row in looked] == [f"audit_entry:{entry['id'].replace('-', '')}"] * 2
    assert looked[1]["actor"] == f"user:{member.user_id.hex}"


def test_an_entry_of_others_is_as_one_that_never_was(operator: Api, tenant: Tenant) -> None:
    _, owner = member_of(tenant, "owner")
    other = make_project()
    make_key(other)
    foreign = entry_of(operator, "key.issued")
    answers = [
        owner.get(f"audit/{entry_id}", details=details)
        for entry_id in (
            foreign["id"],
            "019ac2f4-7b1e-7c3a-9d52-5f0e8a4b6c11",
            "00000000-0000-4000-8000-000000000000",
        )
        for details in ("true", "false")
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert owner.get("audit?event=audit.details_read").json()["data"] == []


def test_what_an_operator_says_is_for_the_tenant_and_from_where_is_not(operator: Api, tenant: Tenant) -> None:
    _, owner = member_of(tenant, "owner")
    operator.post(f"tenants/{tenant.slug}/impersonations", {"reason": "Anna asked by telephone"})
    operator.post(f"tenants/{tenant.slug}/suspend", {"reason": "the invoice of May is open"})
    for event, words in (
        ("impersonation.began", "Anna asked by telephone"),
        ("tenant.suspended", "the invoice of May is open"),
    ):
        entry = entry_of(owner, event)
        assert words not in str(entry)
        seen = private(owner, entry)
        assert seen["reason"]["fields"] == {"reason": words}
        assert seen["source"]["state"] == "gone"
        assert private(operator, entry)["source"]["fields"]["address"] == "127.0.0.1"


@pytest.mark.parametrize("path", ["credits"])
def test_words_of_people_are_in_no_entry(operator: Api, tenant: Tenant, path: str) -> None:
    body = {"tenant": tenant.slug, "amount_micros": 1_000_000, "reason": "a gift for Bert"}
    answer = operator.post(f"billing/{path}", body)
    assert answer.status_code == 201, answer.content
    entry = entry_of(operator, "credit.given")
    assert "Bert" not in str(entry)
    assert private(operator, entry)["reason"]["fields"] == {"reason": "a gift for Bert"}


def test_who_was_invited_is_kept_until_the_invitation_is_forgotten(operator: Api, tenant: Tenant) -> None:
    _, owner = member_of(tenant, "owner")
    made = owner.post("invitations", {"email": "bert@example.org", "role": "viewer"}).json()
    entry = entry_of(owner, "invitation.created")
    assert "bert" not in str(entry)
    assert private(owner, entry)["contact"]["fields"] == {"email": "bert@example.org"}
    with colony_tx("look"):
        subject = Invitation.objects.get(id=made["id"]).id.hex
    assert vault.destroy_subject(tenant.id, subject) == 1
    assert private(owner, entry)["contact"] == {"kind": "contact", "state": "gone", "fields": {}}


def test_a_log_in_is_kept_with_its_place_and_a_failed_second_factor_too(
    operator: Api, tenant: Tenant
) -> None:
    member, _ = member_of(tenant, "owner")
    entry = entry_of(operator, "account.logged_in")
    assert entry["actor"] == f"user:{member.user_id.hex}"
    assert private(operator, entry)["source"]["fields"]["address"].startswith("10.")


def test_what_a_part_of_rbee_does_has_no_source(operator: Api, tenant: Tenant) -> None:
    with colony_tx("look"):
        before = VaultItem.objects.count()
    make_key(make_project(tenant))
    with colony_tx("look"):
        assert VaultItem.objects.count() == before
