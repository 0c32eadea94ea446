import asyncio
import logging

import pytest

from inference.api import guard
from inference.api.guard import Guard


@pytest.mark.parametrize("fails", [True, False], ids=["fails", "returns"])
async def test_task_that_ends_is_logged_and_starts_again(
    fails: bool, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(guard, "LONGEST_PAUSE_S", 0.004)
    runs = 0
    again = asyncio.Event()

    async def run() -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            if fails:
                raise ValueError
            return
        again.set()
        await asyncio.Event().wait()

    tasks = Guard()
    tasks.spawn("the look-out", run)
    async with asyncio.timeout(2):
        await again.wait()
    await tasks.stop()

    problems = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert [record.message.split(" ended")[0].split(" failed")[0] for record in problems] == [
        "the look-out"
    ] * 3
    assert runs == 4
