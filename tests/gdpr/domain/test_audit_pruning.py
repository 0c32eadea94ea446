"""From the first entry to the last file: a month is numbered, archived, dropped, and gone from the files of the log."""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings as django_settings

from gdpr.domain import audit_archive
from gdpr.domain.audit import leaf_of, make_entry, record_all
from gdpr.domain.audit_pruning import prune_log
from gdpr.ids import month_of, uuid7
from gdpr.log.rows import compare_rows
from gdpr.log.store import FolderStore
from gdpr.log.tiles import Tiles
from gdpr.log.verify import verify_log
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from gdpr.tasks import keep_audit_months
from rbee_cli.up.postgres import Postgres
from tests.factories.audit import SIGNER, make_entries, sequence
from tests.factories.tenants import TESTER
from tests.services import root_url

OLD = date(2016, 5, 1)
OF_OLD = 600


@pytest.fixture
def log(committed_db: None, postgres: Postgres, tmp_path: Path) -> Iterator[FolderStore]:
    before = django_settings.RBEE
    folder = tmp_path / "log"
    django_settings.RBEE = dataclasses.replace(
        before, audit_dir=folder, audit_archive_dir=tmp_path / "archive"
    )
    with psycopg.connect(root_url(postgres)) as root:
        root.execute("SET session_replication_role = replica")
        root.execute("TRUNCATE gdpr_auditentry, gdpr_auditsequence")
        root.execute("DELETE FROM gdpr_archivedmonth")
    with psycopg.connect(postgres.owner_url, autocommit=True) as owner:
        owner.execute(
            f"CREATE TABLE gdpr_auditentry_{OLD:%Y_%m} PARTITION OF gdpr_auditentry FOR VALUES IN ('{OLD}')"
        )
        make_old_entries()
        make_entries(300)
        sequence(postgres.sequencer_url, folder)
        yield FolderStore(folder)
        owner.execute(f"DROP TABLE IF EXISTS gdpr_auditentry_{OLD:%Y_%m}")
    with psycopg.connect(root_url(postgres)) as root:
        root.execute("DELETE FROM gdpr_archivedmonth")
    django_settings.RBEE = before


def make_old_entries() -> None:
    entries = []
    for place in range(OF_OLD):
        at = datetime(OLD.year, OLD.month, 15, tzinfo=UTC) + timedelta(seconds=place)
        entry = make_entry("key.issued", actor=TESTER, tenant_id=None, details={"n": place}, at=at)
        entry.id = uuid7(int(at.timestamp() * 1e9))
        entry.month = month_of(entry.id)
        entry.leaf = leaf_of(entry)
        entries.append(entry)
    with colony_tx("old entries"):
        record_all(entries)


def findings(log: FolderStore, postgres: Postgres) -> tuple[int, list[str]]:
    report = verify_log(log, [SIGNER.key])
    with psycopg.connect(postgres.sequencer_url) as connection:
        connection.execute("SET ROLE rbee_sequencer")
        tiles = Tiles(report.size, log.read, log.widths)
        rows = list(compare_rows(connection, tiles, report.minimum))
    return report.first, [str(each) for each in [*report.problems, *rows]]


def test_month_that_was_dropped_leaves_the_files_once_the_log_tells_of_it(
    log: FolderStore, postgres: Postgres
) -> None:
    assert keep_audit_months() >= 2  # archived and dropped
    assert audit_archive.minimum_index() == OF_OLD
    assert log.read("tile/entries/000") is not None  # nobody could see why it is gone
    assert log.read("minimum-index") is None
    assert findings(log, postgres) == (0, [])

    sequence(postgres.sequencer_url, log.folder)
    assert keep_audit_months() == 2
    assert keep_audit_months() == 0

    assert log.read("minimum-index") == b"600\n"
    assert findings(log, postgres) == (512, [])


def test_minimum_that_the_term_does_not_allow_takes_nothing(
    log: FolderStore, postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    """As by somebody who deletes rows past all that guards them: then the log seems to begin later."""
    with psycopg.connect(root_url(postgres)) as root:
        root.execute("SET session_replication_role = replica")
        root.execute("DELETE FROM gdpr_auditentry WHERE seq BETWEEN %s AND %s", [OF_OLD, OF_OLD + 200])
    audit_archive.keep_months()
    sequence(postgres.sequencer_url, log.folder)

    assert prune_log() == 0

    assert "entry 768 is below the minimum index 801" in caplog.text
    assert log.read("tile/entries/000") is not None
    assert "entry 600: its row is missing from the database" in findings(log, postgres)[1]


def test_row_below_the_minimum_is_told_of(log: FolderStore, postgres: Postgres) -> None:
    log.replace("minimum-index", b"3\n")

    found = findings(log, postgres)[1]

    assert "entry 2: it is below the minimum index, and the database has its row" in found
    assert not any(each.startswith("entry 3:") for each in found)
    with colony_tx("tests"):
        assert AuditEntry.objects.filter(seq=2).exists()
