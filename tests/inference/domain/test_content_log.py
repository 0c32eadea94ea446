"""What waits to be kept: within a bound, tried again, and counted when it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from django.db import IntegrityError, OperationalError

from inference.domain import content_log
from inference.domain.content_log import ContentLog
from inference.domain.kept_content import Gathered


def gathered(task_id: str, size: int = 10) -> Gathered:
    return Gathered("a" * 32, task_id, "", "req", "chat.completions", "m", 1, b"x" * size, b"", size, 0)


class Writer:
    def __init__(self, *errors: Exception) -> None:
        self.batches: list[list[str]] = []
        self.errors = list(errors)

    async def __call__(self, batch: Sequence[Gathered]) -> int:
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append([each.task_id for each in batch])
        return len(batch)


async def test_it_is_written_in_batches_of_a_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content_log, "BATCH_BYTES", 25)
    writer = Writer()
    log = ContentLog(writer)
    for name in "abcde":
        log.add(gathered(name))

    assert await log.write()

    assert writer.batches == [["a", "b"], ["c", "d"], ["e"]]
    assert log.lost == 0


async def test_while_nothing_can_be_written_it_waits_and_what_is_too_much_is_counted() -> None:
    writer = Writer(OperationalError("away"))
    log = ContentLog(writer, wait_bytes=25)
    for name in "abc":
        log.add(gathered(name))
    assert log.lost == 1

    assert not await log.write()
    log.add(gathered("d"))
    assert await log.write()
    log.add(gathered("e"))
    assert await log.write()

    assert writer.batches == [["a", "b"], ["e"]]
    assert log.lost == 2


async def test_what_never_can_be_written_holds_nobody_back() -> None:
    writer = Writer(IntegrityError("no such key"))
    log = ContentLog(writer)
    log.add(gathered("a"))

    assert await log.write()
    log.add(gathered("b"))
    assert await log.write()

    assert (writer.batches, log.lost) == ([["b"]], 1)


async def test_the_last_ones_are_written_and_those_that_are_not_are_counted() -> None:
    writer = Writer()
    log = ContentLog(writer)
    log.add(gathered("a"))
    await log.stop()
    assert (writer.batches, log.lost) == ([["a"]], 0)

    away = ContentLog(Writer(OperationalError("away")))
    away.add(gathered("a"))
    await asyncio.wait_for(away.stop(), 5)
    assert away.lost == 1


async def test_no_line_of_the_log_says_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    log = ContentLog(Writer(OperationalError("near 'xxxxxxxxxx'"), IntegrityError("xxxxxxxxxx")))
    log.add(gathered("a"))
    await log.write()
    await log.write()
    assert len(caplog.records) >= 2
    assert "xxx" not in caplog.text
