"""Against a witness that checks what it is asked to sign, over HTTP."""

import base64
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gdpr.log import sequencer, witness
from gdpr.log.checkpoint import open_checkpoint
from gdpr.log.copies import copy_log
from gdpr.log.note import KeyRefused, NoteRefused, make_signer
from gdpr.log.store import FolderStore
from gdpr.log.tiles import Tiles
from gdpr.log.verify import Report, verify_log
from gdpr.log.witness import (
    Witness,
    WitnessKey,
    WitnessRefused,
    cosigned_at,
    read_witness_key,
)
from gdpr.log.writer import LogWriter
from rbee_cli.up.postgres import Postgres
from tests.factories.audit import make_entries
from tests.gdpr.log.logs import ORIGIN, FastStore, make_entry, make_log
from tests.gdpr.log.witness_server import WitnessServer, witnessing

SIGNER = make_signer(ORIGIN)


@pytest.fixture
def server() -> Iterator[WitnessServer]:
    with witnessing(SIGNER.key) as found:
        yield found


@pytest.fixture
def writer(tmp_path: Path) -> LogWriter:
    return make_log(tmp_path / "log", 600, signer=SIGNER)


def ask(found: Witness, writer: LogWriter) -> str:
    store = writer.store
    note = (store.read("checkpoint") or b"").decode()
    return found.cosign(
        note, open_checkpoint(note, [SIGNER.key]), Tiles(writer.size, store.read, store.widths)
    )


def grow(writer: LogWriter, count: int = 1) -> None:
    writer.add(make_entry(number) for number in range(count))
    writer.publish()


def verify(store: FolderStore, key: WitnessKey) -> Report:
    return verify_log(store, [SIGNER.key], witness=key)


def findings(store: FolderStore, key: WitnessKey) -> list[str]:
    return [str(each) for each in verify(store, key).problems]


def test_example_of_the_specification_is_read() -> None:
    """From c2sp.org/tlog-cosignature; its key is not told there, so it is another one that is asked for."""
    note = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
        "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
        "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
    )
    assert cosigned_at(note, WitnessKey("witness.example.com/w1", bytes(32))) is None


def test_witness_follows_the_log(server: WitnessServer, writer: LogWriter) -> None:
    found = Witness(server.url, server.key)
    for count in (1, 300, 5):
        grow(writer, count)
        note = ask(found, writer)
        assert abs((cosigned_at(note, server.key) or 0) - time.time()) < 60
        assert "witness.example/other" not in note
        assert (server.newest.size, server.newest.root) == (writer.size, writer.root())
    asked = server.asked

    grow(writer, 2)
    ask(Witness(server.url, server.key), writer)  # of a process that knows nothing of the ones before
    assert server.asked == asked + 2
    ask(Witness(server.url, server.key), writer)  # and of one that died before it wrote it down
    assert server.newest.size == writer.size


def test_another_history_is_not_witnessed(server: WitnessServer, writer: LogWriter, tmp_path: Path) -> None:
    found = Witness(server.url, server.key)
    ask(found, writer)

    with pytest.raises(WitnessRefused, match="another log of this name: it answers 422"):
        ask(found, make_log(tmp_path / "forked", 700, signer=SIGNER))
    with pytest.raises(WitnessRefused, match="has seen another log of this name: it answers 409"):
        ask(Witness(server.url, server.key), make_log(tmp_path / "same", 600, signer=SIGNER))
    with pytest.raises(WitnessRefused, match="has seen 600 entries, and the log has 50: it was rolled back"):
        ask(Witness(server.url, server.key), make_log(tmp_path / "older", 50, signer=SIGNER))


@pytest.mark.parametrize("status", [302, 403, 404, 500])
def test_witness_that_is_not_willing_is_asked_later(
    server: WitnessServer, writer: LogWriter, status: int
) -> None:
    server.answers = status

    with pytest.raises(OSError, match=f"witness.example/w1 answers {status}"):
        ask(Witness(server.url, server.key), writer)


def test_signature_of_another_is_not_taken(server: WitnessServer, writer: LogWriter) -> None:
    server.signs_by = make_signer("x")._private

    with pytest.raises(
        OSError, match=r"no cosignature of its own: the cosignature of witness\.example/w1 is wrong"
    ):
        ask(Witness(server.url, server.key), writer)
    stranger = WitnessKey("somebody.example", server.key.public)
    with pytest.raises(OSError, match="no cosignature of its own: by another key"):
        ask(Witness(server.url, stranger), writer)
    with pytest.raises(OSError, match="does not answer: ConnectError"):
        ask(Witness("http://127.0.0.1:1", server.key), writer)


def test_verifier_asks_for_the_witness(server: WitnessServer, writer: LogWriter) -> None:
    store = writer.store
    assert isinstance(store, FastStore)
    assert findings(store, server.key) == ["witnessed: no checkpoint is signed by witness.example/w1"]
    note = ask(Witness(server.url, server.key), writer)
    store.replace("witnessed", note.encode())
    grow(writer, 7)

    report = verify(store, server.key)
    assert (report.problems, report.size, report.witnessed) == ([], 607, 600)
    assert abs(report.witnessed_at - time.time()) < 60
    other = WitnessKey("witness.example/w1", make_signer("x").key.public)
    assert findings(store, other) == ["witnessed: no checkpoint is signed by witness.example/w1"]

    line = note.splitlines()[-1]
    raw = bytearray(base64.b64decode(line.rpartition(" ")[2]))
    for at in (6, 30):  # the time, and the signature
        raw[at] ^= 1
        changed = note.replace(line, f"{line.rpartition(' ')[0]} {base64.b64encode(raw).decode()}")
        store.replace("witnessed", changed.encode())
        assert "witnessed: the cosignature of witness.example/w1 is wrong" in findings(store, server.key)


def test_witnessed_checkpoint_of_another_history_is_found_without_asking(
    server: WitnessServer, writer: LogWriter, tmp_path: Path
) -> None:
    other = make_log(tmp_path / "other", 700, signer=SIGNER)
    FastStore(tmp_path / "other").replace("witnessed", ask(Witness(server.url, server.key), writer).encode())

    problems = verify_log(other.store, [SIGNER.key]).problems
    assert [str(each) for each in problems] == [
        "witnessed: the first 600 entries are not those that it was signed for"
    ]


def test_second_place_gets_what_was_witnessed(
    server: WitnessServer, writer: LogWriter, tmp_path: Path
) -> None:
    second = FastStore(tmp_path / "second")
    copy_log(writer.store, second, [SIGNER.key])
    note = ask(Witness(server.url, server.key), writer).encode()
    for name in ("witnessed", "checkpoint"):
        writer.store.replace(name, note)

    assert copy_log(writer.store, second, [SIGNER.key]) == 0

    assert second.read("checkpoint") == second.read("witnessed") == note
    assert findings(second, server.key) == []


def test_key_of_a_witness_is_written_and_read(server: WitnessServer) -> None:
    assert read_witness_key(str(server.key)) == server.key
    wrong = str(server.key).replace("+", "+00000000+", 1).replace(f"+{server.key.id.hex()}", "", 1)
    for text in ("", "x", str(SIGNER.key), wrong):
        with pytest.raises(KeyRefused):
            read_witness_key(text)
    with pytest.raises(NoteRefused):
        cosigned_at("no note", server.key)


@pytest.fixture
def clean(committed_db: None, postgres: Postgres) -> None:
    import psycopg

    from tests.services import root_url

    with psycopg.connect(root_url(postgres)) as root:
        root.execute("SET session_replication_role = replica")
        root.execute("TRUNCATE gdpr_auditentry, gdpr_auditsequence")


def wait_for(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sequencer_publishes_what_was_witnessed(
    server: WitnessServer, clean: None, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A witness that is away holds nobody up; once it is back it signs all that came since."""
    for name in ("ASK_EVERY_S", "RETRY_S"):
        monkeypatch.setattr(witness, name, 0.2)
    server.answers = 500
    store, over = FolderStore(tmp_path / "log"), threading.Event()
    make_entries(20)
    thread = threading.Thread(
        target=lambda: sequencer.run(
            postgres.sequencer_url, store, SIGNER, copy=None, witness=Witness(server.url, server.key),
            is_over=over.is_set, sleep=over.wait,
        )
    )  # fmt: skip
    thread.start()
    try:
        wait_for(lambda: store.read("checkpoint") is not None and server.asked > 2)
        assert store.read("witnessed") is None
        server.answers = 0
        wait_for(lambda: store.read("witnessed") is not None)
        make_entries(3)
        wait_for(
            lambda: (
                cosigned_at(store.read("checkpoint") or b"", server.key) is not None
                and server.newest.size == 23
            )
        )
    finally:
        over.set()
        thread.join(20)

    report = verify(store, server.key)
    assert (report.problems, report.size, report.witnessed) == ([], 23, 23)
    assert store.read("checkpoint") == store.read("witnessed")
    assert LogWriter(store, SIGNER).size == 23
