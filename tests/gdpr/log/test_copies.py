from pathlib import Path

import pytest

from gdpr.log.copies import CopyRefused, copy_log, second_place
from gdpr.log.note import make_signer
from gdpr.log.store import StoreConflict
from gdpr.log.verify import verify_log
from tests.gdpr.log.logs import ORIGIN, FastStore, files_in, make_entry, make_log

SIGNER = make_signer(ORIGIN)


def test_second_place_becomes_the_same(tmp_path: Path) -> None:
    writer, second = make_log(tmp_path / "one", 300, signer=SIGNER), FastStore(tmp_path / "two")

    assert copy_log(writer.store, second, [SIGNER.key]) == 300
    assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    for more in (1, 250, 700):
        writer.add(make_entry(number) for number in range(more))
        writer.publish(keep=True)
        assert copy_log(writer.store, second, [SIGNER.key]) == more
        assert files_in(tmp_path / "one") == files_in(tmp_path / "two")
    assert copy_log(writer.store, second, [SIGNER.key]) == 0
    assert verify_log(second, [SIGNER.key]).is_fine


def test_nothing_is_copied_of_a_log_that_is_not_there(tmp_path: Path) -> None:
    assert copy_log(FastStore(tmp_path / "one"), FastStore(tmp_path / "two"), []) == 0
    assert files_in(tmp_path) == {}


def test_second_place_is_not_rolled_back(tmp_path: Path) -> None:
    writer, second = make_log(tmp_path / "one", 300, signer=SIGNER), FastStore(tmp_path / "two")
    older = files_in(tmp_path / "one")
    writer.add([make_entry()])
    writer.publish()
    copy_log(writer.store, second, [SIGNER.key])
    for path, data in older.items():
        (tmp_path / "one" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "one" / path).write_bytes(data)

    with pytest.raises(CopyRefused, match="rolled back"):
        copy_log(writer.store, second, [SIGNER.key])


def test_second_place_of_another_history_is_left_as_it_is(tmp_path: Path) -> None:
    make_log(tmp_path / "two", 300, signer=SIGNER)
    writer = make_log(tmp_path / "one", 400, signer=SIGNER)
    before, other = files_in(tmp_path / "two"), make_signer(ORIGIN)

    with pytest.raises(CopyRefused, match="the first 300 entries of this log are others"):
        copy_log(writer.store, FastStore(tmp_path / "two"), [SIGNER.key])
    with pytest.raises(CopyRefused, match="refused"):
        copy_log(
            make_log(tmp_path / "three", 1, signer=other).store, FastStore(tmp_path / "two"), [other.key]
        )
    assert files_in(tmp_path / "two") == before


def test_file_that_was_changed_in_the_second_place_is_left_as_it_is(tmp_path: Path) -> None:
    writer = make_log(tmp_path / "one", 300, signer=SIGNER)
    planted = tmp_path / "two/tile/0/000"
    planted.parent.mkdir(parents=True)
    planted.write_bytes(b"planted")

    with pytest.raises(StoreConflict):
        copy_log(writer.store, FastStore(tmp_path / "two"), [SIGNER.key])
    assert planted.read_bytes() == b"planted"


def test_second_place_is_named(tmp_path: Path) -> None:
    assert second_place("") is None
    assert str(second_place(str(tmp_path))) == str(tmp_path)
