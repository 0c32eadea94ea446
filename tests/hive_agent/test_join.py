import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hive_agent.credentials import load_credentials, load_signing_key, public_key_of, resolve_redis_url
from hive_agent.errors import JoinFailed, NotJoined, QueenUnreachable
from hive_agent.folder import Folder
from hive_agent.join import is_joined, join
from hive_agent.protocol import RedisAccess
from tests.hive_agent.hive import environment
from tests.hive_agent.queen import CREDENTIAL, HIVE, TOKEN, Queen
from tests.hive_agent.redis_server import RedisServer, free_port


@pytest.fixture
def queen(shared_redis: RedisServer) -> Iterator[Queen]:
    queen = Queen(shared_redis)
    queen.start()
    yield queen
    queen.stop()


def test_join_keeps_what_the_queen_gave(queen: Queen, tmp_path: Path) -> None:
    assert not is_joined(tmp_path / "hive")
    join(queen.url, TOKEN, tmp_path / "hive", "attic")
    folder = Folder(tmp_path / "hive")
    credentials = load_credentials(folder)

    assert is_joined(tmp_path / "hive")
    assert (credentials.hive, credentials.name, credentials.credential) == (HIVE, "attic", CREDENTIAL)
    assert public_key_of(load_signing_key(folder)) != ""
    assert queen.public_key is not None
    assert queen.public_key.public_bytes_raw() == load_signing_key(folder).public_key().public_bytes_raw()
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.path.iterdir()} == {
        "hive.json": 0o600,
        "hive.key": 0o600,
        "log": 0o700,
    }


def test_used_token_is_refused_in_the_queens_words(queen: Queen, tmp_path: Path) -> None:
    with pytest.raises(JoinFailed, match="this token is used up, expired or unknown"):
        join(queen.url, "used", tmp_path / "hive", "attic")
    assert not is_joined(tmp_path / "hive")


def test_absent_queen_is_named(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    with pytest.raises(QueenUnreachable, match=f"no queen answers at {url}"):
        join(url, TOKEN, tmp_path / "hive", "attic")


@pytest.mark.parametrize("url", ["", "ftp://queen", "http://"])
def test_nonsense_address_is_explained(tmp_path: Path, url: str) -> None:
    with pytest.raises(JoinFailed, match="is not the address of a queen"):
        join(url, TOKEN, tmp_path / "hive", "attic")


def test_folder_of_another_hive_is_not_overwritten(queen: Queen, tmp_path: Path) -> None:
    join(queen.url, TOKEN, tmp_path / "hive", "attic")

    with pytest.raises(JoinFailed, match="belongs to a hive already"):
        join(queen.url, TOKEN, tmp_path / "hive", "cellar")
    assert join(queen.url, TOKEN, tmp_path / "hive", "cellar", replace=True).name == "cellar"


def test_folder_that_never_joined_is_explained(tmp_path: Path) -> None:
    with pytest.raises(NotJoined, match="run `rbee hive join URL --token TOKEN` first"):
        load_credentials(Folder(tmp_path))


@pytest.mark.parametrize("command", ["run", "status"])
def test_command_line_prints_one_line_and_no_traceback(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hive_agent", command, "--dir", str(tmp_path)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"error: {tmp_path} is not the folder of a hive: run `rbee hive join URL --token TOKEN` first"
    ]


@pytest.mark.parametrize(
    ("url", "queen_url", "resolved"),
    [
        ("redis://queen:7379/0", "http://10.0.0.5:7833", "redis://u:p%2Fw@10.0.0.5:7379/0"),
        ("redis://queen:7379/0", "https://rbee.example", "redis://u:p%2Fw@rbee.example:7379/0"),
        ("rediss://cache.example:6380/2", "http://10.0.0.5:7833", "rediss://u:p%2Fw@cache.example:6380/2"),
        ("redis://queen:7379/0", "http://[::1]:7833", "redis://u:p%2Fw@[::1]:7379/0"),
    ],
)
def test_redis_is_where_the_queen_is(url: str, queen_url: str, resolved: str) -> None:
    access = RedisAccess(url=url, username="u", password="p/w", prefix="h:")

    assert resolve_redis_url(access, queen_url) == resolved


def test_join_request_is_what_the_protocol_says(queen: Queen, tmp_path: Path) -> None:
    join(queen.url, TOKEN, tmp_path / "hive")
    stored = json.loads((tmp_path / "hive" / "hive.json").read_text())

    assert sorted(stored) == ["credential", "hive", "name", "queen_url", "redis"]
    assert stored["name"] != ""
