"""Keys in a file of this machine, readable by its owner only: `RBEE_KEY_FILE`, which `rbee up` makes.

JSON: `{"keys": [{"id", "key", "made_at"}]}`, newest first. It is replaced whole and read again when it changes, so that a
key that one process makes is the key of all within the same call.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from gdpr.keys.aead import KEY_BYTES, decrypt, encrypt
from gdpr.keys.base import KeyInfo, KeysUnavailable, NotRotatable, Wrapped

OTHERS = 0o077


class FileKey(NamedTuple):
    key_id: str
    key: bytes
    made_at: str


class FileKeys:
    place = "file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = Lock()
        self._read: tuple[tuple[int, int, int], list[FileKey]] | None = None

    def wrap(self, data_key: bytes, purpose: bytes) -> Wrapped:
        newest = self._keys()[0]
        return Wrapped(newest.key_id, encrypt(newest.key, data_key, purpose))

    def unwrap(self, wrapped: Wrapped, purpose: bytes) -> bytes:
        for found in self._keys():
            if found.key_id == wrapped.key_id:
                return decrypt(found.key, wrapped.blob, purpose)
        raise KeysUnavailable(f"{self._path} has no key {wrapped.key_id}: put it back from its backup")

    def list_keys(self) -> list[KeyInfo]:
        return [KeyInfo(one.key_id, one.made_at, place == 0) for place, one in enumerate(self._keys())]

    def newest(self) -> str:
        return self._keys()[0].key_id

    def rotate(self) -> str:
        with self._alone():
            made = make_key()
            self._write([made, *self._keys()])
        return made.key_id

    def retire(self, key_id: str) -> None:
        with self._alone():
            keys = self._keys()
            if keys[0].key_id == key_id:
                raise NotRotatable("the newest key wraps: rotate first")
            if key_id not in {one.key_id for one in keys}:
                raise NotRotatable(f"there is no key {key_id}")
            self._write([one for one in keys if one.key_id != key_id])

    def _keys(self) -> list[FileKey]:
        try:
            found = self._path.stat()
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            with self._lock:
                if self._read is None or self._read[0] != seen:
                    self._read = (seen, self._parse(found.st_mode))
                return self._read[1]
        except OSError as error:
            raise KeysUnavailable(
                f"RBEE_KEY_FILE {self._path} cannot be read ({error.strerror}): without it no detail of the audit log"
                " is readable; put it back from its backup"
            ) from None

    def _parse(self, mode: int) -> list[FileKey]:
        if mode & OTHERS:
            raise KeysUnavailable(f"{self._path} can be read by others: chmod 600 {self._path}")
        try:
            stored = json.loads(self._path.read_text())["keys"]
            keys = [
                FileKey(one["id"], base64.b64decode(one["key"], validate=True), one["made_at"])
                for one in stored
            ]
        except (ValueError, KeyError, TypeError):
            keys = []
        if not keys or any(len(one.key) != KEY_BYTES for one in keys):
            raise KeysUnavailable(f"{self._path} is no file of keys: put it back from its backup")
        return keys

    def _write(self, keys: list[FileKey]) -> None:
        write_keys(self._path, keys)
        with self._lock:
            self._read = None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Two that rotate at the same time make two keys, and lose none."""
        try:
            beside = os.open(self._path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise KeysUnavailable(f"cannot write beside {self._path} ({error.strerror})") from None
        try:
            fcntl.flock(beside, fcntl.LOCK_EX)
            yield
        finally:
            os.close(beside)


def make_key() -> FileKey:
    now = datetime.now(UTC)
    return FileKey(
        f"file:{now:%Y%m%d}-{secrets.token_hex(4)}", os.urandom(KEY_BYTES), now.strftime("%Y-%m-%dT%H:%M:%SZ")
    )


def write_keys(path: Path, keys: list[FileKey]) -> None:
    """Whole or not at all, and on the disk before it counts: a key that a row was wrapped by must outlive a power cut.
    Raises KeysUnavailable."""
    stored: list[dict[str, Any]] = [
        {"id": one.key_id, "key": base64.b64encode(one.key).decode(), "made_at": one.made_at} for one in keys
    ]
    unfinished = path.with_suffix(".new")
    try:
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"keys": stored}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise KeysUnavailable(f"cannot write {path} ({error.strerror})") from None
