"""Audit entries in bulk, and a sequencer that runs once."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from gdpr.domain.audit import make_entry, record_all
from gdpr.log.note import FileSigner, make_signer
from gdpr.log.sequencer import Sequencer, lead
from gdpr.log.store import FolderStore
from gdpr.models import AuditEntry
from gdpr.scope import colony_tx
from tests.factories.tenants import TESTER

SIGNER = make_signer("rbee.tests/audit")


def make_entries(count: int, *, tenant_id: UUID | None = None) -> list[AuditEntry]:
    entries = [
        make_entry(
            "key.revoked",
            actor=TESTER,
            tenant_id=tenant_id,
            object_ref=f"key:{number}",
            details={"n": number},
        )
        for number in range(count)
    ]
    with colony_tx("tests"):
        record_all(entries)
    return entries


def sequence(sequencer_url: str, folder: Path, *, signer: FileSigner = SIGNER) -> int:
    """Numbers and publishes what there is. Returns the size of the log."""
    connection = lead(sequencer_url)
    assert connection is not None, "another sequencer runs"
    with connection:
        sequencer = Sequencer(connection, FolderStore(folder), signer)
        while sequencer.step():
            pass
        if sequencer.has_unpublished:
            sequencer.publish()
        return sequencer.writer.size
