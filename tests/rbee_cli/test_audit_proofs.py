"""The log of a running colony, as a customer, an auditor and its operator check it."""

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.rbee_cli.conftest import SecureSystem


@pytest.fixture(scope="module")
def customer(secure: SecureSystem) -> tuple[str, str]:
    """A key, and an entry of theirs that is in a checkpoint."""
    secure.run("tenant", "create", "proved")
    key = secure.run("key", "create", "--tenant", "proved", "--scope", "manage").stdout.strip()
    entry = json.loads(secure.run_as(key, "audit", "search", "--json").stdout)[0]["id"]
    wait_published(secure, key, entry)
    return key, entry


def wait_published(secure: SecureSystem, key: str, entry: str) -> None:
    deadline = time.monotonic() + 30
    while (done := secure.run_as(key, "audit", "proof", entry, check=False)).returncode:
        assert time.monotonic() < deadline, done.stderr


def test_customer_keeps_key_and_checkpoint_and_proves_an_entry(
    secure: SecureSystem, customer: tuple[str, str], tmp_path: Path
) -> None:
    key, entry = customer
    public, kept, proof = (str(tmp_path / name) for name in ("audit.key", "kept.txt", "entry.tlog-proof"))
    secure.run_as(key, "audit", "key", "--out", public)
    for _ in range(2):
        said = secure.run_as(key, "audit", "checkpoint", "--keep", kept, "--key", public).stdout
        assert said.rstrip("\n") == Path(kept).read_text().rstrip("\n")
        secure.run("tenant", "update", "proved", "--region", "EU")
    secure.run_as(key, "audit", "proof", entry, "--out", proof)

    said = secure.run_as("", "audit", "proof", "--check", proof, "--key", public, "--json").stdout
    assert json.loads(json.loads(said)["entry"])["id"] == entry

    text = Path(proof).read_text()
    Path(proof).write_text(re.sub(r"index (\d+)", lambda found: f"index {int(found[1]) + 1}", text))
    refused = secure.run_as("", "audit", "proof", "--check", proof, "--key", public, check=False)
    assert (refused.returncode, refused.stderr[:29]) == (1, "rbee: the proof is refused: i")


def test_entry_of_another_is_absent(secure: SecureSystem, customer: tuple[str, str]) -> None:
    own = {row["id"] for row in json.loads(secure.run_as(customer[0], "audit", "search", "--json").stdout)}
    foreign = next(row["id"] for row in secure.run_json("audit", "search") if row["id"] not in own)  # type: ignore[attr-defined]

    done = secure.run_as(customer[0], "audit", "proof", foreign, check=False)

    assert (done.returncode, done.stderr) == (5, "rbee: There is no such entry.\n")


def test_checkpoint_of_another_log_is_not_taken_over(
    secure: SecureSystem, customer: tuple[str, str], tmp_path: Path
) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("another log\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n\u2014 x AAAAAAAA\n")

    done = secure.run("audit", "checkpoint", "--keep", str(kept), check=False)

    assert done.returncode == 1
    assert done.stderr.startswith(f"rbee: {kept} is refused: not signed by")
    assert kept.read_text().startswith("another log")


def test_auditor_verifies_the_files_and_the_database(
    secure: SecureSystem, customer: tuple[str, str], tmp_path: Path
) -> None:
    log, public, kept = secure.data_dir / "audit", str(tmp_path / "audit.key"), str(tmp_path / "kept.txt")
    secure.run("audit", "key", "--out", public)
    secure.run("audit", "checkpoint", "--keep", kept)

    fine = secure.run("audit", "verify", str(log), "--key", public, "--checkpoint", kept, "--database")
    assert fine.stdout.startswith("fine: ")
    assert json.loads(secure.run("audit", "verify", str(log), "--json").stdout)["ok"] is True

    copy = tmp_path / "copy"
    shutil.copytree(log, copy)
    path = next(path for path in (copy / "tile/entries").rglob("*") if path.is_file())
    path.write_bytes(path.read_bytes().replace(b"tenant.created", b"tenant.creaTed"))
    wrong = secure.run("audit", "verify", str(copy), "--key", public, check=False)
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("rbee: entry ")
    assert "its bytes are not those of its leaf in tile/0/000" in wrong.stderr.splitlines()[0]
    found = secure.run("audit", "verify", str(copy), "--key", public, "--json", check=False)
    assert (found.returncode, json.loads(found.stdout)["ok"]) == (1, False)


def test_queen_is_not_given_what_the_sequencer_has(secure: SecureSystem) -> None:
    queen, sequencer = (
        secure.children("rbee.asgi")[0].environ(),
        secure.children("rbee.sequencer")[0].environ(),
    )

    assert not {"RBEE_AUDIT_KEY_FILE", "RBEE_AUDIT_DATABASE_URL"} & queen.keys()
    assert not {"RBEE_DATABASE_URL", "RBEE_SECRET_KEY_FILE", "RBEE_REDIS_URL"} & sequencer.keys()
    key = Path(sequencer["RBEE_AUDIT_KEY_FILE"])
    assert key.stat().st_mode & 0o777 == 0o600
    assert not any(b"PRIVATE+KEY" in path.read_bytes() for path in (secure.data_dir / "logs").iterdir())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["audit", "verify", "/none"], "/none is no folder"),
        (["audit", "proof"], "name an entry, or a file by --check"),
        (["audit", "proof", "--check", "/none"], "needs the key"),
        (["audit", "proof", "--check", "/none", "--key", "x"], "'x' is neither a key"),
        (["audit", "proof", "no-id"], "entry"),
        (["audit", "keygen", "two words", "--out", "/none"], "is no name of a key"),
    ],
)
def test_wrong_usage_is_one_line(secure: SecureSystem, arguments: list[str], says: str) -> None:
    done = secure.run(*arguments, check=False)

    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_key_is_made_once(secure: SecureSystem, tmp_path: Path) -> None:
    file = tmp_path / "audit-key"
    public = secure.run("audit", "keygen", "rbee.example/audit", "--out", str(file)).stdout.strip()

    assert public.startswith("rbee.example/audit+")
    assert file.stat().st_mode & 0o777 == 0o600
    again = secure.run("audit", "keygen", "rbee.example/audit", "--out", str(file), check=False)
    assert (again.returncode, "no key is written over" in again.stderr) == (1, True)
