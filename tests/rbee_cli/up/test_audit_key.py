from pathlib import Path

import pytest

from gdpr.log.note import read_signer
from rbee_cli.errors import UpFailed
from rbee_cli.up import audit_key
from rbee_cli.up.environment import sequencer_environment
from rbee_cli.up.folders import make_folders
from rbee_cli.up.options import UpOptions


def test_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    folders, options = make_folders(tmp_path, None), UpOptions(tmp_path)
    path = audit_key.ensure(folders, options)
    assert path is not None
    key = path.read_text()

    assert path.stat().st_mode & 0o777 == 0o600
    assert read_signer(key).key.name.endswith("/audit")
    assert audit_key.ensure(folders, options) == path
    assert path.read_text() == key


@pytest.mark.parametrize(
    ("url", "name"),
    [("https://rbee.example.org", "rbee.example.org/audit"), ("http://192.168.1.7:7833", "rbee-")],
)
def test_name_is_of_a_host_that_is_known_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, name: str
) -> None:
    monkeypatch.setenv("RBEE_PUBLIC_URL", url)

    path = audit_key.ensure(make_folders(tmp_path, None), UpOptions(tmp_path))

    assert path is not None
    assert read_signer(path.read_text()).key.name.startswith(name)


def test_lost_key_of_a_log_is_not_silently_another_one(tmp_path: Path) -> None:
    folders = make_folders(tmp_path, None)
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit/checkpoint").write_text("signed")

    with pytest.raises(UpFailed, match="put it back from a backup"):
        audit_key.ensure(folders, UpOptions(tmp_path))
    assert list(folders.secrets.iterdir()) == []


def test_key_that_the_operator_has_elsewhere_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_text("a key")
    monkeypatch.setenv("RBEE_AUDIT_KEY_FILE", str(tmp_path / "mine"))

    assert audit_key.ensure(make_folders(tmp_path, None), UpOptions(tmp_path)) == tmp_path / "mine"


@pytest.mark.parametrize("name", ["RBEE_AUDIT_KEY", "RBEE_AUDIT_SIGNER"])
def test_no_key_is_made_where_the_operator_names_who_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folders = make_folders(tmp_path, None)
    monkeypatch.setenv(name, "kms:alias/rbee-audit")
    monkeypatch.setenv("RBEE_AUDIT_ORIGIN", "rbee.example.org/audit")

    assert audit_key.ensure(folders, UpOptions(tmp_path)) is None

    assert list(folders.secrets.iterdir()) == []
    sequencer = sequencer_environment(
        {"RBEE_LOG_LEVEL": "info"}, UpOptions(tmp_path), database_url="postgresql://", key_file=None
    )
    assert sequencer[name] == "kms:alias/rbee-audit"
    assert sequencer["RBEE_AUDIT_ORIGIN"] == "rbee.example.org/audit"
    assert "RBEE_AUDIT_KEY_FILE" not in sequencer
