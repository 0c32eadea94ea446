"""Who changed what, who may look, and for how long it is kept: no change without an entry, a search and exports that find all of
them, a SIEM that misses none, auditors who are audited, months that go when their time is over, and breaches on the clock."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import random
import re
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.conf import settings as django_settings
from django.db.models import Max
from django.test import Client
from django.utils.timezone import now

from gdpr.access_models import ArchivedMonth, LogForward
from gdpr.domain import audit_archive, siem
from gdpr.domain.audit import Actor, canonical_entry, leaf_hash, make_entry, record_all
from gdpr.domain.partitions import add_months
from gdpr.ids import month_of, uuid7
from gdpr.log.term import KEPT_YEARS
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from rbee_cli.up.postgres import Postgres
from tenants.api import projects as project_views
from tenants.domain import projects
from tenants.domain.auditors import end_auditors
from tenants.domain.keys import issue_api_key
from tenants.models import Member, Project, Tenant
from tests.acceptance.compliance import driving
from tests.acceptance.compliance.siem_receiver import receiving
from tests.acceptance.figures import SCALE, SEED, note, scaled
from tests.acceptance.tenants.isolation.callers import Caller, Kind, bearer, cookies, session
from tests.acceptance.tenants.isolation.world import World, make_world
from tests.acceptance.tenants.test_isolation_matrix import names_of_prices
from tests.factories.inference import make_hive, make_model
from tests.factories.tenants import TESTER, make_member, make_plan, make_project
from tests.inference.conftest import Api, mode
from tests.tenants.api.people import Someone, member_of

__all__ = ["mode"]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def operator(mode: Callable[[str], Project], settings) -> Api:  # type: ignore[no-untyped-def]
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # nobody guesses here
    project = mode("business")
    return Api(issue_api_key(project, name="operator", scopes=["manage"], actor=TESTER)[1])


def configured(**changed: object) -> None:
    """Until the end of the test: `mode` and `settings_of_rbee` put back what was."""
    django_settings.RBEE = dataclasses.replace(django_settings.RBEE, **changed)


def write_entries(tenant: Tenant | None, count: int) -> list[AuditEntry]:
    chance = random.Random(SEED)
    entries = [
        make_entry(
            chance.choice(["key.issued", "key.revoked", "member.added", "policy.activated"]),
            actor=Actor("user", f"{chance.getrandbits(128):032x}"),
            tenant_id=tenant.id if tenant else None,
            object_ref=f"key:{place}",
            outcome=chance.choice(["ok", "ok", "refused"]),
            details={"name": f"=1+{place}|\\ü\n{chance.random() > 0.5}", "count": place},
            request_id=f"req_{uuid7().hex}",
        )
        for place in range(count)
    ]
    with colony_tx("entries of the tests"):
        for begin in range(0, count, 2000):
            record_all(entries[begin : begin + 2000])
    return entries


def number(entries: list[AuditEntry], first: int, postgres: Postgres) -> None:
    """Gives committed entries their place in the log, past what keeps everybody but the sequencer from it."""
    given = [(entry.month, entry.id, first + place) for place, entry in enumerate(entries)]
    with psycopg.connect(postgres.owner_url) as owner:
        owner.execute("ALTER TABLE gdpr_auditentry NO FORCE ROW LEVEL SECURITY")
        owner.execute("ALTER TABLE gdpr_auditentry DISABLE TRIGGER USER")
        owner.execute(
            "UPDATE gdpr_auditentry e SET seq = given.seq"
            " FROM unnest(%s::date[], %s::uuid[], %s::bigint[]) AS given (month, id, seq)"
            " WHERE e.month = given.month AND e.id = given.id",
            [list(column) for column in zip(*given, strict=True)],
        )
        owner.execute("ALTER TABLE gdpr_auditentry ENABLE TRIGGER USER")
        owner.execute("ALTER TABLE gdpr_auditentry FORCE ROW LEVEL SECURITY")


@pytest.fixture
def settings_of_rbee() -> Iterator[None]:
    before = django_settings.RBEE
    yield
    django_settings.RBEE = before


def end_of_log() -> int:
    with colony_tx("tests"):
        last = AuditEntry.objects.aggregate(last=Max("seq"))["last"]
    return 0 if last is None else int(last) + 1


# No change without an entry


@pytest.fixture
def world(operator: Api) -> World:
    return make_world()


@pytest.fixture
def colony_names(operator: Api, world: World) -> dict[str, str]:
    breach = operator.post("breaches", {"title": "x", "since": (now() - MINUTE).isoformat()}).json()
    version = operator.post("policies", {"source": "fn should_admit(task, customer) { admit() }"}).json()
    names = {"hive": make_hive()[0].name, "colony_model": make_model().name, "plan": make_plan().slug}
    return {
        **names, **names_of_prices(), "operator_breach": breach["id"], "operator_policy": version["id"],
        "operator_webhook": str(uuid7()), "operator_alert": str(uuid7()),
    }  # fmt: skip


def rightful(world: World, operator: Api) -> list[Caller]:
    owner = world.people["owner"]

    def one(name: str, headers: dict[str, str], **more: object) -> Caller:
        return Caller(name, Kind.INSIDER, world, world, headers, **more)  # type: ignore[arg-type]

    assert operator.key
    return [
        one("owner", session(owner), is_logged_in=True),
        one("operator", bearer(operator.key)),
        one("owner in a browser", {}, cookies=cookies(owner), is_logged_in=True),
    ]


@pytest.mark.timeout(600)
def test_no_route_changes_anything_without_its_entry(
    world: World, operator: Api, colony_names: dict[str, str]
) -> None:
    is_whole = SCALE >= 1
    calls = driving.calls(rightful(world, operator), "/" if is_whole else "/api/")
    report = driving.drive(calls, world, colony_names, until_seen=not is_whole)

    note("audit: calls that were driven", report.calls)
    note("audit: routes whose entry was seen in the transaction of the change", len(report.seen))
    note("audit: changes without their entry", len(report.gaps))
    assert report.gaps == []
    assert len(report.seen) >= (75 if is_whole else 45)
    assert report.silent


def records_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(projects, "record", lambda *_, **__: None)


def records_later(patch: pytest.MonkeyPatch) -> None:
    """In a transaction of its own: whoever dies in between leaves a change that nobody is told of."""
    true_record, later = projects.record, []
    patch.setattr(projects, "record", lambda *args, **named: later.append((args, named)))
    view = project_views.ProjectView
    before = view.finalize_response

    def finish(self, request, response, *args, **named):  # type: ignore[no-untyped-def]
        for given, by_name in later:
            with colony_tx("a planted bug"):
                true_record(*given, **by_name)
        later.clear()
        return before(self, request, response, *args, **named)

    patch.setattr(view, "finalize_response", finish)


@pytest.mark.parametrize("plant", [records_nothing, records_later])
def test_view_that_does_not_record_is_found(
    world: World, operator: Api, colony_names: dict[str, str], monkeypatch: pytest.MonkeyPatch, plant: Callable[..., None]
) -> None:  # fmt: skip
    callers = rightful(world, operator)
    assert driving.drive(driving.calls(callers, "/api/v1/projects"), world, colony_names).gaps == []

    plant(monkeypatch)
    gaps = driving.drive(driving.calls(callers, "/api/v1/projects"), world, colony_names).gaps

    assert any("['tenants_project'] without an entry in its transaction" in gap for gap in gaps)
    note(f"audit: gaps of a planted bug, {plant.__name__.replace('_', ' ')}", len(gaps))


def test_log_ins_that_fail_are_refusals_in_the_log(operator: Api) -> None:
    from inference.domain.refusal_log import HANDED

    member, _ = member_of(make_project().tenant, "owner")
    HANDED.clear()
    for email in (member.user.email, "nobody@example.org"):
        for path in ("/_allauth/app/v1/auth/login", "/_allauth/browser/v1/auth/login"):
            got = Client(REMOTE_ADDR="10.1.2.3").post(
                path, {"email": email, "password": "wrong"}, "application/json"
            )
            assert got.status_code == 400
    page = Client(REMOTE_ADDR="10.1.2.3").post(
        "/accounts/login/", {"login": member.user.email, "password": "wrong"}
    )
    assert page.status_code == 200

    told = list(HANDED)
    assert {(each.event, each.code, each.tenant_id) for each in told} == {
        ("auth.refused", "wrong_password", "")
    }
    assert len(told) == 5
    assert (
        len({each.actor for each in told}) == 1
    )  # by where they come from, whether or not there is an account
    assert "example.org" not in str(told)
    HANDED.clear()


# Search and exports


@pytest.mark.timeout(900)
def test_exports_hold_every_entry_in_bounded_memory(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    entries = write_entries(tenant, scaled(100_000, least=2500))
    write_entries(make_project().tenant, 10)
    ids = [str(entry.id) for entry in entries]
    theirs = set(ids)
    wanted = {"event": "key.*,policy.*,member.added", "tenant": tenant.slug}

    for kind in ("json", "csv", "cef", "syslog"):
        tracemalloc.start()
        answer = operator.client.get("/gdpr/audit/export", {**wanted, "format": kind})
        pieces, found = 0, []
        for piece in answer.streaming_content:
            pieces += 1
            found += re.findall(
                rb"0[0-9a-f]{7}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", piece
            )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        note(f"audit: peak memory of an export as {kind}, MB", round(peak / 1e6, 1))
        assert [one.decode() for one in dict.fromkeys(found) if one.decode() in theirs] == ids
        assert pieces >= len(entries) // 1000
        assert peak < 40_000_000
    text = b"".join(owner.client.get("/gdpr/audit/export", {"format": "json"}).streaming_content)
    rows = [row for row in json.loads(text) if row["id"] in theirs]
    assert [row["id"] for row in rows] == ids
    assert all(hashed(row) == row["leaf"] for row in rows)
    note("audit: entries exported, each hashed again", len(rows))


def hashed(row: dict[str, object]) -> str:
    fields = {name: value for name, value in row.items() if name not in {"leaf", "seq"}}
    fields["id"] = UUID(str(row["id"]))
    fields["tenant_id"] = UUID(str(row["tenant_id"])) if row["tenant_id"] else None
    fields["at"] = datetime.fromisoformat(str(row["at"]))
    return leaf_hash(canonical_entry(**fields)).hex()  # type: ignore[arg-type]


def test_csv_of_the_log_runs_nothing_in_a_spreadsheet_and_says_all(operator: Api) -> None:
    tenant = make_project().tenant
    (entry,) = write_entries(tenant, 1)
    with colony_tx("tests"):
        record_all([make_entry("=cmd|' /C calc'!A0", actor="@x", tenant_id=tenant.id)])

    answer = operator.client.get(
        "/gdpr/audit/export", {"format": "csv", "tenant": tenant.slug, "since": (now() - MINUTE).isoformat()}
    )
    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))

    assert json.loads(rows[0]["details"]) == entry.details
    assert rows[0]["leaf"] == bytes(entry.leaf).hex()
    assert (rows[1]["event"][0], rows[1]["actor"]) == ("'", "'@x")


def test_entries_are_found_by_their_request_and_not_by_others(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    made = owner.post("projects", {"slug": "web"})
    found = owner.client.get("/gdpr/audit/entries", {"request_id": made["x-request-id"]}).json()["data"]
    _, stranger = member_of(make_project().tenant, "owner")

    assert [row["event"] for row in found] == ["project.created"]
    asked = {"request_id": made["x-request-id"]}
    assert stranger.client.get("/gdpr/audit/entries", asked).json()["data"] == []
    assert stranger.client.get("/gdpr/audit/entries", {"tenant": tenant.slug}).status_code == 404
    assert stranger.client.get("/gdpr/audit/export", {"tenant": tenant.slug}).status_code == 404
    exported = json.loads(b"".join(stranger.client.get("/gdpr/audit/export").streaming_content))
    assert {row["tenant_id"] for row in exported} == {str(stranger_tenant(stranger))}


def stranger_tenant(someone: Someone) -> UUID:
    with colony_tx("tests"):
        return Member.objects.get(user=someone.user).tenant_id


# A SIEM


@pytest.mark.parametrize("secure", [False, True])
def test_siem_misses_nothing_while_it_comes_and_goes(
    committed_db: None, settings_of_rbee: None, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    secure: bool,
) -> None:  # fmt: skip
    from tests.acceptance.compliance.certificates import server_context

    context = server_context(tmp_path) if secure else None
    first = end_of_log()
    entries = write_entries(None, scaled(20_000, least=300))
    number(entries, first, postgres)
    unnumbered = write_entries(None, 1)
    monkeypatch.setattr(siem, "BATCH", max(10, len(entries) // 20))
    monkeypatch.setattr(siem, "BUDGET_S", 120.0)
    monkeypatch.setattr(siem, "SILENCE_S", 0.0)
    scheme = "tls" if secure else "tcp"
    got: list[bytes] = []

    with receiving(context) as receiver:
        configured(
            siem_url=f"{scheme}://127.0.0.1:{receiver.port}",
            siem_ca=str(tmp_path / "ca.pem") if secure else "",
        )
        receiver.dies_after = siem.BATCH // 2  # in the middle of the first batch
        assert siem.forward_log() == 0
        failed_at = forward().failed_at
        assert failed_at is not None
        receiver.stop()
        assert siem.forward_log() == 0  # it is away
        assert forward().failed_at == failed_at
        got += receiver.messages
        port = receiver.port
    with receiving(context, port) as again:
        taken = siem.forward_log()
        assert siem.forward_log() == 0
        got += again.messages
        seqs = [message_seq(message) for message in got]
        mine = [seq for seq in seqs if seq >= first]
        assert sorted(set(mine)) == list(range(first, first + len(entries)))
        assert taken == len(again.messages)
        assert not any(str(unnumbered[0].id).encode() in message for message in got)
        note(f"audit: entries that a SIEM got by {scheme}, after it died and was away", len(set(mine)))
        note(f"audit: of them more than once, by {scheme}", len(mine) - len(set(mine)))
        note(f"audit: entries that a SIEM missed, by {scheme}", len(entries) - len(set(mine)))
        number(write_entries(None, 3), first + len(entries), postgres)
        assert siem.forward_log() == 3
        assert [message_seq(message) - first for message in again.messages[-3:]] == [
            len(entries), len(entries) + 1, len(entries) + 2
        ]  # fmt: skip
        assert forward().failed_at is None
    header = got[-1].split(b" ", 7)
    assert re.fullmatch(rb"<1(08|09)>1", header[0])
    assert datetime.fromisoformat(header[1].decode()).tzinfo is not None
    assert header[3:7] == [b"rbee", b"-", header[5], b"-"]
    with colony_tx("tests"):
        events = AuditEntry.objects.filter(event__startswith="log_forward.", id__gt=entries[0].id)
        assert list(events.order_by("id").values_list("event", flat=True)) == [
            "log_forward.failed",
            "log_forward.resumed",
        ]


def forward() -> LogForward:
    with colony_tx("tests"):
        return LogForward.objects.get(receiver=siem._receiver())


def message_seq(message: bytes) -> int:
    seq = json.loads(message.split(b" ", 7)[7])["seq"]
    assert isinstance(seq, int)
    return seq


def test_certificate_of_a_siem_is_checked(
    committed_db: None, settings_of_rbee: None, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    from tests.acceptance.compliance.certificates import server_context

    monkeypatch.setattr(siem, "_silent_until", 0.0)
    number(write_entries(None, 1), end_of_log(), postgres)
    with receiving(server_context(tmp_path)) as receiver:
        configured(
            siem_url=f"tls://127.0.0.1:{receiver.port}"
        )  # an authority that this machine does not know
        assert siem.forward_log() == 0
        assert receiver.messages == []
        monkeypatch.setattr(siem, "_silent_until", 0.0)
        configured(siem_ca=str(tmp_path / "ca.pem"))
        assert siem.forward_log() > 0


# Auditors


def test_auditor_comes_by_invitation_looks_and_ends_by_themselves(operator: Api) -> None:
    tenant = make_project().tenant
    _, owner = member_of(tenant, "owner")
    until = (now() + timedelta(days=30)).isoformat()
    body = {"email": "eve@auditors.example", "role": "auditor"}
    assert owner.post("invitations", body).json()["error"]["param"] == "until"
    too_long = (now() + timedelta(days=91)).isoformat()
    assert owner.post("invitations", {**body, "until": too_long}).status_code == 400
    assert owner.post("invitations", {**body, "role": "viewer", "until": until}).status_code == 400
    assert owner.post("invitations", {**body, "until": until}).status_code == 201

    member, auditor = member_of(tenant, "auditor")
    reads = [
        "/gdpr/audit/entries",
        "/gdpr/audit/export",
        "/api/v1/policies",
        "/api/v1/invoices",
        "/api/v1/members",
    ]
    for path in reads:
        assert auditor.client.get(path).status_code == 200, path
    for path, method in (
        ("/api/v1/keys", "post"),
        ("/api/v1/projects", "post"),
        (f"/api/v1/members/{member.id}", "patch"),
    ):
        assert getattr(auditor.client, method)(path, {}, "application/json").status_code == 403, path
    read = owner.client.get(
        "/gdpr/audit/entries", {"event": "audit.read", "actor": f"user:{auditor.user.id.hex}"}
    ).json()
    assert [row["details"]["route"] for row in reversed(read["data"])][:5] == [
        "/gdpr/audit/entries", "/gdpr/audit/export", "/api/v1/policies", "/api/v1/invoices", "/api/v1/members"
    ]  # fmt: skip
    assert len(read["data"]) == 8  # one for each request, the refused ones too
    note("audit: requests of an auditor, each with an entry", len(read["data"]))

    with colony_tx("its time is over"):
        Member.objects.filter(id=member.id).update(ends_at=now() - timedelta(seconds=1))
    assert auditor.client.get("/gdpr/audit/entries").status_code == 403
    assert end_auditors() == 1
    assert end_auditors() == 0
    found = owner.client.get("/gdpr/audit/entries", {"event": "member.removed"}).json()["data"]
    assert [row["actor"] for row in found] == ["system:auditors"]


def test_auditor_of_the_operator_sees_all_tenants_and_changes_none(operator: Api) -> None:
    entry = write_entries(make_project().tenant, 1)[0]
    with colony_tx("tests"):
        tenant = Tenant.objects.get(slug="operator")
    auditor = Someone(make_member(tenant, "auditor").user)

    found = auditor.client.get("/gdpr/audit/entries", {"about": "key:0", "event": entry.event}).json()["data"]
    assert str(entry.id) in {row["id"] for row in found}
    assert auditor.client.get("/gdpr/audit/retention").status_code == 200
    assert auditor.post("tenants", {"slug": "x"}).status_code == 403
    assert auditor.post("breaches", {"title": "x", "since": "2026-01-01T00:00:00Z"}).status_code == 403


# Months that are over


OLD = date(2015, 3, 1)


@pytest.fixture
def old_months(committed_db: None, postgres: Postgres) -> Iterator[list[date]]:
    """Partitions from before there was an rbee: their term is over."""
    found = [OLD, add_months(OLD, 1)]
    with psycopg.connect(postgres.owner_url, autocommit=True) as owner:
        for month in found:
            owner.execute(
                f"CREATE TABLE gdpr_auditentry_{month:%Y_%m} PARTITION OF gdpr_auditentry FOR VALUES IN ('{month}')"
            )
        yield found
        for month in found:
            owner.execute(f"DROP TABLE IF EXISTS gdpr_auditentry_{month:%Y_%m}")


def entry_of(month: date, place: int) -> AuditEntry:
    at = datetime(month.year, month.month, 15, tzinfo=UTC) + timedelta(seconds=place)
    entry = make_entry("key.issued", actor=TESTER, tenant_id=None, details={"n": place}, at=at)
    entry.id = uuid7(int(at.timestamp() * 1e9))
    entry.month = month_of(entry.id)
    fields = {name: getattr(entry, name) for name in audit_archive.COLUMNS}
    entry.leaf = leaf_hash(canonical_entry(**fields))
    return entry


def test_months_go_to_files_and_are_dropped_when_their_time_is_over(
    old_months: list[date],
    settings_of_rbee: None,
    postgres: Postgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured(audit_archive_dir=tmp_path)
    monkeypatch.setattr(audit_archive, "FILE_BYTES", 4000)
    first, later = old_months
    count, base = scaled(5000, least=50), 10**9
    entries = [entry_of(first, place) for place in range(count)]
    kept = entry_of(later, 0)  # has no place in the log yet
    with colony_tx("old entries"):
        record_all([*entries, kept])
    number(entries, base, postgres)
    audit_archive.keep_months(datetime(2015, 4, 1, tzinfo=UTC))  # the month is not settled yet
    assert state_of(first) is None
    audit_archive.keep_months(datetime(2022, 12, 31, tzinfo=UTC))
    row = state_of(first)
    assert row is not None
    assert (row.entries, row.first_seq, row.last_seq, row.dropped_at) == (count, base, base + count - 1, None)
    assert state_of(later) is None
    files = sorted((tmp_path / "2015" / "03").iterdir())
    manifest = json.loads((tmp_path / "2015" / "03" / "manifest.json").read_text())
    assert manifest["keep_until"] == "2023-01-01"
    lines = [line for file in files if file.suffix == ".jsonl" for line in file.read_bytes().splitlines()]
    assert [leaf_hash(line) for line in lines] == [bytes(entry.leaf) for entry in entries]
    assert all(file.stat().st_mode & 0o222 == 0 for file in files)
    assert len(files) > 2

    files[0].chmod(0o644)
    files[0].write_bytes(b"another past\n")
    audit_archive.keep_months(datetime(2023, 1, 1, tzinfo=UTC))
    assert state_of(first).dropped_at is None  # type: ignore[union-attr] -- its archive is not whole
    files[0].write_bytes(b"".join(line + b"\n" for line in lines[: manifest["files"][0]["entries"]]))
    audit_archive.keep_months(datetime(2023, 1, 1, tzinfo=UTC))
    row = state_of(first)
    assert row is not None
    assert row.dropped_at is not None
    assert row.minimum_index == audit_archive.minimum_index() >= 0
    with colony_tx("tests"):
        assert not AuditEntry.objects.filter(month=first).exists()
        assert AuditEntry.objects.filter(month=later).exists()
        told = AuditEntry.objects.filter(object_ref="audit_month:2015-03").order_by("id")
        assert list(told.values_list("event", flat=True)) == ["audit_month.archived", "audit_month.dropped"]
    note("audit: entries of a month that went to files, each hashed again", len(lines))


def test_database_itself_keeps_a_month_until_its_term(committed_db: None) -> None:
    from django.db import DatabaseError, connection

    young = date(datetime.now(UTC).year - KEPT_YEARS, 1, 1)
    for month in (young, datetime.now(UTC).date().replace(day=1)):
        with (
            pytest.raises(DatabaseError, match="are kept from"),
            colony_tx("tests"),
            connection.cursor() as cursor,
        ):
            cursor.execute("SELECT rbee_drop_audit_month(%s)", [month])


def state_of(month: date) -> ArchivedMonth | None:
    with colony_tx("tests"):
        return ArchivedMonth.objects.filter(month=month).first()


# Breaches


def test_breach_names_whom_it_affects_and_what_is_left(operator: Api, world: World) -> None:
    other = make_world()
    bystander = make_project().tenant
    since = (now() - timedelta(hours=1)).isoformat()
    made = operator.post(
        "breaches", {"title": "key lost", "since": since, "aware_at": (now() - MINUTE).isoformat()}
    ).json()
    path = f"breaches/{made['id']}"

    assert set(made["affected"]) >= {world.tenant.slug, other.tenant.slug}
    assert bystander.slug not in made["affected"]
    assert 72 * 3600 - 120 < made["left_s"] < 72 * 3600
    facts = {one["tenant"]: one for one in made["facts"][0]["gathered"]["tenants"]}
    assert facts[world.tenant.slug]["tasks"] >= 1
    assert facts[world.tenant.slug]["keys_used"] >= 1
    operator.post(f"{path}/facts", {"text": "revoked at 09:12\n# not a heading"})
    for_authority = operator.get(f"{path}/notice").json()["markdown"]
    theirs = operator.get(f"{path}/notice", to=world.tenant.slug).json()["markdown"]
    assert "revoked at 09:12 # not a heading" in for_authority
    assert other.mark not in theirs
    assert operator.get(f"{path}/notice", to=bystander.slug).status_code == 404
    closed = operator.post(f"{path}/close", {"conclusion": "told", "notified_at": now().isoformat()}).json()
    assert (closed["state"], closed["left_s"]) == ("closed", None)
    assert operator.post(f"{path}/facts", {"text": "late"}).status_code == 409
    about = operator.get("audit", about=f"breach:{UUID(made['id']).hex}").json()["data"]
    assert [row["event"] for row in about] == [
        "breach.closed",
        "breach.fact_added",
        "breach.opened",
    ]
    note(
        "breach: tenants found affected of those that were",
        f"{len({world.tenant.slug, other.tenant.slug} & set(made['affected']))} of 2",
    )
