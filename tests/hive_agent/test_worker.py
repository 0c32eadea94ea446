import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hive_agent import worker as module
from hive_agent.errors import SourceUnavailable
from hive_agent.folder import Folder
from hive_agent.protocol import DeviceReport, Placement, WorkerReport
from hive_agent.worker import IDLE, Worker

PLACEMENT = Placement(
    worker="0" * 32, model="a", engine="llama_cpp", source="hf:org/a", capability="text-gen"
)
CPU = DeviceReport(
    index=0, kind="cpu", name="CPU", gpu_type="CPU", vram_total_mib=1, vram_free_mib=1, util_pct=0
)


async def test_progress_of_a_start_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = asyncio.Event()

    async def download(source: str, say: Callable[[str], None]) -> Path:
        say("downloading a.gguf: 5 %")
        await given_up.wait()
        raise SourceUnavailable("the disk is full")

    monkeypatch.setattr(module, "find_model", download)
    worker = Worker(PLACEMENT, Folder(tmp_path), lambda: None)
    try:
        await asyncio.sleep(0.05)
        downloading = reported(worker)
        given_up.set()
        await asyncio.sleep(0.05)
        failed = reported(worker)
    finally:
        await worker.stop()

    assert (downloading.error, downloading.progress) == ("", "downloading a.gguf: 5 %")
    assert (failed.error, failed.progress) == ("the disk is full", "")


def reported(worker: Worker) -> WorkerReport:
    return worker.report(IDLE, [CPU], is_served=True)
