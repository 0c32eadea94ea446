"""The sender against a queen that fails in every way it can."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hive_agent import receipts
from hive_agent.credentials import Credentials
from hive_agent.protocol import Outcome, RedisAccess
from hive_agent.queen import Queen as QueenClient
from hive_agent.receipts import ReceiptSender
from hive_agent.spool import Attempt, Spool
from tests.hive_agent.queen import CREDENTIAL, Queen
from tests.hive_agent.redis_server import RedisServer


@pytest.fixture
def queen(shared_redis: RedisServer) -> Iterator[Queen]:
    queen = Queen(shared_redis)
    queen.start()
    yield queen
    queen.stop()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool.db")
    for number in range(3):
        attempt = Attempt(f"task-{number}", 1, 1, "hive", "worker", "model", "echo", 100, b"sealed")
        spool.open(attempt)
        spool.close(attempt.key, attempt.receipt(Outcome.COMPLETED, ended_at_ms=2), 2)
    yield spool
    spool.shut()


async def test_booked_receipts_leave_the_spool(queen: Queen, spool: Spool) -> None:
    left = await flush(queen, spool)

    assert left == 0
    assert [each.task for each in queen.receipts] == ["task-0", "task-1", "task-2"]


async def test_receipt_signed_by_another_key_stays(queen: Queen, spool: Spool) -> None:
    left = await flush(queen, spool, forged=True)

    assert left == 3
    assert queen.receipts == []
    assert queen.forged > 0


async def test_receipts_are_sent_again_until_the_queen_is_back(
    queen: Queen, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receipts, "RETRY_S", (0.01,))
    queen.is_down = True
    flushing = asyncio.create_task(flush(queen, spool))
    await asyncio.sleep(0.2)
    assert len(spool.unsent(10)) == 3
    queen.is_down = False

    assert await flushing == 0


async def test_refused_ones_are_set_aside_and_the_others_booked(queen: Queen, spool: Spool) -> None:
    queen.refuse = lambda receipt: "bad_envelope" if receipt.task == "task-1" else ""
    left = await flush(queen, spool)

    assert left == 0
    assert spool.counts() == {"refused": 1}
    assert [each.task for each in queen.receipts] == ["task-0", "task-2"]


async def flush(queen: Queen, spool: Spool, *, forged: bool = False) -> int:
    key = Ed25519PrivateKey.generate()
    queen.public_key = Ed25519PrivateKey.generate().public_key() if forged else key.public_key()
    client = QueenClient(
        Credentials(
            queen_url=queen.url,
            hive="hive",
            name="attic",
            credential=CREDENTIAL,
            redis=RedisAccess(url="redis://queen", username="", password="", prefix=""),
        )
    )
    try:
        return await ReceiptSender(spool, client, key).flush(timeout_s=1 if forged else 5)
    finally:
        await client.close()
