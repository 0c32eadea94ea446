from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdpr.log.entry import leaf_hash
from gdpr.log.tiles import (
    ENTRIES,
    TileRefused,
    Tiles,
    files_of,
    pack_entries,
    superseded,
    tile_path,
    unpack_entries,
    unpack_hashes,
)
from gdpr.log.tree import consistency_proof, inclusion_proof, root_of, tree_root
from tests.gdpr.log.logs import files_in, make_log
from tests.gdpr.log.test_tree import mth


@pytest.mark.parametrize(
    ("kind", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (1, 1234067, 256, "tile/1/x001/x234/067"),
        (ENTRIES, 273, 112, "tile/entries/273.p/112"),
        (ENTRIES, 1000, 1, "tile/entries/x001/000.p/1"),
        (63, 999, 255, "tile/63/999.p/255"),
    ],
)
def test_paths_are_those_of_c2sp(kind: int | str, number: int, width: int, path: str) -> None:
    assert tile_path(kind, number, width) == path


def test_a_log_of_70000_has_the_files_that_c2sp_says() -> None:
    found = list(files_of(0, 70_000))

    level_0 = [width for kind, _, width in found if kind == 0]
    assert (level_0.count(256), level_0[-1], len(level_0)) == (273, 112, 274)
    assert [width for kind, _, width in found if kind == 1] == [256, 17]
    assert [width for kind, _, width in found if kind == 2] == [1]
    assert [width for kind, _, width in found if kind == ENTRIES] == level_0
    assert {kind for kind, _, _ in found} == {ENTRIES, 0, 1, 2}


@settings(deadline=None)
@given(st.integers(0, 200_000), st.integers(0, 70_000))
def test_files_that_grew_are_those_beyond_the_ones_before(begin: int, more: int) -> None:
    before, after = set(files_of(0, begin)), set(files_of(0, begin + more))

    assert set(files_of(begin, begin + more)) == after - before
    assert set(superseded(begin, begin + more)) == before - after


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=40))
def test_bundles_read_back(entries: list[bytes]) -> None:
    assert unpack_entries(pack_entries(entries)) == entries


def test_longest_entry_fits_a_bundle() -> None:
    assert unpack_entries(pack_entries([b"x" * 65_535, b""])) == [b"x" * 65_535, b""]
    with pytest.raises(OverflowError):
        pack_entries([b"x" * 65_536])


@pytest.mark.parametrize("raw", [b"\x00", b"\x00\x05abc", b"\x00\x01a\x00"])
def test_what_is_no_bundle_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="beyond"):
        unpack_entries(raw)


def test_hashes_are_whole() -> None:
    with pytest.raises(ValueError, match="whole"):
        unpack_hashes(bytes(33))


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
def test_files_hold_the_tree(tmp_path: Path, size: int) -> None:
    writer = make_log(tmp_path, size)
    tiles = Tiles(size, writer.store.read, writer.store.widths)
    leaves = [leaf_hash(tiles.entry(index)) for index in range(size)]

    assert tree_root(size, tiles.node) == root_of(leaves) == mth(leaves) == writer.root()
    for index in (0, size // 2, size - 1):
        assert len(inclusion_proof(index, size, tiles.node)) <= 10
    assert consistency_proof(size // 2 or 1, size, tiles.node) is not None
    expected = {tile_path(*each) for each in files_of(0, size)}
    assert {path for path in files_in(tmp_path) if path.startswith("tile/")} == expected


def test_files_of_two_levels(tmp_path: Path) -> None:
    """Full tiles of level 1: entries are small, so that this is quick."""
    writer = make_log(tmp_path, 0)
    writer.add(str(number).encode() for number in range(65_536 + 300))
    writer.publish()
    size = writer.size
    tiles = Tiles(size, writer.store.read, writer.store.widths)

    assert writer.store.read("tile/1/000") is not None
    assert tree_root(size, tiles.node) == root_of(leaf_hash(str(number).encode()) for number in range(size))
    assert tree_root(65_537, tiles.node) == root_of(leaf_hash(str(n).encode()) for n in range(65_537))


def test_a_wider_file_serves_an_older_checkpoint(tmp_path: Path) -> None:
    writer = make_log(tmp_path, 300)
    older = Tiles(290, writer.store.read, writer.store.widths)
    assert [older.entry(index) for index in (0, 289)] == [
        Tiles(300, writer.store.read).entry(index) for index in (0, 289)
    ]
    writer.add(older.bundle(1) * 8)
    writer.publish()
    assert (tmp_path / "tile/entries/001").exists()
    again = Tiles(290, writer.store.read, writer.store.widths)
    assert again.hashes(0, 1) == older.hashes(0, 1)


def test_file_of_another_length_than_its_name_says_is_refused(tmp_path: Path) -> None:
    make_log(tmp_path, 300)
    tile = tmp_path / "tile/0/000"
    tile.write_bytes(tile.read_bytes() + bytes(32))

    with pytest.raises(TileRefused, match="tile/0/000 has 257 items, not 256"):
        Tiles(300, lambda path: (tmp_path / path).read_bytes()).node(0, 3)
