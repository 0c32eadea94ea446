from pathlib import Path

import pytest
from rich.console import Console

from rbee_cli.up.folders import Folders
from rbee_cli.up.options import UpOptions
from rbee_cli.up.screen import Screen
from rbee_cli.up.welcome import welcome


@pytest.fixture(autouse=True)
def _no_public_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RBEE_PUBLIC_URL", raising=False)


@pytest.mark.parametrize(
    ("host", "local_url", "is_loopback"),
    [
        ("127.0.0.1", "http://127.0.0.1:7833", True),
        ("localhost", "http://127.0.0.1:7833", True),
        ("0.0.0.0", "http://127.0.0.1:7833", False),
        ("::", "http://[::1]:7833", False),
        ("::1", "http://[::1]:7833", True),
        ("192.168.1.10", "http://192.168.1.10:7833", False),
    ],
)
def test_this_machine_reaches_its_queen(host: str, local_url: str, is_loopback: bool) -> None:
    options = UpOptions(Path("/data"), host=host)
    assert (options.local_url, options.is_loopback) == (local_url, is_loopback)


def test_others_are_told_an_address_that_leads_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert UpOptions(Path("/data")).public_url == "http://127.0.0.1:7833"
    assert "0.0.0.0" not in UpOptions(Path("/data"), host="0.0.0.0").public_url
    monkeypatch.setenv("RBEE_PUBLIC_URL", "https://api.example.com/")
    assert UpOptions(Path("/data"), host="0.0.0.0").public_url == "https://api.example.com"


def test_certificate_names_the_host_that_is_called() -> None:
    options = UpOptions(Path("/data"), host="0.0.0.0", tls_cert=Path("cert.pem"), tls_name="api.example.com")
    assert options.local_url == options.public_url == "https://api.example.com:7833"


def test_operator_is_told_of_keys_in_clear(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    for options, told in [
        (UpOptions(tmp_path, business=True), False),
        (UpOptions(tmp_path, business=True, host="0.0.0.0"), True),
    ]:
        welcome(Screen(Console(width=200)), options, folders, 1.0, None)
        assert ("unencrypted" in capsys.readouterr().out) is told
