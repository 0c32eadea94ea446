import json

import pytest

from rbee_cli.output import Output, shown


def test_values_are_shown_for_people() -> None:
    assert shown(None) == "-"
    assert shown(["a", "b"]) == "a, b"
    assert shown({"gpu_type": "H100", "fast": True}) == "gpu_type=H100, fast=yes"
    assert shown("2026-11-24T03:13:35.302231Z") == "2026-11-24 03:13:35"
    assert shown(0) == "0"


def test_row_in_a_pipe_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    Output(as_json=False).table([{"name": "x" * 200, "n": 1}], {"name": "NAME", "n": "N"}, empty="none")
    heading, row = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "N"]
    assert row.split() == ["x" * 200, "1"]


def test_json_is_all_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=True)
    output.say("for people")
    output.table([], {"name": "NAME"}, empty="none")
    assert json.loads(capsys.readouterr().out) == []
