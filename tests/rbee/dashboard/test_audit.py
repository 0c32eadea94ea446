"""The audit log in the browser: a tenant's own entries, and what it takes away to check them without us."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings

from gdpr.domain.audit import Actor, make_entry, record_all
from gdpr.log.checkpoint import open_checkpoint
from gdpr.log.note import read_verify_key
from gdpr.log.proof import check_proof
from gdpr.scope import colony_tx
from rbee_cli.up.postgres import Postgres
from tenants.models import Tenant, User
from tests.factories.audit import SIGNER, make_entries, sequence
from tests.factories.tenants import make_key, make_member, make_project
from tests.inference.conftest import Api, audit_events
from tests.rbee.dashboard.browser import Browser, browser_of, text_of

PAGE = "/dashboard/audit"


@pytest.fixture
def tenant(operator: Api, tmp_path: Path) -> Iterator[Tenant]:
    """In a colony that has published nothing."""
    before = django_settings.RBEE
    django_settings.RBEE = dataclasses.replace(before, audit_dir=tmp_path / "audit")
    yield make_project().tenant
    django_settings.RBEE = before


def write(tenant: Tenant, event: str, user: User | None = None, **fields: object) -> None:
    actor = Actor.user(user.id) if user else Actor.system("tests")
    with colony_tx("tests"):
        record_all([make_entry(event, actor=actor, tenant_id=tenant.id, **fields)])


@pytest.mark.parametrize("role", ["owner", "admin", "dpo", "auditor"])
def test_who_may_read_the_log_sees_the_entries_of_the_tenant(tenant: Tenant, role: str) -> None:
    member = make_member(tenant, "developer")
    write(
        tenant,
        "policy.activated",
        member.user,
        object_ref="policy:p1",
        details={"number": 3, "checked": True},
    )
    write(make_project().tenant, "member.removed")
    write(tenant, "task.settled")

    shown = text_of(browser_of(tenant, role).get(PAGE))

    assert re.search(
        rf"policy.activated details number 3 checked true \S+ \S+ {member.user.email} policy:p1 ok", shown
    )
    assert "member.removed" not in shown
    assert "task.settled" not in shown
    assert "no checkpoint yet" in shown


@pytest.mark.parametrize("role", ["developer", "billing", "viewer"])
def test_others_do_not(tenant: Tenant, role: str) -> None:
    browser = browser_of(tenant, role)

    for path in ("", "/export", "/proof/01920000-0000-7000-8000-000000000000"):
        assert browser.get(PAGE + path).status_code == 403
    assert PAGE not in browser.get("/dashboard/residency").content.decode()


def test_search_finds_by_what_is_asked(tenant: Tenant) -> None:
    user = make_member(tenant, "developer").user
    write(tenant, "policy.activated", user, object_ref="policy:p1")
    write(tenant, "policy.rolled_back", object_ref="policy:p2", outcome="refused", request_id="req_x")
    browser = browser_of(tenant, "dpo")

    def found(**query: str) -> list[str]:
        text = browser.get(PAGE, **query).content.decode()
        return re.findall(r'<th scope="row">([a-z._]+)', text)

    assert found() == ["policy.rolled_back", "policy.activated"]
    assert found(event="policy.a*, x.y") == ["policy.activated"]
    assert found(actor=f"user:{user.id.hex}") == ["policy.activated"]
    assert found(about="policy:p2", outcome="refused") == ["policy.rolled_back"]
    assert found(request_id="req_x") == ["policy.rolled_back"]
    assert found(since="2020-01-01T00:00") == ["policy.rolled_back", "policy.activated"]
    assert found(until="2020-01-01T00:00") == []
    assert "No entry is like that" in text_of(browser.get(PAGE, event="x.y"))
    assert "&amp;event=policy.a%2A" in browser.get(PAGE, event="policy.a*").content.decode()


@pytest.mark.parametrize("query", [{"since": "yesterday"}, {"cursor": "nonsense"}, {"event": "x" * 1001}])
def test_question_that_makes_no_sense_is_told(tenant: Tenant, query: dict[str, str]) -> None:
    answer = browser_of(tenant, "dpo").get(PAGE, **query)

    assert (answer.status_code, f"{next(iter(query))}: " in text_of(answer)) == (400, True)


def test_list_goes_on_with_older_entries(tenant: Tenant) -> None:
    make_entries(51, tenant_id=tenant.id)
    browser = browser_of(tenant, "dpo")

    first = browser.get(PAGE, event="key.*").content.decode()
    older = re.search(r'href="(\?[^"]*)">Older', first)[1].replace("&amp;", "&")

    assert "event=key" in older
    assert browser.get(PAGE + older).content.decode().count('scope="row"') == 1


@pytest.mark.parametrize("kind", ["json", "csv", "cef", "syslog"])
def test_export_holds_what_was_found_and_is_recorded(tenant: Tenant, kind: str) -> None:
    write(tenant, "policy.activated")
    write(tenant, "member.added")
    write(make_project().tenant, "policy.activated", object_ref="policy:foreign")

    answer = browser_of(tenant, "auditor").get(f"{PAGE}/export", format=kind, event="policy.*")

    text = b"".join(answer.streaming_content).decode()
    assert "attachment" in answer.headers["content-disposition"]
    assert (text.count("policy.activated") >= 1, "member.added" in text, "foreign" in text) == (
        True,
        False,
        False,
    )
    if kind == "json":
        assert [row["event"] for row in json.loads(text)] == ["policy.activated"]
    if kind == "csv":
        assert [row["event"] for row in csv.DictReader(io.StringIO(text))] == ["policy.activated"]
    assert audit_events("audit.exported") == ["audit.exported"]


def test_export_of_nonsense_is_refused_and_not_recorded(tenant: Tenant) -> None:
    browser = browser_of(tenant, "dpo")

    assert browser.get(f"{PAGE}/export", format="pdf").status_code == 400
    assert browser.get(f"{PAGE}/export", since="yesterday").status_code == 400
    assert audit_events("audit.exported") == []


def test_nothing_is_published_yet(tenant: Tenant) -> None:
    browser = browser_of(tenant, "dpo")

    for file in ("checkpoint", "key"):
        answer = browser.get(f"{PAGE}/{file}")
        assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
        assert "no checkpoint yet" in text_of(browser.get(PAGE))


def test_what_an_auditor_looks_at_is_in_the_log(tenant: Tenant) -> None:
    browser_of(tenant, "auditor").get(PAGE)

    assert audit_events("audit.read") == ["audit.read"]


def test_key_is_named_to_who_may_know_the_keys(tenant: Tenant) -> None:
    with colony_tx("tests"):
        project = tenant.project_set.get()
    key, _ = make_key(project, name="nightly")
    with colony_tx("tests"):
        record_all([make_entry("project.created", actor=Actor.key(key.kid), tenant_id=tenant.id)])

    assert "key nightly" in text_of(browser_of(tenant, "admin").get(PAGE))
    shown = text_of(browser_of(tenant, "dpo").get(PAGE))
    assert f"key {key.kid}" in shown
    assert "nightly" not in shown


class Published:
    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.tenant = make_project().tenant
        self.entry = make_entries(3, tenant_id=self.tenant.id)[1]
        self.foreign = make_entries(1, tenant_id=make_project().tenant.id)[0]
        self.folder = folder
        self.size = sequence(postgres.sequencer_url, folder)


@pytest.fixture
def published(committed_db: None, redis_url: str, postgres: Postgres, tmp_path: Path) -> Iterator[Published]:
    before = django_settings.RBEE
    folder = LOGS.setdefault("folder", tmp_path / "log")  # of the module, as its rows are
    django_settings.RBEE = dataclasses.replace(before, mode="business", audit_dir=folder)
    yield Published(postgres, folder)
    django_settings.RBEE = before


LOGS: dict[str, Path] = {}


def test_checkpoint_key_and_proof_are_enough_to_check_an_entry(published: Published) -> None:
    browser = Browser(make_member(published.tenant, "auditor").user)
    shown = text_of(browser.get(PAGE))

    key = read_verify_key(browser.get(f"{PAGE}/key").content.decode())
    note = browser.get(f"{PAGE}/checkpoint").content
    answer = browser.get(f"{PAGE}/proof/{published.entry.id}")

    proof, checkpoint = check_proof(answer.content.decode(), [key])
    assert key == SIGNER.key
    assert open_checkpoint(note, [key]) == checkpoint
    assert f'"id":"{published.entry.id}"' in proof.entry.decode()
    assert f'filename="{published.entry.id}.tlog-proof"' in answer.headers["content-disposition"]
    assert f"Entries {published.size}, of the whole colony Root {checkpoint.root.hex()}" in shown
    assert str(key) in shown
    assert f"no. {proof.index}" in shown


def test_proof_of_others_is_as_absent_as_one_of_nothing(published: Published) -> None:
    browser = Browser(make_member(published.tenant, "owner").user)

    foreign = browser.get(f"{PAGE}/proof/{published.foreign.id}")
    absent = browser.get(f"{PAGE}/proof/{str(published.foreign.id)[:-1]}0")

    assert (foreign.status_code, absent.status_code) == (404, 404)
    assert text_of(foreign) == text_of(absent)


def test_damaged_log_is_told_and_proves_nothing(published: Published) -> None:
    browser = Browser(make_member(published.tenant, "owner").user)
    file = published.folder / "checkpoint"
    before = file.read_bytes()
    file.write_bytes(before.replace(b"\n%d\n" % published.size, b"\n%d\n" % (published.size - 1)))
    try:
        assert "do not prove what was signed" in text_of(browser.get(PAGE))
        assert browser.get(f"{PAGE}/proof/{published.entry.id}").status_code == 500
    finally:
        file.write_bytes(before)
