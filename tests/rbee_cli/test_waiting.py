import itertools
from typing import Any

import pytest

from rbee_cli import waiting
from rbee_cli.client import QueenClient
from rbee_cli.errors import CliError
from rbee_cli.output import Output
from rbee_cli.waiting import wait_for_model

READY = {"status": "ready", "error": "", "progress": ""}


class Queen(QueenClient):
    """Describes its one model by the next of `states` each time, and by the last from then on."""

    def __init__(self, *states: dict[str, str]) -> None:
        self._states = itertools.chain(states, itertools.repeat(states[-1]))

    def get(self, path: str, **parameters: Any) -> Any:
        return {"workers": [{"hive": "local", **next(self._states)}]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_EVERY_S", 0.01)
    monkeypatch.setattr(waiting, "FAILED_FOR_S", 0.1)


def test_download_may_take_long(capsys: pytest.CaptureFixture[str]) -> None:
    downloading = [loading(progress=f"downloading a.gguf: {part // 20} %") for part in range(40)]

    wait_for_model(Queen(*downloading, READY), Output(as_json=False), "a", ["local"], timeout_s=30)

    said = capsys.readouterr().out.splitlines()
    assert [line.rpartition(" (")[0] for line in said] == [
        "  local: loading: downloading a.gguf: 0 %",
        "  local: loading: downloading a.gguf: 1 %",
        "  local: ready",
    ]


def test_error_that_comes_back_is_final() -> None:
    tries = [loading(progress="asking"), loading(error="no network")] * 20

    with pytest.raises(
        CliError,
        match=r"^a did not start on local: no network \(the hive goes on trying; `rbee model remove a` ends it\)$",
    ):
        wait_for_model(Queen(*tries), Output(as_json=False), "a", ["local"], timeout_s=30)


def test_error_that_passes_is_none() -> None:
    states = [loading(error="no network")] + [loading(progress="asking")] * 20 + [READY]

    wait_for_model(Queen(*states), Output(as_json=False), "a", ["local"], timeout_s=30)


def loading(*, error: str = "", progress: str = "") -> dict[str, str]:
    return {"status": "loading", "error": error, "progress": progress}
