"""Logs in a folder, for tests."""

from __future__ import annotations

import os
import random
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from gdpr.ids import uuid7
from gdpr.log.entry import canonical_entry
from gdpr.log.note import FileSigner, make_signer
from gdpr.log.store import FolderStore
from gdpr.log.writer import LogWriter

ORIGIN = "rbee.example/audit"


def make_entry(number: int = 0, *, at: datetime | None = None, entry_id: UUID | None = None) -> bytes:
    return canonical_entry(
        id=entry_id or uuid7(), tenant_id=None, event="key.revoked", actor="key:abc", object_ref=f"key:{number}",
        outcome="ok", details={"number": number}, request_id="", at=at or datetime.now(UTC),
    )  # fmt: skip


class FastStore(FolderStore):
    """As durable as a test needs."""

    def replace(self, path: str, data: bytes) -> None:
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.parent / f".{target.name}.new"
        unfinished.write_bytes(data)
        unfinished.replace(target)


def make_log(folder: Path, size: int, *, signer: FileSigner | None = None, seed: int = 0) -> LogWriter:
    """Published in steps of any size, as a sequencer does."""
    draw = random.Random(seed)
    writer = LogWriter(FastStore(folder), signer or make_signer(ORIGIN))
    number = 0
    while number < size:
        step = min(size - number, draw.choice([1, 3, 100, 256, 400]))
        writer.add(make_entry(number + at) for at in range(step))
        writer.publish(keep=draw.random() < 0.05)
        number += step
    return writer


def files_in(folder: Path) -> dict[str, bytes]:
    found = {}
    for root, _, names in os.walk(folder):
        for name in names:
            if not name.startswith("."):
                path = Path(root) / name
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found
