"""Entries whose years are over leave the files, and the verifier takes that for what it is: exactly that, and no more."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from gdpr.data_map import holding_of
from gdpr.ids import uuid7
from gdpr.log.copies import copy_log
from gdpr.log.entry import canonical_entry
from gdpr.log.note import make_signer
from gdpr.log.proof import check_proof, make_proof
from gdpr.log.term import (
    DROPPED,
    KEPT_YEARS,
    TooYoung,
    bundles_gone,
    is_over,
    kept_until,
    read_minimum,
    remove_bundles,
)
from gdpr.log.tiles import TileRefused, Tiles
from gdpr.log.verify import verify_log
from gdpr.log.writer import LogWriter
from gdpr.models import AuditEntry
from tests.gdpr.log.logs import ORIGIN, FastStore, files_in, make_entry

SIGNER = make_signer(ORIGIN)
THIS_YEAR = datetime.now(UTC).year
OLD = datetime(THIS_YEAR - KEPT_YEARS - 1, 12, 31, 23, tzinfo=UTC)
KEPT = datetime(THIS_YEAR - KEPT_YEARS, 1, 1, tzinfo=UTC)
OVER = 700  # entries whose years are over
SIZE = 1000


def statement(minimum: int | None, month: str = f"{OLD:%Y-%m}") -> bytes:
    return canonical_entry(
        id=uuid7(), tenant_id=None, event=DROPPED, actor="system:retention", object_ref=f"audit_month:{month}",
        outcome="ok", details={"minimum_index": minimum}, request_id="", at=datetime.now(UTC),
    )  # fmt: skip


def make_log(folder: Path, *last: bytes, over: int = OVER) -> FastStore:
    store = FastStore(folder)
    writer = LogWriter(store, SIGNER)
    writer.add(make_entry(number, at=OLD) for number in range(over))
    writer.publish(keep=True)
    writer.add(make_entry(number, at=KEPT) for number in range(over, SIZE - len(last)))
    writer.add(last)
    writer.publish()
    return store


@pytest.fixture
def pruned(tmp_path: Path) -> FastStore:
    store = make_log(tmp_path / "log", statement(OVER))
    assert remove_bundles(store, SIZE, OVER) == 2
    return store


def findings(store: FastStore) -> list[str]:
    return [str(each) for each in verify_log(store, [SIGNER.key]).problems]


def test_what_is_over_goes_and_the_tree_verifies(tmp_path: Path) -> None:
    store = make_log(tmp_path, statement(OVER))
    before = files_in(tmp_path)
    assert findings(store) == []

    assert remove_bundles(store, SIZE, OVER) == 2
    assert remove_bundles(store, SIZE, OVER) == 0

    after = files_in(tmp_path)
    assert before.keys() - after.keys() == {"tile/entries/000", "tile/entries/001"}
    assert after.keys() - before.keys() == {"minimum-index"}
    report = verify_log(store, [SIGNER.key])
    assert (report.problems, report.size, report.first, report.minimum) == ([], SIZE, 512, OVER)


def test_log_goes_on_and_proves_what_is_left(pruned: FastStore) -> None:
    writer = LogWriter(pruned, SIGNER)
    writer.add(make_entry(number) for number in range(600))
    writer.publish()
    tiles = Tiles(writer.size, pruned.read, pruned.widths)

    assert findings(pruned) == []
    note = (pruned.read("checkpoint") or b"").decode()
    assert check_proof(str(make_proof(OVER, note, tiles)), [SIGNER.key])[0].index == OVER


def test_removal_that_died_is_finished_by_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make_log(tmp_path, statement(OVER))
    with monkeypatch.context() as patch:
        patch.setattr(FastStore, "remove", lambda store, path: 1 / 0 if path.endswith("001") else 1)
        with pytest.raises(ZeroDivisionError):
            remove_bundles(store, SIZE, OVER)
    assert findings(store) == []

    assert remove_bundles(store, SIZE, OVER) == 2
    assert findings(store) == []


@pytest.mark.parametrize("minimum", [1, 256, 257, 512, 513])
def test_bundle_of_the_last_that_is_over_stays_as_evidence(tmp_path: Path, minimum: int) -> None:
    store = make_log(tmp_path, statement(minimum), over=minimum)

    assert remove_bundles(store, SIZE, minimum) == bundles_gone(minimum) == (minimum - 1) // 256
    assert findings(store) == []


def lose_above(store: FastStore) -> str:
    store.remove("tile/entries/002")
    return "entries 512 to 767: tile/entries/002 is missing"


def lose_far_above(store: FastStore) -> str:
    store.remove("tile/entries/003.p/232")
    return "entries 768 to 999: tile/entries/003.p/232 is missing"


def lose_minimum(store: FastStore) -> str:
    store.remove("minimum-index")
    return "entries 0 to 255: tile/entries/000 is missing"


def raise_minimum(store: FastStore) -> str:
    """And lose what lies below it."""
    store.replace("minimum-index", b"900\n")
    store.remove("tile/entries/002")
    return "minimum-index: it is 900, and the log itself tells of 700"


def lower_minimum(store: FastStore) -> str:
    store.replace("minimum-index", b"512\n")
    return "entries 256 to 511: tile/entries/001 is missing"


def garble_minimum(store: FastStore) -> str:
    store.replace("minimum-index", b"1e3\n")
    return "minimum-index: makes no sense"


def lose_hashes(store: FastStore) -> str:
    store.remove("tile/0/000")
    return "tile/0/000: is missing"


@pytest.mark.parametrize(
    "change", [lose_above, lose_far_above, lose_minimum, raise_minimum, lower_minimum, garble_minimum, lose_hashes]
)  # fmt: skip
def test_whatever_else_is_gone_is_found(pruned: FastStore, change: Callable[[FastStore], str]) -> None:
    finding = change(pruned)

    assert finding in findings(pruned)


def test_gap_behind_what_is_still_there_is_found(tmp_path: Path) -> None:
    store = make_log(tmp_path, statement(OVER))
    store.replace("minimum-index", b"700\n")
    store.remove("tile/entries/001")

    assert findings(store) == ["entries 256 to 511: tile/entries/001 is missing"]


@pytest.mark.parametrize(
    ("told", "finding"),
    [
        (statement(900), "it is below the minimum index, and its years are not over"),
        (statement(900, f"{KEPT:%Y-%m}"), f"the month audit_month:{KEPT:%Y-%m} was dropped before its time was over"),
        (statement(5000), "it makes no sense"),
        (statement(None), "it is 900, and the log itself tells of none"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("are_gone", [True, False])
def test_minimum_beyond_the_term_is_found_though_the_log_tells_of_it(
    tmp_path: Path, told: bytes, finding: str, are_gone: bool
) -> None:
    """By somebody who can have entries written, too: what is left shows its years."""
    store = make_log(tmp_path, told)
    store.replace("minimum-index", b"900\n")
    for number in range(bundles_gone(900) if are_gone else 0):
        store.remove(f"tile/entries/{number:03}")
    found = findings(store)

    assert any(each.endswith(finding) for each in found)
    assert (
        f"entry {768 if are_gone else 700}: it is below the minimum index, and its years are not over"
        in found
    )


def test_nothing_is_removed_whose_years_are_not_over(tmp_path: Path) -> None:
    store = make_log(tmp_path, statement(900))
    before = files_in(tmp_path)

    with pytest.raises(TooYoung, match="entry 768 is below the minimum index 900"):
        remove_bundles(store, SIZE, 900)
    assert files_in(tmp_path) == before


def test_second_place_keeps_what_it_has_and_knows_the_minimum(tmp_path: Path) -> None:
    store, early, late = (
        make_log(tmp_path / "log", statement(OVER)),
        FastStore(tmp_path / "a"),
        FastStore(tmp_path / "b"),
    )
    copy_log(store, early, [SIGNER.key])
    remove_bundles(store, SIZE, OVER)
    for second in (early, late):
        copy_log(store, second, [SIGNER.key])

        assert findings(second) == []
        assert read_minimum(second) == OVER
    assert early.read("tile/entries/000") is not None
    assert files_in(tmp_path / "b") == files_in(tmp_path / "log")

    store.remove("tile/entries/002")
    with pytest.raises(TileRefused, match="tile/entries/002 is missing"):
        copy_log(store, FastStore(tmp_path / "c"), [SIGNER.key])


@pytest.mark.parametrize(
    "now", [datetime(2033, 12, 31, 23, 59, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)]
)
def test_retention_and_verifier_have_one_rule(now: datetime, db: Any) -> None:
    made = datetime(2026, 3, 5, tzinfo=UTC)
    cutoff = holding_of(AuditEntry).retention.cutoff(now)
    assert cutoff is not None

    assert (made < cutoff) == is_over(made, now) == (kept_until(date(2026, 3, 1)) <= now.date())
    assert is_over(made, now) == (now.year == 2034)
