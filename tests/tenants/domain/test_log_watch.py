"""A log that stands still, as the operator comes to know of it."""

import dataclasses
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings

from gdpr.domain.audit import leaf_of, make_entry, record_all
from gdpr.ids import month_of, uuid7
from gdpr.log.copies import COPIED, Copier, copied_at
from gdpr.log.store import FolderStore
from gdpr.log.verify import verify_log
from gdpr.scope import colony_tx
from rbee_cli.up.postgres import Postgres
from tenants.domain import log_watch
from tenants.domain.log_watch import COPY, ENTRIES, KIND, watch_log
from tenants.models import Alert
from tests.factories.audit import SIGNER, make_entries, sequence
from tests.factories.tenants import TESTER
from tests.services import root_url


@pytest.fixture
def log(
    committed_db: None, redis_url: str, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FolderStore]:
    monkeypatch.setattr(log_watch, "LOOK_AGAIN_S", 0.05)
    with psycopg.connect(root_url(postgres)) as root:
        root.execute("SET session_replication_role = replica")
        root.execute("TRUNCATE gdpr_auditentry, gdpr_auditsequence")
    with colony_tx("tests"):
        Alert.objects.filter(kind=KIND).delete()
    before = settings.RBEE
    settings.RBEE = dataclasses.replace(before, audit_dir=tmp_path / "log", audit_copy="")
    yield FolderStore(tmp_path / "log")
    settings.RBEE = before


def write_entry(age: timedelta) -> None:
    at = datetime.now(UTC) - age
    entry = make_entry("key.issued", actor=TESTER, tenant_id=None, at=at)
    entry.id = uuid7(int(at.timestamp() * 1e9))
    entry.month = month_of(entry.id)
    entry.leaf = leaf_of(entry)
    with colony_tx("tests"):
        record_all([entry])


def alerts(about: str) -> list[tuple[int, bool]]:
    """How often each was raised, and whether it is open."""
    with colony_tx("tests"):
        rows = Alert.objects.filter(kind=KIND, object_ref=about, tenant=None).order_by("id")
        return [(row.count, row.closed_at is None) for row in rows]


def test_entries_that_nobody_numbers_are_told_of_until_somebody_does(
    log: FolderStore, postgres: Postgres
) -> None:
    write_entry(timedelta(seconds=40))
    assert watch_log() == {}
    write_entry(timedelta(seconds=80))

    for _ in range(2):
        assert "does the sequencer run?" in watch_log()[ENTRIES]
    assert alerts(ENTRIES) == [(2, True)]

    sequence(postgres.sequencer_url, log.folder)
    assert watch_log() == {}
    assert alerts(ENTRIES) == [(2, False)]


def test_entries_that_nobody_signs_are_told_of(log: FolderStore, postgres: Postgres) -> None:
    write_entry(timedelta(seconds=80))
    sequence(postgres.sequencer_url, log.folder)
    published = log.read("checkpoint")
    write_entry(timedelta(seconds=80))
    sequence(postgres.sequencer_url, log.folder)
    assert watch_log() == {}

    log.replace("checkpoint", published or b"")
    assert "in no checkpoint since" in watch_log()[ENTRIES]

    log.remove("checkpoint")
    assert "in no checkpoint since" in watch_log()[ENTRIES]

    log.replace("checkpoint", b"planted\n")
    assert "`rbee audit verify` says where" in watch_log()[ENTRIES]
    assert alerts(ENTRIES) == [(3, True)]


def test_what_came_late_is_no_alarm(
    log: FolderStore, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a transaction that took minutes."""
    write_entry(timedelta(minutes=5))
    monkeypatch.setattr(time, "sleep", lambda _: sequence(postgres.sequencer_url, log.folder))

    assert watch_log() == {}
    assert alerts(ENTRIES) == []


def test_second_place_that_falls_behind_is_told_of(
    log: FolderStore, postgres: Postgres, tmp_path: Path
) -> None:
    make_entries(3)
    sequence(postgres.sequencer_url, log.folder)
    second = FolderStore(tmp_path / "second")
    assert watch_log() == {}  # none is wanted
    settings.RBEE = dataclasses.replace(settings.RBEE, audit_copy=str(second))
    assert watch_log() == {COPY: "The audit log has no copy in its second place yet."}

    with Copier(log, second):
        deadline = time.monotonic() + 20
        while copied_at(log) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert watch_log() == {}
    assert verify_log(second, [SIGNER.key]).size == 3
    assert second.read(COPIED) is None

    log.replace(COPIED, f"{(datetime.now(UTC) - timedelta(minutes=11)).isoformat()}\n".encode())
    assert "was last up to date at" in watch_log()[COPY]
    log.replace(COPIED, b"tomorrow\n")
    assert COPY in watch_log()
    assert alerts(COPY) == [(1, False), (2, True)]

    settings.RBEE = dataclasses.replace(settings.RBEE, audit_copy="")
    with Copier(log, None):
        assert watch_log() == {}
    assert alerts(COPY) == [(1, False), (2, False)]
