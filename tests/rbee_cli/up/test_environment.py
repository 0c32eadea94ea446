from pathlib import Path

import pytest

from rbee_cli.errors import UsageError
from rbee_cli.up.environment import hive_environment, queen_environment, sequencer_environment, setting
from rbee_cli.up.options import UpOptions


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith(("RBEE_", "AWS_"))]:
        monkeypatch.delenv(name)


def queens(**options: object) -> dict[str, str]:
    return queen_environment(
        UpOptions(Path("/data"), **options),  # type: ignore[arg-type]
        database_url="postgresql://rbee_app:p@127.0.0.1:5/rbee",
        redis_url="redis://default:p@127.0.0.1:6/0",
        secret_key_file=Path("/data/secrets/root"),
        key_file=Path("/data/secrets/keys"),
    )


def test_leftovers_of_a_shell_reach_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_DEBUG", "1")
    monkeypatch.setenv("RBEE_API_KEY", "rbee_live_x")
    monkeypatch.setenv("RBEE_DATABASE_OWNER_URL", "postgresql://owner:p@127.0.0.1:5/rbee")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert {"DJANGO_DEBUG", "RBEE_API_KEY", "RBEE_DATABASE_OWNER_URL"} & set(queens()) == set()
    assert hive_environment()["CUDA_VISIBLE_DEVICES"] == "1"
    assert [name for name in hive_environment() if name.startswith("RBEE_")] == []


def test_operators_settings_pass_and_the_command_line_goes_over_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_TASK_TIMEOUT_S", "60")
    monkeypatch.setenv("RBEE_PORT", "1")
    monkeypatch.setenv("RBEE_REDIS_URL_FILE", "/run/secrets/redis")
    environment = queens(port=8000, business=True)
    assert environment["RBEE_TASK_TIMEOUT_S"] == "60"
    assert (environment["RBEE_PORT"], environment["RBEE_MODE"]) == ("8000", "business")
    assert environment["RBEE_SECRET_KEY_FILE"] == "/data/secrets/root"
    assert "RBEE_REDIS_URL_FILE" not in environment


def test_keys_of_details_are_ours_unless_the_operator_names_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert queens()["RBEE_KEY_FILE"] == "/data/secrets/keys"
    monkeypatch.setenv("RBEE_KEY_FILE", "/etc/rbee/keys")
    assert queens()["RBEE_KEY_FILE"] == "/etc/rbee/keys"


def test_credentials_of_a_kms_reach_the_queen_where_one_is_named_and_never_a_hive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    assert "AWS_SECRET_ACCESS_KEY" not in queens()
    monkeypatch.setenv("RBEE_KMS_KEYS", "alias/rbee")
    assert queens()["AWS_SECRET_ACCESS_KEY"] == "x"
    assert "AWS_SECRET_ACCESS_KEY" not in hive_environment()


def test_own_secret_key_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_SECRET_KEY", "5e" * 32)
    assert "RBEE_SECRET_KEY_FILE" not in queens()


def test_call_from_this_machine_to_its_own_address_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_LAN_RANGES", "10.0.0.0/8")
    assert queens(host="192.168.1.10")["RBEE_LAN_RANGES"] == "10.0.0.0/8,192.168.1.10"
    assert queens(host="0.0.0.0")["RBEE_LAN_RANGES"] == "10.0.0.0/8"
    assert queens(host="192.168.1.10", business=True)["RBEE_LAN_RANGES"] == "10.0.0.0/8"


def test_setting_may_stand_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "url").write_text("redis://x\n")
    monkeypatch.setenv("RBEE_REDIS_URL_FILE", str(tmp_path / "url"))
    assert setting("RBEE_REDIS_URL") == "redis://x"
    monkeypatch.setenv("RBEE_REDIS_URL_FILE", str(tmp_path / "none"))
    with pytest.raises(UsageError, match="RBEE_REDIS_URL_FILE names"):
        setting("RBEE_REDIS_URL")


def test_sequencer_and_queen_do_not_share_their_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RBEE_AUDIT_KEY_FILE", "/run/secrets/audit-key")
    monkeypatch.setenv("RBEE_AUDIT_DATABASE_URL", "postgresql://rbee_sequencer:p@127.0.0.1:5/rbee")
    monkeypatch.setenv("RBEE_AUDIT_COPY", "s3://bucket/rbee")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    queen = queens()
    sequencer = sequencer_environment(
        queen,
        UpOptions(Path("/data")),
        database_url="postgresql://x",
        key_file=Path("/run/secrets/audit-key"),
    )

    assert {"RBEE_AUDIT_KEY_FILE", "RBEE_AUDIT_DATABASE_URL", "AWS_ACCESS_KEY_ID"} & set(queen) == set()
    assert {name: value for name, value in sequencer.items() if name.startswith(("RBEE_", "AWS_"))} == {
        "RBEE_DATA_DIR": "/data",
        "RBEE_AUDIT_DATABASE_URL": "postgresql://x",
        "RBEE_AUDIT_KEY_FILE": "/run/secrets/audit-key",
        "RBEE_AUDIT_COPY": "s3://bucket/rbee",
        "AWS_ACCESS_KEY_ID": "x",
    }
