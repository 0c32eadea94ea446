"""The spool keeps every attempt that began, until it is booked, through any order of events."""

import asyncio
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from hive_agent.protocol import Outcome, RefusedReceipt, decode_receipt
from hive_agent.spool import Attempt, Spool, Unsent
from hive_agent.spool_writer import SpoolFailed, SpoolWriter


class SpoolMachine(RuleBasedStateMachine):
    """A model of the spool beside the spool; the runner is replaced at any moment."""

    attempts = Bundle("attempts")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.spool = Spool(Path(self.folder.name) / "spool.db")
        self.epoch = 1
        self.open: dict[tuple[str, int], Attempt] = {}
        self.closed: dict[tuple[str, int], tuple[str, int]] = {}
        self.number = 0

    @rule(target=attempts)
    def begin(self) -> Attempt:
        self.number += 1
        attempt = make_attempt(f"task-{self.number}", self.epoch)
        assert self.spool.open(attempt)
        assert not self.spool.open(attempt)
        self.open[attempt.key] = attempt
        return attempt

    @rule(attempt=attempts, tokens=st.integers(0, 500))
    def progress(self, attempt: Attempt, tokens: int) -> None:
        attempt.usage = {"completion_tokens": tokens}
        self.spool.update(attempt, 1)

    @rule(attempt=attempts)
    def end(self, attempt: Attempt) -> None:
        self.spool.close(attempt.key, attempt.receipt(Outcome.COMPLETED, ended_at_ms=2), 2)
        if self.open.pop(attempt.key, None):
            self.closed[attempt.key] = (Outcome.COMPLETED, attempt.usage.get("completion_tokens", 0))

    @rule()
    def replace_runner(self) -> None:
        self.epoch += 1
        assert self.spool.close_abandoned(self.epoch, 3) == len(self.open)
        for key, attempt in self.open.items():
            self.closed[key] = (Outcome.WORKER_FAILED, attempt.usage.get("completion_tokens", 0))
        self.open.clear()

    @rule(data=st.data())
    def book_some(self, data: st.DataObject) -> None:
        waiting = self.spool.unsent(100)
        booked = [each for each in waiting if data.draw(st.booleans())]
        self.spool.forget(booked)
        for each in booked:
            del self.closed[(each.task, each.attempt)]

    @invariant()
    def nothing_is_lost_or_made_up(self) -> None:
        receipts = [decode_receipt(each.payload) for each in self.spool.unsent(1000)]
        assert {
            (each.task, each.attempt): (each.outcome, each.usage.get("completion_tokens", 0))
            for each in receipts
        } == self.closed
        assert self.spool.counts().get("open", 0) == len(self.open)

    def teardown(self) -> None:
        self.spool.shut()
        self.folder.cleanup()


SpoolMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
test_spool_keeps_every_attempt = SpoolMachine.TestCase


def test_receipt_says_what_was_known_when_the_process_died(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    attempt = make_attempt("task", epoch=1)
    spool.open(attempt)
    attempt.usage, attempt.first_token_at_ms = {"prompt_tokens": 3, "completion_tokens": 64}, 120
    spool.update(attempt, 130)
    spool.shut()
    spool = Spool(tmp_path / "spool.db")
    spool.close_abandoned(2, 200)
    (unsent,) = spool.unsent(10)
    receipt = decode_receipt(unsent.payload)
    spool.shut()

    assert receipt.outcome == Outcome.WORKER_FAILED
    assert receipt.usage == {"prompt_tokens": 3, "completion_tokens": 64}
    assert (receipt.began_at_ms, receipt.first_token_at_ms, receipt.ended_at_ms) == (100, 120, 200)
    assert receipt.envelope == b"sealed"


def test_refused_receipt_is_kept_and_not_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    attempt = make_attempt("task", epoch=1)
    spool.open(attempt)
    spool.close(attempt.key, b"payload", 2)
    spool.set_aside([RefusedReceipt("task", 1, "fenced", "another attempt is valid")], 3)
    counts, unsent = spool.counts(), spool.unsent(10)
    spool.shut()

    assert counts == {"refused": 1}
    assert unsent == []


async def test_writer_gathers_what_comes_together(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool.db", lambda: 5)
    attempts = [make_attempt(f"task-{number}", epoch=1) for number in range(50)]
    opened = await asyncio.gather(*(writer.open(each) for each in attempts))
    again = await writer.open(attempts[0])
    attempts[1].usage = {"completion_tokens": 7}
    writer.update(attempts[1])
    await asyncio.gather(*(writer.close(each, b"payload") for each in attempts[2:]))
    await writer.stop()
    spool = Spool(tmp_path / "spool.db")
    rows = spool.db.execute("SELECT state, usage FROM attempt WHERE task IN ('task-0', 'task-1')").fetchall()
    counts = spool.counts()
    spool.shut()

    assert opened == [True] * 50
    assert again is False
    assert sorted(rows) == [("open", '{"completion_tokens": 7}'), ("open", "{}")]
    assert counts == {"open": 2, "closed": 48}


async def test_writer_says_when_the_disk_fails(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "spool.db", lambda: 5)
    await writer.open(make_attempt("first", epoch=1))
    with sqlite3.connect(tmp_path / "spool.db") as db:
        db.execute("DROP TABLE attempt")
    db.close()

    with pytest.raises(SpoolFailed):
        await writer.open(make_attempt("second", epoch=1))
    await writer.stop()


def test_files_of_the_spool_are_private(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.open(make_attempt("task", epoch=1))
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    spool.shut()

    assert modes == {"spool.db": 0o600, "spool.db-wal": 0o600, "spool.db-shm": 0o600}


def test_forgetting_one_attempt_keeps_the_other(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    for number in (1, 2):
        attempt = make_attempt("task", epoch=1, number=number)
        spool.open(attempt)
        spool.close(attempt.key, b"payload", number)
    spool.forget([Unsent("task", 1, b"payload")])
    left = spool.unsent(10)
    spool.shut()

    assert left == [Unsent("task", 2, b"payload")]


def make_attempt(task: str, epoch: int, number: int = 1) -> Attempt:
    return Attempt(task, number, epoch, "hive", "worker", "model", "echo", 100, b"sealed")


def test_whoever_is_erased_is_gone_from_refused_receipts_and_from_the_file(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    for task, state, whose in [
        ("a", "refused", b"5e5e"),
        ("b", "refused", b"0a0a"),
        ("c", "closed", b"7f7f"),
    ]:
        spool.db.execute(
            "INSERT INTO attempt VALUES (?, 1, ?, 1, '[]', '{}', 0, ?, ?, '', 1)",
            (task, state, b"mac" + whose, b"pay" + whose),
        )

    assert spool.forget_whose("5e5e")
    assert not spool.forget_whose("7f7f")  # money: the queen takes it soon

    assert {row[0] for row in spool.db.execute("SELECT task FROM attempt")} == {"b", "c"}
    spool.shut()
    assert b"5e5e" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
