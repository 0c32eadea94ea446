"""What somebody does to a log or its rows, drawn by a seed: each change makes it differ from what was signed."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import Connection

from gdpr.log.entry import leaf_hash
from gdpr.log.note import FileSigner, make_signer
from gdpr.log.store import CHECKPOINT, HISTORY, KEYS
from gdpr.log.term import MINIMUM_INDEX, bundles_gone
from gdpr.log.tiles import ENTRIES, WIDTH, Tiles, pack_entries, tile_path
from gdpr.log.writer import LogWriter, newest_checkpoint
from tests.gdpr.log.logs import ORIGIN, make_entry


class Files(dict[str, bytes]):
    """A store in memory."""

    def read(self, path: str) -> bytes | None:
        return self.get(path)

    def write(self, path: str, data: bytes) -> None:
        assert self.get(path, data) == data
        self[path] = data

    def replace(self, path: str, data: bytes) -> None:
        self[path] = data

    def widths(self, path: str) -> Sequence[int]:
        return [int(name.rpartition("/")[2]) for name in self if name.startswith(f"{path}.p/")]

    def remove_partial(self, path: str, width: int) -> None:
        self.pop(f"{path}.p/{width}", None)

    def names(self, folder: str) -> list[str]:
        return sorted(name.removeprefix(f"{folder}/") for name in self if name.startswith(f"{folder}/"))


@dataclass
class Log:
    """Its files, an earlier state of them, and the checkpoints that customers keep of both."""

    signer: FileSigner
    files: Files
    earlier: Files
    kept: list[tuple[str, bytes]] = field(default_factory=list)

    @property
    def entries(self) -> list[bytes]:
        size = newest_checkpoint(self.files, [self.signer.key]).size
        tiles = Tiles(size, self.files.read, self.files.widths)
        return [tiles.entry(index) for index in range(size)]


def grown_log(size: int, draw: random.Random) -> Log:
    """Published in steps of any size."""
    signer, files = make_signer(ORIGIN), Files()
    writer, earlier, kept = LogWriter(files, signer), Files(), []
    number, cut = 0, draw.randrange(1, size)
    while number < size:
        step = min(size - number, draw.choice([1, 2, 37, 255, 256, 257, 400]))
        if number < cut < number + step:
            step = cut - number
        writer.add(make_entry(number + at) for at in range(step))
        number += step
        writer.publish(keep=draw.random() < 0.1)
        if number == cut:
            earlier = Files(files)
            kept.append(("what a customer keeps", files[CHECKPOINT]))
    kept.append(("what the second place keeps", files[CHECKPOINT]))
    return Log(signer, files, earlier, kept)


Change = Callable[[Log, random.Random], Files]


def rebuilt(entries: Sequence[bytes], signer: FileSigner) -> Files:
    """A whole log, which fits itself."""
    files = Files()
    writer = LogWriter(files, signer)
    writer.add(entries)
    writer.publish()
    return files


def edit(log: Log, draw: random.Random) -> Files:
    """In the bundle; half of the time its tile is made to fit, or the whole tree but for the signature."""
    entries = log.entries
    at = draw.randrange(len(entries))
    raw = bytearray(entries[at])
    raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
    return _with(log, draw, [*entries[:at], bytes(raw), *entries[at + 1 :]])


def delete(log: Log, draw: random.Random) -> Files:
    entries = log.entries
    at = draw.randrange(len(entries))
    return _with(log, draw, [*entries[:at], *entries[at + 1 :]])


def insert(log: Log, draw: random.Random) -> Files:
    entries = log.entries
    at = draw.randrange(len(entries))  # behind the last one nothing is signed for
    return _with(log, draw, [*entries[:at], make_entry(), *entries[at:]])


def swap(log: Log, draw: random.Random) -> Files:
    entries = log.entries
    one, other = draw.sample(range(len(entries)), 2)
    entries[one], entries[other] = entries[other], entries[one]
    return _with(log, draw, entries)


def _with(log: Log, draw: random.Random, entries: list[bytes]) -> Files:
    """How far a forger goes, who has not the key: the bundles, also their tiles, or all tiles."""
    depth = draw.randrange(3)
    if depth == 2:
        files = rebuilt(entries, make_signer(ORIGIN))
        kept = (KEYS, CHECKPOINT, *(path for path in log.files if path.startswith(HISTORY)))
        return Files({**files, **{path: log.files[path] for path in kept}})
    changed = ("tile/entries/", "tile/0/") if depth == 1 else ("tile/entries/",)
    files = Files({path: data for path, data in log.files.items() if not path.startswith(changed)})
    for number in range(-(-len(entries) // WIDTH)):
        some = entries[number * WIDTH : (number + 1) * WIDTH]
        files[tile_path(ENTRIES, number, len(some))] = pack_entries(some)
        if depth == 1:
            files[tile_path(0, number, len(some))] = b"".join(map(leaf_hash, some))
    return files


def truncate(log: Log, draw: random.Random) -> Files:
    """Files of the end, without another checkpoint."""
    files = Files(log.files)
    paths = sorted(path for path in files if path.startswith("tile/"))
    kind = draw.choice(["bundle", "file", "bytes"])
    path = draw.choice([path for path in paths if "entries" in path] if kind == "bundle" else paths)
    if kind == "bytes":
        files[path] = files[path][: draw.randrange(len(files[path]))]
    else:
        del files[path]
    return files


def truncate_signed(log: Log, draw: random.Random) -> Files:
    """A shorter log, signed by the true key."""
    return rebuilt(log.entries[: draw.randrange(len(log.entries))], log.signer)


def fork(log: Log, draw: random.Random) -> Files:
    """Another history, as long or longer, signed by the true key."""
    entries = log.entries
    earlier = newest_checkpoint(log.earlier, [log.signer.key]).size
    at = draw.randrange(earlier)
    entries[at] = make_entry(at)
    return rebuilt([*entries, *(make_entry() for _ in range(draw.randrange(300)))], log.signer)


def roll_back(log: Log, draw: random.Random) -> Files:
    """All files as they were, its checkpoint included."""
    return Files(log.earlier)


def wrong_key(log: Log, draw: random.Random) -> Files:
    """The same entries under another key of the same name."""
    return rebuilt(log.entries, make_signer(ORIGIN))


def replace_tile(log: Log, draw: random.Random) -> Files:
    files = Files(log.files)
    path = draw.choice([path for path in files if path.startswith("tile/")])
    raw = files[path]
    others = [other for other in files.values() if other != raw and len(other) == len(raw)]
    how = draw.choice(["flip", "zeroes", "other", "longer"])
    if how == "other" and others:
        files[path] = draw.choice(others)
    elif how == "longer":
        files[path] = raw + raw[-32:]
    elif how == "zeroes":
        files[path] = bytes(len(raw))
    else:
        changed = bytearray(raw)
        changed[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        files[path] = bytes(changed)
    return files


def edit_checkpoint(log: Log, draw: random.Random) -> Files:
    """The newest one, or one of the history."""
    files = Files(log.files)
    path = draw.choice([CHECKPOINT, *(path for path in files if path.startswith(HISTORY))])
    raw = bytearray(files[path])
    if draw.random() < 0.1:
        files[path] = b""
        return files
    at = draw.randrange(len(raw))
    raw[at] ^= 1 << draw.randrange(8)
    files[path] = bytes(raw)
    return files


def prune(log: Log, draw: random.Random) -> Files:
    """As if the time of its beginning were over: a minimum index, and the bundles below it gone or not yet."""
    files = Files(log.files)
    minimum = draw.randrange(1, len(log.entries) + 300)
    files[MINIMUM_INDEX] = b"%d\n" % minimum
    if draw.random() < 0.5:
        for number in range(bundles_gone(minimum)):
            files.pop(tile_path(ENTRIES, number), None)
    return files


FILES: Final[Sequence[Change]] = (
    edit, delete, insert, swap, truncate, truncate_signed, fork, roll_back, wrong_key, replace_tile, edit_checkpoint,
    prune,
)  # fmt: skip

RowChange = Callable[[Connection[Any], int, random.Random], None]


def edit_row(root: Connection[Any], size: int, draw: random.Random) -> None:
    column, value = draw.choice(
        [("event", "'key.created'"), ("actor", "'user:nobody'"), ("outcome", "'refused'"), ("object_ref", "'key:x'"),
         ("details", "'{}'"), ("request_id", "'req_x'"), ("at", "at + interval '1 microsecond'"),
         ("tenant_id", "gen_random_uuid()"), ("leaf", "sha256(leaf)"), ("schema_version", "2"),
         ("seq", "NULL"), ("seq", "seq + 1"), ("seq", str(2 * size))]
    )  # fmt: skip
    root.execute(f"UPDATE gdpr_auditentry SET {column} = {value} WHERE seq = %s", [draw.randrange(size - 1)])


def edit_row_and_leaf(root: Connection[Any], size: int, draw: random.Random) -> None:
    """With the leaf that belongs to it."""
    from gdpr.log.rows import numbered_rows

    at = draw.randrange(size)
    row = numbered_rows(root, at, at + 1)[0]
    entry = row.entry().replace(b"key.revoked", b"key.created")
    root.execute(
        "UPDATE gdpr_auditentry SET event = 'key.created', leaf = %s WHERE seq = %s", [leaf_hash(entry), at]
    )


def delete_row(root: Connection[Any], size: int, draw: random.Random) -> None:
    root.execute("DELETE FROM gdpr_auditentry WHERE seq = %s", [draw.randrange(size)])


def delete_last_rows(root: Connection[Any], size: int, draw: random.Random) -> None:
    root.execute("DELETE FROM gdpr_auditentry WHERE seq >= %s", [draw.randrange(size)])


def delete_and_renumber(root: Connection[Any], size: int, draw: random.Random) -> None:
    at = draw.randrange(size - 1)
    root.execute("DELETE FROM gdpr_auditentry WHERE seq = %s", [at])
    root.execute("UPDATE gdpr_auditentry SET seq = seq - 1 WHERE seq > %s", [at])


def insert_row(root: Connection[Any], size: int, draw: random.Random) -> None:
    """Beyond the end, where nobody gave a place; or in the place of another, which loses its own."""
    at = draw.randrange(size)
    if draw.random() < 0.5:
        place = size + draw.randrange(100)
    else:
        root.execute("UPDATE gdpr_auditentry SET seq = NULL WHERE seq = %s", [at])
        place = at
    root.execute(
        "INSERT INTO gdpr_auditentry SELECT month, uuid_of_now, tenant_id, event, actor, object_ref, outcome, details,"
        " request_id, at, schema_version, leaf, %s FROM (SELECT *, (left(id::text, 18) || right(gen_random_uuid()::text, 18))::uuid"
        " AS uuid_of_now FROM gdpr_auditentry WHERE seq = %s) AS other",
        [place, (at + 1) % size],
    )


def swap_rows(root: Connection[Any], size: int, draw: random.Random) -> None:
    one, other = draw.sample(range(size), 2)
    root.execute("UPDATE gdpr_auditentry SET seq = -1 WHERE seq = %s", [one])
    root.execute("UPDATE gdpr_auditentry SET seq = %s WHERE seq = %s", [one, other])
    root.execute("UPDATE gdpr_auditentry SET seq = %s WHERE seq = -1", [other])


def forget_places(root: Connection[Any], size: int, draw: random.Random) -> None:
    """So that they would be numbered once more."""
    root.execute("UPDATE gdpr_auditentry SET seq = NULL WHERE seq >= %s", [draw.randrange(size)])


def lower_the_count(root: Connection[Any], size: int, draw: random.Random) -> None:
    root.execute("UPDATE gdpr_auditsequence SET size = %s", [draw.randrange(size)])


def truncate_rows(root: Connection[Any], size: int, draw: random.Random) -> None:
    root.execute("TRUNCATE gdpr_auditentry")


ROWS: Final[Sequence[RowChange]] = (
    edit_row, edit_row_and_leaf, delete_row, delete_last_rows, delete_and_renumber, insert_row, swap_rows,
    forget_places, lower_the_count, truncate_rows,
)  # fmt: skip


def kinds(names: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in sorted(names.items()))
