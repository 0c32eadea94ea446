"""Against a real database, as the role that numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import Connection

from gdpr.domain.audit import make_entry, record_all
from gdpr.log.rows import compare_rows, numbered_rows
from gdpr.log.sequencer import DatabaseBehind, Overtaken, Sequencer, lead
from gdpr.log.store import FolderStore
from gdpr.log.tiles import Tiles
from gdpr.log.verify import verify_log
from gdpr.log.writer import LogWriter
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from rbee_cli.up.postgres import Postgres
from tests.factories.audit import SIGNER, make_entries, sequence
from tests.factories.tenants import TESTER
from tests.services import root_url


@pytest.fixture
def folder(tmp_path: Path, emptied: None) -> Path:
    return tmp_path / "log"


@pytest.fixture
def emptied(committed_db: None, postgres: Postgres) -> None:
    """Each test has a log of its own, so what others numbered is no part of it."""
    with superuser(postgres) as root:
        root.execute("TRUNCATE gdpr_auditentry, gdpr_auditsequence")


@pytest.fixture
def leader(postgres: Postgres, emptied: None) -> Iterator[Connection[Any]]:
    connection = lead(postgres.sequencer_url)
    assert connection is not None
    with connection:
        yield connection


def problems(postgres: Postgres, folder: Path) -> list[str]:
    store = FolderStore(folder)
    report = verify_log(store, [SIGNER.key])
    with psycopg.connect(postgres.sequencer_url) as connection:
        found = list(compare_rows(connection, Tiles(report.size, store.read, store.widths)))
    return [str(each) for each in [*report.problems, *found]]


def places() -> list[int | None]:
    with colony_tx("tests"):
        return list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True))


def test_entries_get_places_and_are_published(postgres: Postgres, folder: Path) -> None:
    make_entries(600)
    assert sequence(postgres.sequencer_url, folder) == 600
    make_entries(5)
    assert sequence(postgres.sequencer_url, folder) == 605

    assert places() == list(range(605))
    assert problems(postgres, folder) == []
    assert sequence(postgres.sequencer_url, folder) == 605


def test_an_entry_that_commits_late_is_later(postgres: Postgres, folder: Path) -> None:
    late = make_entry("key.late", actor=TESTER, tenant_id=None)
    make_entries(3)
    sequence(postgres.sequencer_url, folder)
    with colony_tx("tests"):
        record_all([late])
        assert sequence(postgres.sequencer_url, folder) == 3  # not committed, so not there
    assert sequence(postgres.sequencer_url, folder) == 4

    with colony_tx("tests"):
        assert AuditEntry.objects.get(event="key.late").seq == 3


def test_one_leads_and_the_next_one_after_it(postgres: Postgres, folder: Path) -> None:
    first = lead(postgres.sequencer_url)
    assert first is not None
    assert lead(postgres.sequencer_url) is None
    epoch = Sequencer(first, FolderStore(folder), SIGNER).epoch
    first.close()

    second = lead(postgres.sequencer_url)
    assert second is not None
    with second:
        assert Sequencer(second, FolderStore(folder), SIGNER).epoch == epoch + 1


def test_leader_that_was_overtaken_changes_nothing(
    leader: Connection[Any], postgres: Postgres, folder: Path
) -> None:
    sequencer = Sequencer(leader, FolderStore(folder), SIGNER)
    make_entries(2)
    sequencer.number()
    with psycopg.connect(
        postgres.sequencer_url, autocommit=True
    ) as other:  # as one that does not wait for the lock
        Sequencer(other, FolderStore(folder), SIGNER)
    make_entries(2)

    with pytest.raises(Overtaken):
        sequencer.number()
    with pytest.raises(Overtaken):
        sequencer.publish()
    assert places() == [0, 1, None, None]
    assert FolderStore(folder).read("checkpoint") is None


@pytest.mark.parametrize("dies_in", ["add", "publish"])
def test_death_after_numbering_gives_no_place_twice(
    postgres: Postgres, folder: Path, dies_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_entries(300)
    sequence(postgres.sequencer_url, folder)
    make_entries(300)

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LogWriter, dies_in, dies)
        with pytest.raises(KeyboardInterrupt):
            sequence(postgres.sequencer_url, folder)
    with colony_tx("tests"):
        before = dict(AuditEntry.objects.values_list("id", "seq"))
    assert sorted(before.values()) == list(range(600))  # numbered, and not published

    make_entries(10)
    assert sequence(postgres.sequencer_url, folder) == 610

    with colony_tx("tests"):
        assert dict(AuditEntry.objects.filter(seq__lt=600).values_list("id", "seq")) == before
    assert problems(postgres, folder) == []


def test_database_that_is_an_older_state_is_not_numbered_on(postgres: Postgres, folder: Path) -> None:
    make_entries(20)
    sequence(postgres.sequencer_url, folder)
    roll_back(postgres, to=10)
    make_entries(1)

    with pytest.raises(DatabaseBehind, match="20 entries are published and the database has numbered 10"):
        sequence(postgres.sequencer_url, folder)
    assert "database: 10 entries were numbered by it, and the log has 20: it was rolled back" in problems(
        postgres, folder
    )


def test_numbered_rows_that_are_gone_stop_the_log(postgres: Postgres, folder: Path, tmp_path: Path) -> None:
    make_entries(20)
    sequence(postgres.sequencer_url, folder)
    with superuser(postgres) as root:
        root.execute("DELETE FROM gdpr_auditentry WHERE seq = 7")
    make_entries(1)

    with pytest.raises(DatabaseBehind, match="missing from the database"):
        sequence(postgres.sequencer_url, tmp_path / "another place, which has nothing yet")
    assert problems(postgres, folder)[0] == "entry 7: its row is missing from the database"


def test_row_that_none_of_ours_wrote_holds_nobody_up(postgres: Postgres, folder: Path) -> None:
    made = make_entries(3)
    with superuser(postgres) as root:
        root.execute("UPDATE gdpr_auditentry SET details = '{\"n\": 1.5}' WHERE id = %s", [made[1].id])

    assert sequence(postgres.sequencer_url, folder) == 2
    assert places() == [0, 1, None]


def test_sequencer_may_number_and_nothing_else(leader: Connection[Any]) -> None:
    make_entries(2)
    refused = [
        "UPDATE gdpr_auditentry SET event = 'x'",
        "UPDATE gdpr_auditentry SET seq = -1",
        "UPDATE gdpr_auditentry SET seq = NULL",
        "DELETE FROM gdpr_auditentry",
        "TRUNCATE gdpr_auditentry",
        "INSERT INTO gdpr_auditentry SELECT * FROM gdpr_auditentry",
        "DELETE FROM gdpr_auditsequence",
        "SELECT * FROM tenants_tenant",
        "SET ROLE rbee_colony",
    ]
    for statement in refused:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            leader.execute(statement)
    row = numbered_rows(leader, 0, 10)
    assert row == []
    leader.execute(
        "UPDATE gdpr_auditentry SET seq = 5 WHERE id = (SELECT min(id::text)::uuid FROM gdpr_auditentry)"
    )
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        leader.execute("UPDATE gdpr_auditentry SET seq = 6 WHERE seq = 5")
    with pytest.raises(psycopg.errors.UniqueViolation):
        leader.execute("UPDATE gdpr_auditentry SET seq = 5 WHERE seq IS NULL")


def roll_back(postgres: Postgres, *, to: int) -> None:
    with superuser(postgres) as root:
        root.execute("DELETE FROM gdpr_auditentry WHERE seq >= %s", [to])
        root.execute("UPDATE gdpr_auditsequence SET size = %s", [to])


@contextmanager
def superuser(postgres: Postgres) -> Iterator[Connection[Any]]:
    """Whom no trigger and no row-level security stops."""
    with psycopg.connect(root_url(postgres)) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection
