from pathlib import Path

import pytest

from rbee_cli.config import DEFAULT_QUEEN_URL, Config, read_config, write_config
from rbee_cli.errors import UsageError


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "folder" / "config.toml"
    monkeypatch.setenv("RBEE_CONFIG_PATH", str(path))
    return path


def test_config_is_read_as_it_was_written(path: Path) -> None:
    config = Config("https://rbee.example.com", 'manage"\\key', "infer")
    assert write_config(config) == path
    assert read_config() == config
    assert path.stat().st_mode & 0o777 == 0o600


def test_no_config_is_an_empty_one() -> None:
    assert read_config() == Config()


def test_keys_go_to_their_queen_only() -> None:
    config = Config("https://rbee.example.com", "m", "i")
    assert config.key_for("management", "https://rbee.example.com") == "m"
    assert config.key_for("inference", "https://rbee.example.com") == "i"
    assert config.key_for("management", DEFAULT_QUEEN_URL) == ""


def test_config_that_makes_no_sense_names_its_file(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("queen_url = ")
    with pytest.raises(UsageError, match=str(path)):
        read_config()
