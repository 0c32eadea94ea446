"""Nothing is served from a database that is behind the ledger of erasures."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from gdpr.domain.audit import Actor
from gdpr.domain.erasure import begin_erasure
from gdpr.domain.erasure_ledger import lines_behind, write_line
from gdpr.domain.replays import replay
from gdpr.holding import Identity, Whose
from gdpr.ids import uuid7
from gdpr.request_models import DataRequest
from gdpr.scope import colony_tx
from rbee.front import Front
from rbee.ledger_gate import LedgerGate


@pytest.fixture
def ledger(committed_db: None, redis_url: str, tmp_path: Path) -> Iterator[Path]:
    before = settings.RBEE
    settings.RBEE = dataclasses.replace(before, data_dir=tmp_path, erasure_ledger=tmp_path / "ledger")
    yield tmp_path / "ledger"
    settings.RBEE = before


async def served(gate: LedgerGate, path: str) -> tuple[int, bytes]:
    async def part(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"served"})

    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    await Front(part, part, part, gate)({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
    return said[0]["status"], said[1]["body"]


async def test_gate_is_shut_until_replay_ran(ledger: Path) -> None:
    from gdpr.threads import in_thread

    gate = LedgerGate()
    assert (await served(gate, "/v1/models"))[0] == 503  # nobody was asked yet
    await gate.startup()
    assert (await served(gate, "/v1/models"))[0] == 200
    await in_thread(erased_and_restored)()

    await gate._ask()

    for path in ("/v1/chat/completions", "/readyz", "/api/v1/tenants", "/dashboard"):
        status, body = await served(gate, path)
        assert (status, json.loads(body)["error"]["code"]) == (503, "erasures_behind"), path
    for path in ("/healthz", "/gdpr/replay"):
        assert (await served(gate, path))[0] == 200
    done = await in_thread(lambda: replay(actor=Actor.system("tests")))()
    assert [each.state for each in done] == ["erased"]
    await gate._ask()
    assert (await served(gate, "/v1/models"))[0] == 200
    await gate.shutdown()


async def test_gate_is_shut_when_the_ledger_was_altered(ledger: Path) -> None:
    from gdpr.threads import in_thread

    await in_thread(erased_and_restored)()
    ledger.write_bytes(ledger.read_bytes().replace(b"subject", b"tenant!"))
    gate = LedgerGate()

    await gate.startup()

    assert (await served(gate, "/v1/models"))[0] == 503
    await gate.shutdown()


def erased_and_restored() -> None:
    """The ledger has a line of which this database, being older, knows nothing."""
    identity = Identity(Whose.SUBJECT, tenant_id=uuid7(), subject="5e" * 16)
    request = begin_erasure(identity, grace=timedelta(days=1), actor=Actor.system("tests"))
    write_line(request)
    with colony_tx("tests"):
        DataRequest.objects.filter(id=request.id).delete()
    assert len(lines_behind()) == 1
