"""Where the files of a log lie. A file is there whole or not at all, and one that is there is never written over by other
bytes: only the checkpoint moves on."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

CHECKPOINT: Final = "checkpoint"
KEYS: Final = "keys"
HISTORY: Final = "checkpoints"
WITNESSED: Final = "witnessed"  # the newest checkpoint that a witness signed too

_WIDTH = re.compile("[1-9][0-9]{0,2}")


class StoreConflict(Exception):
    """A file holds other bytes than the log has for it: somebody changed one of the two."""


class StoreBusy(Exception):
    """Another process writes to this store."""


class Store(Protocol):
    def read(self, path: str) -> bytes | None:
        """None when there is no such file. Raises OSError."""

    def write(self, path: str, data: bytes) -> None:
        """Durable when it returns. Raises StoreConflict, OSError."""

    def replace(self, path: str, data: bytes) -> None:
        """As `write`, of a file that may change."""

    def widths(self, path: str) -> Sequence[int]:
        """Of the files of this tile that are not full."""

    def remove_partial(self, path: str, width: int) -> None:
        """What is not needed any more; a store that keeps everything need not."""

    def names(self, folder: str) -> list[str]:
        """Of the files in it, sorted."""


class FolderStore:
    """Only its owner reads it: entries of all tenants are in there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder)

    def read(self, path: str) -> bytes | None:
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, path: str, data: bytes) -> None:
        there = self.read(path)
        if there is None:
            self.replace(path, data)
        elif there != data:
            raise StoreConflict(f"{self.folder / path} holds something else than the log has for it")

    def replace(self, path: str, data: bytes) -> None:
        target = self.folder / path
        self._make(target.parent)
        unfinished = target.parent / f".{target.name}.new"
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_all(file, data)
            os.fsync(file)
        finally:
            os.close(file)
        unfinished.replace(target)
        _sync_folder(target.parent)

    def widths(self, path: str) -> list[int]:
        try:
            names = os.listdir(self.folder / f"{path}.p")  # noqa: PTH208 -- names are all that is needed
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(int(name) for name in names if _WIDTH.fullmatch(name))

    def remove_partial(self, path: str, width: int) -> None:
        partial = self.folder / f"{path}.p" / str(width)
        partial.unlink(missing_ok=True)
        try:
            partial.parent.rmdir()
        except OSError:  # others are there, or it never was
            pass

    def remove(self, path: str) -> bool:
        """Whether it was there. Folders that become empty stay."""
        try:
            (self.folder / path).unlink()
        except FileNotFoundError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self.folder / folder) if not name.startswith("."))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return []

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For one process of this machine at a time; the kernel frees it when that ends. Raises StoreBusy."""
        self._make(self.folder)
        file = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreBusy(f"another process writes to {self.folder}") from None
            yield
        finally:
            os.close(file)

    def _make(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder != self.folder:
            self._make(folder.parent)
        folder.mkdir(mode=0o700, parents=folder == self.folder, exist_ok=True)
        _sync_folder(folder.parent)


def _write_all(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
