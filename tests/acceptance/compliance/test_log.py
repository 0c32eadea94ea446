"""The audit log can prove itself: every tampering is found, nothing else is, and no proof is accepted that is not one.

The checkers are each first shown to miss tamperings while a bug is planted in them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from gdpr.domain.audit import make_entry as audit_entry
from gdpr.log import checkpoint as checkpoints
from gdpr.log import proof as proofs
from gdpr.log import rows, tree, verify
from gdpr.log.copies import copy_log
from gdpr.log.note import NoteRefused
from gdpr.log.proof import ProofRefused, check_proof, make_proof, read_proof
from gdpr.log.rows import compare_rows
from gdpr.log.sequencer import Sequencer, lead
from gdpr.log.store import FolderStore
from gdpr.log.tiles import Tiles
from gdpr.log.tree import consistency_proof, tree_root, verify_consistency
from gdpr.log.verify import verify_log
from rbee_cli.up.postgres import Postgres
from tests.acceptance.compliance import tampering
from tests.acceptance.compliance.tampering import FILES, ROWS, Log, grown_log
from tests.acceptance.figures import SCALE, SEED, note, scaled
from tests.factories.audit import SIGNER, make_entries, sequence
from tests.factories.tenants import TESTER
from tests.services import root_url

PATIENCE_S = 120  # with a process that starts beside other tests
OF_FILES = scaled(700, least=len(FILES))
OF_ROWS = scaled(300, least=len(ROWS))
LOGS = scaled(25, least=2)  # that are tampered with


@pytest.fixture(scope="module")
def logs() -> list[Log]:
    draw = random.Random(SEED)
    return [grown_log(draw.randrange(300, 1500), draw) for _ in range(LOGS)]


def undetected(logs: list[Log], count: int) -> tuple[Counter[str], Counter[str]]:
    """Tamperings by kind, and those of them that `verify_log` did not find."""
    done, missed = Counter[str](), Counter[str]()
    for number in range(count):
        change, draw = FILES[number % len(FILES)], random.Random(f"{SEED} {number}")
        log = draw.choice(logs)
        files = change(log, draw)
        assert files != log.files
        done[change.__name__] += 1
        if verify_log(files, [log.signer.key], log.kept).is_fine:
            missed[change.__name__] += 1
    return done, missed


def test_every_tampering_with_files_is_found(logs: list[Log]) -> None:
    done, missed = undetected(logs, OF_FILES)

    note("log: tamperings with files", f"{sum(done.values())} ({tampering.kinds(done)})")
    note("log: tamperings with files, not found", sum(missed.values()))
    assert not missed
    assert set(done) == {change.__name__ for change in FILES}


@pytest.mark.timeout(900)
def test_clean_logs_raise_no_alarm() -> None:
    draw = random.Random(SEED + 1)
    alarms: list[str] = []
    runs = scaled(200, least=3)
    for _ in range(runs):
        log = grown_log(draw.randrange(2, 1500), draw)
        alarms += map(str, verify_log(log.files, [log.signer.key], log.kept).problems)
        alarms += map(str, verify_log(log.earlier, [log.signer.key], log.kept[:1]).problems)

    note("log: clean logs", runs)
    note("log: false alarms", len(alarms))
    assert alarms == []


def unsigned(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(checkpoints, "open_note", lambda note, keys: _text(note))


def _text(note: str | bytes) -> str:
    whole = note.decode(errors="replace") if isinstance(note, bytes) else note
    return whole[: whole.rfind("\n\n") + 1]


def older_ones_are_not_asked(patch: pytest.MonkeyPatch) -> None:
    run = verify._Walk.run

    def only_the_newest(walk: verify._Walk) -> None:
        walk.checkpoints = walk.checkpoints[-1:]
        run(walk)

    patch.setattr(verify._Walk, "run", only_the_newest)


def entries_are_not_hashed(patch: pytest.MonkeyPatch) -> None:
    leaves = verify._Walk._leaves

    def believed(walk: verify._Walk, number: int) -> list[bytes] | None:
        return walk._stored(number) or leaves(walk, number)

    patch.setattr(verify._Walk, "_leaves", believed)


def root_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    class Believed(tree.Frontier):
        def root(self) -> bytes:
            return next((one.root for one in signed if one.size == self.size), super().root())

    signed: list[checkpoints.Checkpoint] = []
    opened = verify.open_checkpoint

    def remembered(*args: Any) -> checkpoints.Checkpoint:
        signed.append(opened(*args))
        return signed[-1]

    patch.setattr(verify, "open_checkpoint", remembered)
    patch.setattr(verify, "Frontier", Believed)


def upper_tiles_are_not_read(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(verify._Walk, "_compare", lambda *_: None)


def lengths_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    def short(
        tiles: Tiles, kind: int | str, number: int, unpack: Callable[[bytes], list[bytes]]
    ) -> list[bytes]:
        wanted = tiles.width(kind, number)
        for width in tiles._candidates(kind, number, wanted):
            if (raw := tiles._read(verify.tile_path(kind, number, width))) is not None:
                with contextlib.suppress(ValueError):
                    return unpack(raw)[:wanted]
        return []

    patch.setattr(Tiles, "_items", short)


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (unsigned, "wrong_key"),
        (older_ones_are_not_asked, "roll_back"),
        (older_ones_are_not_asked, "fork"),
        (older_ones_are_not_asked, "truncate_signed"),
        (entries_are_not_hashed, "edit"),
        (entries_are_not_hashed, "truncate"),
        (root_is_not_compared, "swap"),
        (upper_tiles_are_not_read, "replace_tile"),
        (lengths_are_not_counted, "replace_tile"),
    ],
)
def test_tamperings_find_a_bug_that_is_planted_in_the_verifier(
    logs: list[Log],
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    kind: str,
) -> None:
    change = next(each for each in FILES if each.__name__ == kind)
    plant(monkeypatch)
    missed = 0
    for number in range(60):
        draw = random.Random(f"{SEED} planted {number}")
        log = logs[number % len(logs)]
        missed += verify_log(change(log, draw), [log.signer.key], log.kept).is_fine
        if missed:
            break

    assert missed, "the suite would not notice this bug"


class Book:
    """Rows of a database, and the log of them."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.postgres = postgres
        self.size = sequence(postgres.sequencer_url, folder)
        store = FolderStore(folder)
        files = {path: store.read(path) for path in map(str, relative_files(folder))}
        self.tiles = Tiles(self.size, files.get, lambda _: ())

    def finding(self, change: tampering.RowChange | None, draw: random.Random) -> str | None:
        """The first one after `change` by a superuser, whom no trigger stops; it is taken back."""
        with psycopg.connect(root_url(self.postgres)) as root:
            root.execute("SET LOCAL session_replication_role = replica")
            if change is not None:
                root.execute("DROP INDEX gdpr_auditentry_seq")
                change(root, self.size, draw)
            found = next(compare_rows(root, self.tiles), None)
            root.rollback()
        return None if found is None else str(found)


def relative_files(folder: Path) -> Iterator[Path]:
    return (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def book(committed_db: None, postgres: Postgres, tmp_path: Path) -> Book:
    empty(postgres)
    make_entries(scaled(2000, least=300))
    return Book(postgres, tmp_path / "log")


def empty(postgres: Postgres) -> None:
    with psycopg.connect(root_url(postgres)) as root:
        root.execute("SET LOCAL session_replication_role = replica")
        root.execute("TRUNCATE gdpr_auditentry, gdpr_auditsequence")


@pytest.mark.timeout(1800)
def test_every_tampering_with_rows_by_a_superuser_is_found(book: Book) -> None:
    done, missed = Counter[str](), Counter[str]()
    for number in range(OF_ROWS):
        change, draw = ROWS[number % len(ROWS)], random.Random(f"{SEED} rows {number}")
        done[change.__name__] += 1
        if book.finding(change, draw) is None:
            missed[change.__name__] += 1

    note("log: tamperings with rows", f"{sum(done.values())} ({tampering.kinds(done)})")
    note("log: tamperings with rows, not found", sum(missed.values()))
    assert not missed
    assert book.finding(None, random.Random()) is None


def leaf_is_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows, "leaf_hash", lambda entry: _Anything())


def bytes_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows.Row, "entry", lambda row: _Anything())
    patch.setattr(rows, "leaf_hash", lambda entry: _Anything())


def absent_rows_are_not_missed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows, "_is_over", lambda entry: True)


def end_is_not_looked_beyond(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rows, "_beyond", lambda connection, size: iter(()))


class _Anything(bytes):
    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = bytes.__hash__


@pytest.mark.parametrize(
    ("plant", "kind"),
    [
        (leaf_is_not_compared, "edit_row"),
        (bytes_are_not_compared, "swap_rows"),
        (absent_rows_are_not_missed, "delete_row"),
        (end_is_not_looked_beyond, "lower_the_count"),
    ],
)
def test_tamperings_find_a_bug_that_is_planted_in_the_comparison(
    book: Book, monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None], kind: str
) -> None:
    change = next(each for each in ROWS if each.__name__ == kind)
    plant(monkeypatch)
    found = [book.finding(change, random.Random(f"{SEED} planted {number}")) for number in range(40)]

    assert None in found, "the suite would not notice this bug"


def mutated(text: str, draw: random.Random, others: list[str]) -> str:
    """Says something else than `text`."""
    lines = text.split("\n")
    how = draw.choice(["byte", "byte", "drop", "twice", "swap", "index", "line", "checkpoint", "mix", "cut"])
    at, other = draw.randrange(len(lines)), draw.choice(others).split("\n")
    if how == "drop":
        del lines[at]
    elif how == "twice":
        lines.insert(at, lines[at])
    elif how == "swap":
        to = draw.randrange(len(lines))
        lines[at], lines[to] = lines[to], lines[at]
    elif how == "index":
        lines[2] = f"index {draw.choice([0, 1, 2**53, int(lines[2][6:]) ^ 1, int(lines[2][6:]) + 256])}"
    elif how == "line":
        lines[at] = draw.choice(other)
    elif how == "checkpoint":
        lines = [*lines[: lines.index("")], *other[other.index("") :]]
    elif how == "mix":
        lines = [*lines[:2], *other[2:]]
    elif how == "cut":
        return text[: draw.randrange(len(text))]
    else:
        raw = bytearray(text.encode())
        raw[draw.randrange(len(raw))] ^= 1 << draw.randrange(8)
        return raw.decode(errors="replace")
    return "\n".join(lines)


def proofs_of(logs: list[Log]) -> list[tuple[Log, str, bytes]]:
    """With the entry that each is of."""
    found, draw = [], random.Random(SEED + 2)
    for log in logs:
        entries = log.entries
        for files in (log.files, log.earlier):
            signed = checkpoints.open_checkpoint(files["checkpoint"], [log.signer.key])
            tiles = Tiles(signed.size, files.read, files.widths)
            note_text = files["checkpoint"].decode()
            chosen = {0, signed.size - 1, draw.randrange(signed.size), draw.randrange(signed.size)}
            found += [(log, str(make_proof(index, note_text, tiles)), entries[index]) for index in chosen]
    return found


def accepted(log: Log, text: str, entry: bytes) -> bool:
    try:
        return check_proof(text, [log.signer.key])[0].entry == entry
    except (ProofRefused, NoteRefused):
        return False


def falsely_accepted(logs: list[Log], count: int) -> tuple[int, int]:
    """How many were tried, and how many of them prove what they should not. One that says the same is no mutation; and one
    that proves another entry of the log, as it does, is no false one."""
    good = proofs_of(logs)
    texts = [text for _, text, _ in good]
    tried = wrong = 0
    for number in itertools.count():
        draw = random.Random(f"{SEED} proof {number}")
        log, text, entry = draw.choice(good)
        other = mutated(text, draw, texts)
        if other in texts:
            continue
        tried += 1
        try:
            check_proof(other, [log.signer.key])
        except (ProofRefused, NoteRefused):
            with contextlib.suppress(ProofRefused, NoteRefused):
                check_proof(other, [log.signer.key], entry=entry)
                wrong += what_it_says(other) != what_it_says(text)
        else:
            wrong += 1
        if tried == count:
            return tried, wrong
    raise AssertionError


def what_it_says(text: str) -> tuple[int, tuple[bytes, ...], str]:
    """But for the entry that travels along."""
    proof = read_proof(text)
    return proof.index, proof.hashes, proof.checkpoint


def consistency_mutations(logs: list[Log], count: int) -> tuple[int, int]:
    """Sizes come from signed checkpoints, each with its root, so they are changed together."""
    tried = wrong = 0
    strangers = [checkpoints.open_checkpoint(log.files["checkpoint"], [log.signer.key]).root for log in logs]
    for number in itertools.count():
        draw = random.Random(f"{SEED} consistency {number}")
        log = draw.choice(logs)
        size = len(log.entries)
        tiles = Tiles(size, log.files.read, log.files.widths)
        old = draw.randrange(1, size)
        proof = consistency_proof(old, size, tiles.node)
        asked: list[Any] = [old, size, list(proof), tree_root(old, tiles.node), tree_root(size, tiles.node)]
        assert verify_consistency(*asked)
        other = [*asked[:2], list(proof), *asked[3:]]
        how = draw.choice(["rolled back", "fork", "old root", "new root", "flip", "drop", "more", "swap"])
        if how == "rolled back":
            other = [size, old, list(proof), asked[4], asked[3]]
        elif how == "fork":
            other[draw.choice([3, 4])] = draw.choice(strangers)
        elif how == "old root":
            other[3] = tree_root(draw.randrange(size), tiles.node)
        elif how == "new root":
            other[4] = tree_root(draw.randrange(size), tiles.node)
        elif how == "more":
            other[2].insert(draw.randrange(len(proof) + 1), draw.choice(proof))
        elif how == "drop":
            del other[2][draw.randrange(len(proof))]
        elif how == "swap" and len(proof) > 1:
            one, two = draw.sample(range(len(proof)), 2)
            other[2][one], other[2][two] = proof[two], proof[one]
        else:
            at = draw.randrange(len(proof))
            other[2][at] = bytes([proof[at][0] ^ 1 << draw.randrange(8)]) + proof[at][1:]
        if other == asked:
            continue
        tried += 1
        wrong += verify_consistency(*other)
        if tried == count:
            return tried, wrong
    raise AssertionError


@pytest.mark.timeout(900)
def test_no_mutated_proof_is_accepted(logs: list[Log]) -> None:
    for log, text, entry in proofs_of(logs):
        assert accepted(log, text, entry)

    inclusion = falsely_accepted(logs, scaled(10_000, least=200))
    consistency = consistency_mutations(logs, scaled(10_000, least=200))

    note("log: mutated inclusion proofs", f"{inclusion[0]}, accepted {inclusion[1]}")
    note("log: mutated consistency proofs", f"{consistency[0]}, accepted {consistency[1]}")
    assert (inclusion[1], consistency[1]) == (0, 0)


def proof_may_end_early(patch: pytest.MonkeyPatch) -> None:
    """As immudb's verifier once did: what is left of the way to the root is not asked for."""
    patch.setattr(proofs, "verify_inclusion", lambda leaf, index, size, proof, root: len(leaf) == len(root))


def checkpoint_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    unsigned(patch)


def entry_may_be_another(patch: pytest.MonkeyPatch) -> None:
    leaves: dict[int, bytes] = {}
    hashed = proofs.leaf_hash
    patch.setattr(proofs, "leaf_hash", lambda entry: leaves.setdefault(0, hashed(entry)))
    patch.setattr(proofs, "verify_inclusion", lambda leaf, index, size, proof, root: index < size)


@pytest.mark.parametrize("plant", [proof_may_end_early, checkpoint_is_not_checked, entry_may_be_another])
def test_mutations_find_a_bug_that_is_planted(
    logs: list[Log], monkeypatch: pytest.MonkeyPatch, plant: Callable[[pytest.MonkeyPatch], None]
) -> None:
    plant(monkeypatch)

    assert falsely_accepted(logs, 200)[1] > 0


@contextlib.contextmanager
def writers(postgres: Postgres, count: int) -> Iterator[list[int]]:
    """Entries by several connections at once, each in a transaction of its own, while the `with` lasts."""
    over, written = threading.Event(), [0] * count

    def write(number: int) -> None:
        with psycopg.connect(postgres.app_url) as connection:
            while not over.is_set():
                append(connection)
                written[number] += 1

    with ThreadPoolExecutor(count) as pool:
        done = [pool.submit(write, number) for number in range(count)]
        try:
            yield written
        finally:
            over.set()
        for each in done:
            each.result()


APPEND = (
    "INSERT INTO gdpr_auditentry (month, id, tenant_id, event, actor, object_ref, outcome, details, request_id, at,"
    " schema_version, leaf) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
)


def append(connection: psycopg.Connection[Any]) -> None:
    entry = audit_entry("key.revoked", actor=TESTER, tenant_id=None, object_ref="key:abc", details={"n": 1})
    with connection.transaction(), connection.pipeline():
        connection.execute("SET LOCAL ROLE rbee_colony")
        connection.execute(
            APPEND,
            [entry.month, entry.id, entry.tenant_id, entry.event, entry.actor, entry.object_ref, entry.outcome,
             psycopg.types.json.Jsonb(entry.details), entry.request_id, entry.at, entry.schema_version, entry.leaf],
        )  # fmt: skip


class Process:
    """`python -m rbee.sequencer`, as `rbee up` starts it."""

    def __init__(self, postgres: Postgres, folder: Path) -> None:
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            "RBEE_AUDIT_DATABASE_URL": postgres.sequencer_url,
            "RBEE_AUDIT_KEY": SIGNER.secret_text(),
            "RBEE_AUDIT_DIR": str(folder / "log"),
            "RBEE_AUDIT_COPY": str(folder / "copy"),
        }
        self.log = (folder / "sequencer.log").open("ab")
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rbee.sequencer"], env=self.environment, stdout=self.log, stderr=self.log
        )
        return self.process

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(60)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()


@pytest.mark.timeout(900)
def test_kill_of_the_sequencer_at_any_moment_breaks_nothing(
    committed_db: None, postgres: Postgres, tmp_path: Path
) -> None:
    empty(postgres)
    draw, kills = random.Random(SEED + 3), scaled(50, least=2)
    seen: dict[int, bytes] = {}
    with Process(postgres, tmp_path) as process, writers(postgres, 2) as written:
        for _ in range(kills):
            size = published(tmp_path / "log")
            until(lambda size=size: published(tmp_path / "log") > size, PATIENCE_S)  # type: ignore[misc]
            time.sleep(draw.random() * 0.7)
            process.end(signal.SIGKILL)
            remember(tmp_path / "log", seen)
            process.start()
        process.end(signal.SIGTERM)
    size = sequence(postgres.sequencer_url, tmp_path / "log")
    remember(tmp_path / "log", seen)
    store = FolderStore(tmp_path / "log")
    copy_log(store, FolderStore(tmp_path / "copy"), [SIGNER.key])
    found = [
        *verify_log(store, [SIGNER.key]).problems,
        *verify_log(FolderStore(tmp_path / "copy"), [SIGNER.key]).problems,
    ]
    with psycopg.connect(postgres.sequencer_url) as connection:
        found += compare_rows(connection, Tiles(size, store.read, store.widths))

    note("log: kills of the sequencer", f"{kills}, entries {size}")
    assert list(map(str, found)) == []
    assert size == sum(written)


def remember(folder: Path, seen: dict[int, bytes]) -> None:
    """An entry that was published once has its place for ever."""
    store = FolderStore(folder)
    note_bytes = store.read("checkpoint")
    if note_bytes is None:
        return
    size = checkpoints.open_checkpoint(note_bytes, [SIGNER.key]).size
    tiles = Tiles(size, store.read, store.widths)
    for index in range(0, size, 17):
        assert seen.setdefault(index, tiles.entry(index)) == tiles.entry(index)


def published(folder: Path) -> int:
    note_bytes = FolderStore(folder).read("checkpoint")
    return checkpoints.open_checkpoint(note_bytes, [SIGNER.key]).size if note_bytes else 0


def until(is_so: Callable[[], bool], timeout_s: float) -> float:
    began = time.monotonic()
    while not is_so():
        assert time.monotonic() - began < timeout_s
        time.sleep(0.01)
    return time.monotonic() - began


@pytest.mark.timeout(900)
def test_an_entry_is_sequenced_and_published_in_two_seconds(
    committed_db: None, postgres: Postgres, tmp_path: Path
) -> None:
    empty(postgres)
    lags = []
    with Process(postgres, tmp_path), psycopg.connect(postgres.app_url) as connection:
        for number in range(scaled(200, least=4)):
            append(connection)
            lags.append(until(lambda number=number: published(tmp_path / "log") > number, PATIENCE_S))  # type: ignore[misc]
    lags = sorted(lags[1:])  # the first one waits for the process
    p99 = lags[len(lags) * 99 // 100]

    note(
        "log: seconds from commit to checkpoint, median and 99th percentile",
        f"{statistics.median(lags):.2f}, {p99:.2f}",
    )
    if SCALE >= 1:  # beside other tests the machine decides
        assert p99 <= 2


@pytest.mark.timeout(600)
def test_rates(committed_db: None, postgres: Postgres, tmp_path: Path) -> None:
    """Figures only: what they are says the machine."""
    empty(postgres)
    began = time.monotonic()
    with writers(postgres, 4) as written:
        time.sleep(scaled(20))
    note(
        "log: entries appended each second, one transaction each, by 4 writers",
        f"{sum(written) / (time.monotonic() - began):.0f}",
    )
    make_entries(max(0, scaled(100_000) - sum(written)))
    connection = lead(postgres.sequencer_url)
    assert connection is not None
    with connection:
        sequencer = Sequencer(connection, FolderStore(tmp_path / "log"), SIGNER)
        began, moved = time.monotonic(), 0
        while step := sequencer.step():
            moved += step
        sequencer.publish()
        note("log: entries sequenced each second", f"{moved / (time.monotonic() - began):.0f}")
    began = time.monotonic()
    assert verify_log(FolderStore(tmp_path / "log"), [SIGNER.key]).is_fine
    note("log: entries verified each second", f"{moved / (time.monotonic() - began):.0f}")
    tiles = Tiles(moved, FolderStore(tmp_path / "log").read, FolderStore(tmp_path / "log").widths)
    began = time.monotonic()
    for index in range(0, moved, max(1, moved // 50)):
        make_proof(index, "", tiles)
    note("log: milliseconds for a proof", f"{(time.monotonic() - began) / 50 * 1000:.2f}")
    assert moved >= scaled(100_000)
