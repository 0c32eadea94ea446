"""Each place of keys does the same: one file, one KMS, and what is derived from the root secrets."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from gdpr.domain.keyring import Keyring, make_first_keys
from gdpr.keys.base import KeyEncryption, KeysUnavailable, NotRotatable, Wrapped, WrongKey
from gdpr.keys.file import FileKeys, make_key, write_keys
from gdpr.keys.kms import KmsKeys
from gdpr.keys.root import RootKeys

DATA_KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    write_keys(path, [make_key()])
    return path


@pytest.fixture(scope="module")
def kms_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("AWS_ACCESS_KEY_ID", "x"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
        ("AWS_DEFAULT_REGION", "eu-west-1"),
    ):
        monkeypatch.setenv(name, value)


def kms_key(kms_url: str) -> str:
    from botocore.session import get_session

    client = get_session().create_client("kms", region_name="eu-west-1", endpoint_url=kms_url)
    return str(client.create_key()["KeyMetadata"]["Arn"])


@pytest.fixture(params=["file", "kms", "root"])
def place(request: pytest.FixtureRequest, path: Path, kms_url: str, aws: None) -> KeyEncryption:
    if request.param == "kms":
        return KmsKeys([kms_key(kms_url)], kms_url)
    return FileKeys(path) if request.param == "file" else RootKeys()


def test_what_is_wrapped_opens_for_its_purpose_only(place: KeyEncryption) -> None:
    wrapped = place.wrap(DATA_KEY, b"anna")
    assert wrapped.key_id == place.newest()
    assert wrapped.key_id.startswith(f"{place.place}:")
    assert DATA_KEY not in wrapped.blob
    assert place.unwrap(wrapped, b"anna") == DATA_KEY
    with pytest.raises(WrongKey):
        place.unwrap(wrapped, b"bert")
    assert [info.key_id for info in place.list_keys() if info.is_newest] == [wrapped.key_id]


@pytest.mark.parametrize("where", [0, 40, -1])
def test_what_was_altered_does_not_open(place: KeyEncryption, where: int) -> None:
    wrapped = place.wrap(DATA_KEY, b"anna")
    blob = bytearray(wrapped.blob)
    blob[where] ^= 1
    with pytest.raises((WrongKey, KeysUnavailable)):
        place.unwrap(Wrapped(wrapped.key_id, bytes(blob)), b"anna")


@given(blob=st.binary(max_size=80))
def test_no_bytes_of_anybody_open(blob: bytes) -> None:
    with pytest.raises(WrongKey):
        RootKeys().unwrap(Wrapped(RootKeys().newest(), blob), b"anna")


def test_a_file_rotates_and_the_one_of_before_opens_until_it_is_retired(path: Path) -> None:
    keys, another_process = FileKeys(path), FileKeys(path)
    wrapped = keys.wrap(DATA_KEY, b"p")
    made = keys.rotate()
    assert another_process.newest() == made != wrapped.key_id
    assert another_process.unwrap(wrapped, b"p") == DATA_KEY
    with pytest.raises(NotRotatable, match="rotate first"):
        keys.retire(made)
    keys.retire(wrapped.key_id)
    with pytest.raises(KeysUnavailable, match="put it back"):
        another_process.unwrap(wrapped, b"p")
    with pytest.raises(NotRotatable, match="no key"):
        keys.retire(wrapped.key_id)


def test_many_that_rotate_at_once_lose_no_key(path: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(FileKeys(path).rotate())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {info.key_id for info in FileKeys(path).list_keys()} >= set(made)
    assert len(set(made)) == 8
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_others_can_read_is_refused(path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(KeysUnavailable, match="chmod 600"):
        FileKeys(path).newest()


@pytest.mark.parametrize(
    "text", ["", "{}", '{"keys": []}', '{"keys": [{"id": "file:x", "key": "AA==", "made_at": ""}]}']
)
def test_a_file_that_is_none_of_keys_says_so(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(KeysUnavailable, match="no file of keys"):
        FileKeys(path).newest()


def test_a_kms_that_is_away_is_no_wrong_key(kms_url: str, aws: None) -> None:
    away = KmsKeys(["arn:aws:kms:eu-west-1:1:key/x"], "http://127.0.0.1:9")
    with pytest.raises(KeysUnavailable, match="does not answer"):
        away.wrap(DATA_KEY, b"p")
    with pytest.raises(KeysUnavailable, match="NotFound"):
        KmsKeys(["arn:aws:kms:eu-west-1:123456789012:key/x"], kms_url).wrap(DATA_KEY, b"p")


def test_a_colony_moves_from_a_file_to_a_kms(path: Path, kms_url: str, aws: None) -> None:
    file, kms = FileKeys(path), KmsKeys([kms_key(kms_url)], kms_url)
    wrapped = Keyring((file, RootKeys())).wrap(DATA_KEY, b"p")
    moved = Keyring((kms, file, RootKeys()))
    assert moved.newest().startswith("kms:")
    assert moved.unwrap(wrapped, b"p") == DATA_KEY
    assert [info.is_newest for info in moved.list_keys()] == [True, False, False]
    with pytest.raises(KeysUnavailable, match="do not name"):
        Keyring((file, RootKeys())).unwrap(moved.wrap(DATA_KEY, b"p"), b"p")


def test_another_key_of_the_kms_that_is_put_first_wraps_and_the_other_still_opens(
    kms_url: str, aws: None
) -> None:
    first, second = kms_key(kms_url), kms_key(kms_url)
    wrapped = KmsKeys([first], kms_url).wrap(DATA_KEY, b"p")
    both = KmsKeys([second, first], kms_url)
    assert both.newest() == f"kms:{second}"
    assert both.unwrap(wrapped, b"p") == DATA_KEY
    with pytest.raises(NotRotatable, match="RBEE_KMS_KEYS"):
        both.rotate()


def test_the_first_file_is_made_once_and_never_in_place_of_a_lost_one(
    db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gdpr.domain import vault

    path = tmp_path / "secrets"
    monkeypatch.setattr(settings, "RBEE", dataclasses.replace(settings.RBEE, key_file=path))
    make_first_keys()
    made = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(made)["keys"]) == 1
    make_first_keys()
    assert path.read_text() == made
    vault.keep(None, "a" * 32, "source", b"x")
    path.unlink()
    with pytest.raises(KeysUnavailable, match="of 1 people"):
        make_first_keys()
    assert not path.exists()
