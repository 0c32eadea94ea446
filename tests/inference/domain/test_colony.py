import asyncio
import logging

import pytest

from hive_agent import protocol
from hive_agent.protocol import Endpoint
from inference.domain import colony as colony_module
from inference.domain.colony import Colony
from tests.inference.domain.lane import MODEL, Lane, TestHive, open_lane

CHAT = Endpoint.CHAT


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colony_module, "POLL_INTERVAL_S", 0.05)
    monkeypatch.setattr(colony_module, "SILENT_S", 0.3)
    monkeypatch.setattr(colony_module, "LOST_S", 0.6)
    monkeypatch.setattr(colony_module, "SUSPECT_S", 1.5)


def hives_of(colony: Colony, model: str = MODEL) -> list[str]:
    return [worker.hive.name for worker in colony.candidates(model, CHAT)]


def view_of(lane: Lane, hive: TestHive) -> dict[str, object]:
    return next(worker for worker in lane.colony.workers if worker.hive_id == hive.id).record.fields()


@pytest.mark.usefixtures("fast")
async def test_candidates_are_those_that_may_get_a_task(lane: Lane) -> None:
    a, b = lane.hives
    assert hives_of(lane.colony) == ["a", "b"]
    assert hives_of(lane.colony, "other") == []
    a.status = "loading"
    b.draining = True
    await lane.beat()
    await lane.until(lambda: hives_of(lane.colony) == [])
    assert lane.colony.loading(MODEL)
    a.status, a.capacity, a.in_flight, b.draining = "ready", 3, 3, False
    await lane.beat()
    await lane.until(lambda: hives_of(lane.colony) == ["b"])
    assert not lane.colony.loading(MODEL)


@pytest.mark.usefixtures("fast")
async def test_tasks_that_were_just_given_count_at_once(lane: Lane) -> None:
    hive = lane.hives[0]
    hive.capacity = 4
    await hive.beat()
    worker = next(worker for worker in lane.colony.workers if worker.hive_id == hive.id)
    await lane.until(lambda: worker.capacity == 4)
    for given in range(1, 5):
        worker.give()
        assert (worker.in_flight, worker.record.get("in_flight"), worker.record.get("load")) == (
            given,
            given,
            given / 4,
        )
    assert hives_of(lane.colony) == ["b"]
    hive.in_flight = 4
    await hive.beat()  # the hive's own count has caught up: they are the same four
    await lane.until(lambda: worker._reported == 4)
    assert worker.in_flight == 4
    worker.take()
    assert worker.in_flight == 3
    hive.in_flight = 2  # another queen's tasks have ended too
    await hive.beat()
    await lane.until(lambda: worker._reported == 2)
    assert worker.in_flight == 3  # never fewer than our own
    for _ in range(3):
        worker.take()
    hive.in_flight = 0
    await hive.beat()
    await lane.until(lambda: worker.in_flight == 0)
    assert worker.record.get("load") == 0.0


async def test_the_operator_has_the_last_word_on_what_a_worker_is(redis_url: str) -> None:
    async with open_lane(redis_url, "a") as lane:
        hive = lane.hives[0]
        before = view_of(lane, hive)
        assert [before[name] for name in ("gpu_type", "gpus", "backend", "region", "tier", "dedicated_to")] == [
            "A100", 1, "cuda", "EU", "", "",
        ]  # fmt: skip
        assert (before["total_vram_mb"], before["vram_free_mb"], before["gpu_util_pct"]) == (
            81_920,
            40_000,
            17,
        )
        record = lane.colony.workers[0].record
        hive.info = type(hive.info)(
            id=hive.id, name="a", prefix=hive.prefix, region="US",
            labels={"gpu_type": "H100", "tier": "gold", "latitude": 52.4, "rack": 7, "status": "draining"},
        )  # fmt: skip
        lane.colony.reload_hives()
        await lane.until(lambda: record.get("region") == "US")  # the same record, in place
        after = view_of(lane, hive)
        assert [after[name] for name in ("gpu_type", "tier", "status")] == ["H100", "gold", "ready"]
        assert after["labels"] == {
            "gpu_type": "H100",
            "tier": "gold",
            "latitude": 52.4,
            "rack": 7,
            "status": "draining",
        }
        assert after["geo"] == {"region": "US", "latitude": 52.4, "longitude": 0.0}


@pytest.mark.usefixtures("fast")
async def test_a_silent_hive_gets_nothing_and_is_lost_later(redis_url: str) -> None:
    async with open_lane(redis_url, "a", "b") as lane:
        lost: list[str] = []
        lane.colony.on_lost.append(lost.append)
        a, b = lane.hives
        for _ in range(4):
            await b.beat()
            await asyncio.sleep(0.1)
        assert (hives_of(lane.colony), lost) == (["b"], [])
        for _ in range(4):
            await b.beat()
            await asyncio.sleep(0.1)
        assert lost == [a.id]
        await lane.beat()
        await lane.until(lambda: hives_of(lane.colony) == ["a", "b"])
        assert lost == [a.id]


@pytest.mark.usefixtures("fast")
async def test_when_most_fall_silent_at_once_the_queen_suspects_itself(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_lane(redis_url, "a", "b", "c") as lane:
        lost: list[str] = []
        lane.colony.on_lost.append(lost.append)
        only = lane.hives[2]
        with caplog.at_level(logging.ERROR, "inference.domain.colony"):
            for _ in range(10):
                await only.beat()
                await asyncio.sleep(0.1)
        assert lost == []
        assert hives_of(lane.colony) == ["c"]
        assert [record.message for record in caplog.records] == [
            "2 of 3 hives fell silent at once: nothing is moved"
        ]
        async with asyncio.timeout(5):
            while len(lost) < 2:  # but not for ever
                await only.beat()
                await asyncio.sleep(0.1)
        assert set(lost) == {lane.hives[0].id, lane.hives[1].id}


@pytest.mark.usefixtures("fast")
async def test_silence_does_not_count_while_the_queen_is_deaf(redis_url: str) -> None:
    async with open_lane(redis_url, "a") as lane:
        lost: list[str] = []
        lane.colony.on_lost.append(lost.append)
        await lane.pipe.close()
        await asyncio.sleep(1.0)
        assert (hives_of(lane.colony), lost) == (["a"], [])
        await lane.pipe.connect()
        await lane.beat()


async def test_what_a_dead_hive_left_behind_is_no_sign_of_life(redis_url: str) -> None:
    async with open_lane(redis_url, "a", "b") as lane:
        await lane.pipe.call(
            "PEXPIRE", f"{lane.hives[0].prefix}state", (protocol.HEARTBEAT_EXPIRY_S - 6) * 1000
        )
        newcomer = Colony(lane.pipe, lane._load_hives)
        await newcomer.start()
        try:
            assert hives_of(newcomer) == ["b"]
        finally:
            await newcomer.stop()
        assert {view.info.name: view.is_silent for view in newcomer.hives.values()} == {"a": True, "b": False}


@pytest.mark.usefixtures("fast")
async def test_a_replaced_process_is_announced_with_its_epoch(redis_url: str) -> None:
    async with open_lane(redis_url, "a") as lane:
        replaced: list[tuple[str, int]] = []
        lane.colony.on_epoch.append(lambda hive_id, epoch: replaced.append((hive_id, epoch)))
        hive = lane.hives[0]
        hive.epoch = 7
        await hive.beat()
        await lane.until(lambda: replaced == [(hive.id, 7)])


@pytest.mark.usefixtures("fast")
async def test_a_removed_hive_is_lost_at_once(redis_url: str) -> None:
    async with open_lane(redis_url, "a", "b") as lane:
        lost: list[str] = []
        lane.colony.on_lost.append(lost.append)
        gone = lane.hives.pop(0)
        lane.colony.reload_hives()
        await lane.until(lambda: lost == [gone.id])
        assert hives_of(lane.colony) == ["b"]


@pytest.mark.usefixtures("fast")
async def test_heartbeats_that_make_no_sense_are_passed_over(lane: Lane) -> None:
    a, b = lane.hives
    await a.beat(hive=b.id, workers=[])  # speaks for another
    await b.beat(version=protocol.VERSION + 1, workers=[])
    await asyncio.sleep(0.2)
    assert hives_of(lane.colony) == ["a", "b"]  # as they were
    await lane.pipe.call("SET", f"{a.prefix}state", b"nonsense")
    await asyncio.sleep(0.4)
    assert hives_of(lane.colony) == []  # none of that was a sign of life


@pytest.mark.usefixtures("fast")
async def test_hives_that_cannot_be_loaded_stay_as_they_were(lane: Lane) -> None:
    async def fail() -> dict[str, object]:
        raise OSError("the database is away")

    lane.colony._load_hives = fail  # type: ignore[assignment]
    lane.colony.reload_hives()
    for _ in range(4):
        await lane.beat()
        await asyncio.sleep(0.1)
    assert hives_of(lane.colony) == ["a", "b"]


@pytest.mark.usefixtures("fast")
async def test_worker_that_is_full_is_busy_and_not_absent(lane: Lane) -> None:
    assert not lane.colony.busy(MODEL)
    for worker in lane.colony.workers:
        for _ in range(worker.capacity):
            worker.give()

    assert hives_of(lane.colony) == []
    assert lane.colony.busy(MODEL)
    assert not lane.colony.busy("other")
    for worker in lane.colony.workers:
        worker.take()
    assert not lane.colony.busy(MODEL)
