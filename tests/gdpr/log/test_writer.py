from pathlib import Path

import pytest

from gdpr.log.checkpoint import open_checkpoint
from gdpr.log.note import NoteRefused, make_signer, sign_note
from gdpr.log.store import FolderStore, StoreBusy, StoreConflict
from gdpr.log.verify import verify_log
from gdpr.log.writer import LogBroken, LogWriter, known_keys
from tests.gdpr.log.logs import ORIGIN, FastStore, files_in, make_entry, make_log


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    entries = [make_entry(number) for number in range(1000)]
    signer = make_signer(ORIGIN)
    whole = LogWriter(FastStore(tmp_path / "whole"), signer)
    whole.add(entries)
    whole.publish()
    begin = 0
    for step in (1, 2, 253, 1, 300, 443):
        parts = LogWriter(FastStore(tmp_path / "parts"), signer)
        parts.add(entries[begin : begin + step])
        parts.publish()
        begin += step

    assert begin == 1000
    assert files_in(tmp_path / "whole") == files_in(tmp_path / "parts")


class Dies(FastStore):
    """Ends after so many files, as a kill would: the next one is written to half of it, beside its place."""

    def __init__(self, folder: Path, after: int) -> None:
        super().__init__(folder)
        self.left = after

    def replace(self, path: str, data: bytes) -> None:
        if self.left == 0:
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            (target.parent / f".{target.name}.new").write_bytes(data[: len(data) // 2])
            raise KeyboardInterrupt
        self.left -= 1
        super().replace(path, data)


@pytest.mark.parametrize("after", range(10))
def test_death_at_any_file_loses_and_repeats_nothing(tmp_path: Path, after: int) -> None:
    entries = [make_entry(number) for number in range(900)]
    signer = make_signer(ORIGIN)
    first = LogWriter(FastStore(tmp_path / "log"), signer)
    first.add(entries[:200])
    first.publish()

    def go_on(store: FastStore) -> None:
        writer = LogWriter(store, signer)
        writer.add(entries[writer.size :])
        writer.publish()

    with pytest.raises(KeyboardInterrupt):
        go_on(Dies(tmp_path / "log", after))
    assert verify_log(FastStore(tmp_path / "log"), [signer.key]).problems == []
    go_on(FastStore(tmp_path / "log"))

    whole = LogWriter(FastStore(tmp_path / "whole"), signer)
    whole.add(entries)
    whole.publish()
    assert files_in(tmp_path / "log") == files_in(tmp_path / "whole")


def test_file_that_holds_something_else_is_not_written_over(tmp_path: Path) -> None:
    writer = make_log(tmp_path, 200)
    (tmp_path / "tile/entries/000").write_bytes(b"planted")

    with pytest.raises(StoreConflict, match="tile/entries/000 holds something else"):
        writer.add(make_entry(number) for number in range(100))
    assert (tmp_path / "tile/entries/000").read_bytes() == b"planted"


def test_log_that_was_changed_is_not_continued(tmp_path: Path) -> None:
    signer = make_signer(ORIGIN)
    make_log(tmp_path, 200, signer=signer)
    tile = tmp_path / "tile/0/000.p/200"
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])

    with pytest.raises(LogBroken, match="not those that its checkpoint was signed for"):
        LogWriter(FastStore(tmp_path), signer)
    tile.unlink()
    with pytest.raises(LogBroken, match="is missing"):
        LogWriter(FastStore(tmp_path), signer)


def test_checkpoint_of_nobody_known_is_not_continued(tmp_path: Path) -> None:
    make_log(tmp_path, 20)
    (tmp_path / "checkpoint").write_text(
        sign_note(f"{ORIGIN}\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n", make_signer(ORIGIN))
    )

    with pytest.raises(LogBroken, match="refused"):
        LogWriter(FastStore(tmp_path), make_signer(ORIGIN))


def test_another_key_takes_over_under_the_same_name(tmp_path: Path) -> None:
    old, new = make_signer(ORIGIN), make_signer(ORIGIN)
    make_log(tmp_path, 20, signer=old)
    writer = LogWriter(FastStore(tmp_path), new)
    writer.add([make_entry()])
    writer.publish()

    assert known_keys(writer.store) == [old.key, new.key]
    assert open_checkpoint((tmp_path / "checkpoint").read_bytes(), [new.key]).size == 21
    with pytest.raises(NoteRefused):
        open_checkpoint((tmp_path / "checkpoint").read_bytes(), [old.key])
    assert verify_log(writer.store, [old.key, new.key]).is_fine


def test_files_are_for_their_owner_only_and_leave_nothing_beside_them(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "a" / "log")
    store.write("tile/entries/x001/000.p/1", b"1")
    store.write("tile/entries/x001/000.p/1", b"1")
    store.replace("checkpoint", b"2")
    store.replace("checkpoint", b"3")

    assert files_in(tmp_path) == {"a/log/tile/entries/x001/000.p/1": b"1", "a/log/checkpoint": b"3"}
    assert (store.folder / "checkpoint").stat().st_mode & 0o777 == 0o600
    assert (store.folder / "tile/entries").stat().st_mode & 0o777 == 0o700
    assert store.widths("tile/entries/x001/000") == [1]
    store.remove_partial("tile/entries/x001/000", 1)
    assert store.widths("tile/entries/x001/000") == []
    assert list((store.folder / "tile/entries/x001").iterdir()) == []
    assert store.read("tile/none") is None
    assert store.read("checkpoint/none") is None
    assert store.names("none") == []


def test_two_do_not_write_to_one_store(tmp_path: Path) -> None:
    one, other = FolderStore(tmp_path), FolderStore(tmp_path)
    with one.alone():
        with pytest.raises(StoreBusy), other.alone():
            pass
    with other.alone():
        pass
