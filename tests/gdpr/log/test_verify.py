from collections.abc import Callable
from pathlib import Path

import pytest

from gdpr.log.checkpoint import Checkpoint
from gdpr.log.note import make_signer
from gdpr.log.tiles import pack_entries, unpack_entries
from gdpr.log.verify import verify_log
from gdpr.log.writer import LogWriter
from tests.gdpr.log.logs import ORIGIN, FastStore, make_entry, make_log

SIZE = 600
SIGNER = make_signer(ORIGIN)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_log(tmp_path, SIZE, signer=SIGNER)
    return tmp_path


def findings(folder: Path, *older: str) -> list[str]:
    report = verify_log(FastStore(folder), [SIGNER.key], [("kept", note) for note in older])
    return [str(problem) for problem in report.problems]


def test_what_was_signed_is_fine(folder: Path) -> None:
    kept = (folder / "checkpoint").read_text()
    report = verify_log(FastStore(folder), [SIGNER.key], [("kept", kept)])

    assert (report.problems, report.size, report.origin) == ([], SIZE, ORIGIN)


def test_an_empty_folder_is_an_empty_log(tmp_path: Path) -> None:
    assert findings(tmp_path) == []
    note = Checkpoint(ORIGIN, 0, make_log(tmp_path, 0).root()).signed(SIGNER)
    assert findings(tmp_path, note) == ["checkpoint: missing"]


def edit_entry(folder: Path) -> None:
    path = folder / "tile/entries/001"
    entries = unpack_entries(path.read_bytes())
    entries[44] = entries[44].replace(b"key.revoked", b"key.created")
    path.write_bytes(pack_entries(entries))


def edit_hash(folder: Path) -> None:
    path = folder / "tile/0/001"
    raw = bytearray(path.read_bytes())
    raw[44 * 32] ^= 1
    path.write_bytes(raw)


def edit_upper(folder: Path) -> None:
    path = folder / "tile/1/000.p/2"
    path.write_bytes(path.read_bytes()[:32] + bytes(32))


def lose_bundle(folder: Path) -> None:
    (folder / "tile/entries/001").unlink()


def lose_beginning(folder: Path) -> None:
    (folder / "tile/entries/000").unlink()


def lose_tile(folder: Path) -> None:
    (folder / "tile/0/001").unlink()


def lose_upper(folder: Path) -> None:
    (folder / "tile/1/000.p/2").unlink()


def lose_checkpoint(folder: Path) -> None:
    (folder / "checkpoint").unlink()


def shorten(folder: Path) -> None:
    path = folder / "tile/entries/002.p/88"
    path.write_bytes(pack_entries(unpack_entries(path.read_bytes())[:-1]))


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (edit_entry, "entry 300: its bytes are not those of its leaf in tile/0/001"),
        (edit_hash, "entry 300: its bytes are not those of its leaf in tile/0/001"),
        (edit_upper, "tile/1/000: its hash 1 is not the root of tile/0/001"),
        (lose_bundle, "entries 256 to 511: tile/entries/001 is missing"),
        (lose_beginning, "entries 0 to 255: tile/entries/000 is missing"),
        (lose_tile, "tile/0/001: is missing"),
        (lose_upper, "tile/1/000.p/2: is missing"),
        (lose_checkpoint, "checkpoint: missing"),
        (shorten, "entries 512 to 599: tile/entries/002.p/88 has 87 items, not 88"),
    ],
)
def test_finding_says_what_and_where(folder: Path, change: Callable[[Path], None], finding: str) -> None:
    change(folder)

    assert findings(folder)[0] == finding


def test_an_entry_that_was_edited_leaves_the_tree_as_it_was(folder: Path) -> None:
    """So one finding, and not one for everything behind it."""
    edit_entry(folder)

    assert len(findings(folder)) == 1


def test_history_that_was_written_anew_under_the_same_key_is_found_by_a_checkpoint(tmp_path: Path) -> None:
    make_log(tmp_path / "one", SIZE, signer=SIGNER)
    kept = (tmp_path / "one/checkpoint").read_text()
    make_log(tmp_path / "other", SIZE + 50, signer=SIGNER)

    assert findings(tmp_path / "other") == []
    assert findings(tmp_path / "other", kept) == [
        f"kept: the first {SIZE} entries are not those that it was signed for"
    ]


def test_log_that_was_rolled_back_is_found_by_a_checkpoint(tmp_path: Path) -> None:
    writer = make_log(tmp_path, 400, signer=SIGNER)
    older = (tmp_path / "checkpoint").read_bytes()
    writer.add([make_entry()])
    writer.publish()
    kept = (tmp_path / "checkpoint").read_text()
    (tmp_path / "checkpoint").write_bytes(older)

    assert findings(tmp_path, kept) == [
        "kept: it was signed for 401 entries and the log has 400: it was rolled back"
    ]


def test_another_key_is_refused(folder: Path) -> None:
    other = verify_log(FastStore(folder), [make_signer(ORIGIN).key])

    assert [problem.where for problem in other.problems] == ["checkpoint"]
    assert "not signed by" in other.problems[0].what


def test_an_entry_that_is_there_twice_is_found(tmp_path: Path) -> None:
    writer = LogWriter(FastStore(tmp_path), SIGNER)
    entry = make_entry()
    writer.add([entry, make_entry(), entry, b'{"no": "entry"}', b"\xff"])
    writer.publish()

    assert findings(tmp_path) == [
        "entry 2: it is entry 0 once more", "entry 3: it is no audit entry", "entry 4: it is no audit entry",
    ]  # fmt: skip


def test_kept_history_is_checked_too(tmp_path: Path) -> None:
    writer = LogWriter(FastStore(tmp_path), SIGNER)
    writer.add([make_entry()])
    writer.publish(keep=True)
    writer.add([make_entry()])
    writer.publish(keep=True)
    assert findings(tmp_path) == []
    names = sorted((tmp_path / "checkpoints").iterdir())
    names[0].write_bytes(names[1].read_bytes())

    assert findings(tmp_path) == [
        f"checkpoints/{1:018d}: it is a checkpoint of 2 entries, which its name does not say"
    ]
