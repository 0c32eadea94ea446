"""Keys that lie in a KMS, or behind a program: a whole log is written and verified by them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gdpr.log.note import KeyRefused, Signer, make_signer
from gdpr.log.signers import signer_at
from gdpr.log.store import FolderStore
from gdpr.log.verify import verify_log
from gdpr.log.writer import LogWriter, known_keys
from rbee_cli.up.postgres import Postgres
from tests.factories.audit import make_entries
from tests.gdpr.log.kms_server import KEY, KmsServer, running
from tests.gdpr.log.logs import ORIGIN, FastStore, make_entry, make_log
from tests.services import root_url

KEY_TEXT = make_signer(ORIGIN).secret_text()
PROGRAM = """#!{python}
import base64, os, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
assert not [name for name in os.environ if name.startswith("RBEE_")], "what is rbee's own"
key = Ed25519PrivateKey.from_private_bytes({seed!r})
what = sys.argv[-1]
raw = key.public_key().public_bytes_raw() if what == "key" else key.sign(sys.stdin.buffer.read())
print(base64.b64encode(raw).decode())
"""


@pytest.fixture
def kms(monkeypatch: pytest.MonkeyPatch) -> Iterator[KmsServer]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with running() as server:
        yield server


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "hsm"
    seed = Ed25519PrivateKey.generate().private_bytes_raw()
    path.write_text(PROGRAM.format(python=sys.executable, seed=seed))
    path.chmod(0o700)
    return path


@pytest.fixture(params=["kms", "command"])
def signer(
    request: pytest.FixtureRequest, kms: KmsServer, program: Path, monkeypatch: pytest.MonkeyPatch
) -> Signer:
    monkeypatch.setenv("RBEE_PROBE", "a secret of rbee's")
    return signer_at(f"kms:{KEY}" if request.param == "kms" else f"command:{program} slot1", ORIGIN, kms.url)


def test_log_is_signed_by_a_key_that_is_elsewhere(signer: Signer, tmp_path: Path) -> None:
    store = FastStore(tmp_path / "log")
    writer = LogWriter(store, signer)
    for size in (1, 300):
        writer.add(make_entry(number) for number in range(size))
        writer.publish(keep=True)

    report = verify_log(store, [signer.key])
    assert (report.problems, report.size, report.origin) == ([], 301, ORIGIN)
    assert LogWriter(store, signer).size == 301


def test_log_goes_on_under_another_key(signer: Signer, tmp_path: Path) -> None:
    make_log(tmp_path / "log", 10)
    store = FastStore(tmp_path / "log")
    writer = LogWriter(store, signer)
    writer.add([make_entry()])
    writer.publish()

    keys = known_keys(store)
    assert keys[1:] == [signer.key]
    assert verify_log(store, keys).is_fine


def test_checkpoint_that_could_not_be_signed_is_published_later(kms: KmsServer, tmp_path: Path) -> None:
    store = FastStore(tmp_path)
    writer = LogWriter(store, signer_at(f"kms:{KEY}", ORIGIN, kms.url))
    writer.add([make_entry()])
    kms.refuses = "ThrottlingException"
    with pytest.raises(OSError, match="the KMS refused: ThrottlingException"):
        writer.publish()
    assert (writer.published.size, store.read("checkpoint")) == (0, None)

    kms.refuses = ""
    assert writer.publish().size == 1
    assert verify_log(store, known_keys(store)).is_fine


def test_another_key_than_it_says_publishes_nothing(kms: KmsServer, tmp_path: Path) -> None:
    store = FastStore(tmp_path)
    writer = LogWriter(store, signer_at(f"kms:{KEY}", ORIGIN, kms.url))
    writer.add([make_entry()])
    kms.signs_by = Ed25519PrivateKey.generate()

    with pytest.raises(OSError, match="signs by another one than it says"):
        writer.publish()
    assert store.read("checkpoint") is None


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("file:/etc/key", "is no place of a signing key"),
        ("kms:", "names no key of the KMS"),
        ("command:", "names no program"),
        ("command:'x", "makes no sense"),
        ("command:/none/such", "/none/such cannot be run: No such file or directory"),
        ("command:/bin/echo", "/bin/echo key prints no 32 bytes in base64"),
    ],
)
def test_what_is_no_signer_is_refused(kms: KmsServer, where: str, says: str) -> None:
    with pytest.raises(KeyRefused, match=says):
        _ = signer_at(where, ORIGIN, kms.url).key


def test_key_of_another_curve_is_refused(kms: KmsServer) -> None:
    kms.is_nist = True

    with pytest.raises(KeyRefused, match="no Ed25519 key: make one with the key spec ECC_NIST_EDWARDS25519"):
        _ = signer_at(f"kms:{KEY}", ORIGIN, kms.url).key


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("kms:another", "the KMS refused: NotFoundException"),
        ("command:/bin/false", "/bin/false key ended with 1"),
    ],
)
def test_signer_that_is_away_is_waited_for(kms: KmsServer, where: str, says: str) -> None:
    with pytest.raises(OSError, match=says):
        _ = signer_at(where, ORIGIN, kms.url).key


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rbee_cli", "audit", "signer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_operator_asks_whether_it_signs(kms: KmsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_KMS_ENDPOINT", kms.url)
    monkeypatch.setenv("RBEE_AUDIT_ORIGIN", ORIGIN)

    done = run_cli(f"kms:{KEY}")
    assert (done.returncode, done.stdout.strip()) == (0, str(signer_at(f"kms:{KEY}", ORIGIN, kms.url).key))

    kms.refuses = "AccessDeniedException"
    done = run_cli(f"kms:{KEY}")
    assert (done.returncode, done.stderr) == (1, "rbee: the KMS refused: AccessDeniedException\n")
    assert run_cli("pkcs11:x").returncode == 2


def sequencer(**settings: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RBEE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "rbee.sequencer"],
        env=environment | settings,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_sequencer_signs_by_the_kms(
    kms: KmsServer, postgres: Postgres, committed_db: None, tmp_path: Path
) -> None:
    import psycopg

    with psycopg.connect(root_url(postgres)) as root:
        root.execute("SET session_replication_role = replica")
        root.execute("TRUNCATE gdpr_auditentry, gdpr_auditsequence")
    make_entries(20)
    process = sequencer(
        RBEE_AUDIT_SIGNER=f"kms:{KEY}", RBEE_AUDIT_ORIGIN=ORIGIN, RBEE_KMS_ENDPOINT=kms.url,
        RBEE_AUDIT_DATABASE_URL=postgres.sequencer_url, RBEE_AUDIT_DIR=str(tmp_path / "log"),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "log/checkpoint").exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.1)
    finally:
        process.terminate()
        process.communicate(timeout=30)

    report = verify_log(FolderStore(tmp_path / "log"), [signer_at(f"kms:{KEY}", ORIGIN, kms.url).key])
    assert (report.problems, report.size) == ([], 20)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "RBEE_AUDIT_KEY is not set"),
        ({"RBEE_AUDIT_SIGNER": "kms:x"}, "RBEE_AUDIT_ORIGIN is not set"),
        ({"RBEE_AUDIT_SIGNER": "hsm"}, "RBEE_AUDIT_SIGNER takes where the signing key is"),
        ({"RBEE_AUDIT_SIGNER": "kms:x", "RBEE_AUDIT_ORIGIN": "a b"}, "'a b' is no name of a key"),
        ({"RBEE_AUDIT_SIGNER": "command:/none", "RBEE_AUDIT_ORIGIN": "x"}, "/none cannot be run"),
        ({"RBEE_AUDIT_KEY": KEY_TEXT, "RBEE_AUDIT_SIGNER": "kms:x"}, "are both set; keep one"),
        ({"RBEE_AUDIT_KEY": KEY_TEXT, "RBEE_AUDIT_WITNESS": "http://w"}, "RBEE_AUDIT_WITNESS_KEY is not set"),
        (
            {"RBEE_AUDIT_KEY": KEY_TEXT, "RBEE_AUDIT_WITNESS": "http://w", "RBEE_AUDIT_WITNESS_KEY": "x"},
            "'x' is no key to verify by",
        ),
    ],
)
def test_sequencer_says_in_one_line_what_is_wrong(settings: dict[str, str], says: str) -> None:
    process = sequencer(RBEE_AUDIT_DATABASE_URL="postgresql://u:p@127.0.0.1:1/x", **settings)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 2
    assert says in said
    assert said.count("\n") == 1
