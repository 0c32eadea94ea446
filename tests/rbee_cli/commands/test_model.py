from pathlib import Path

import pytest

from rbee_cli.commands.model import full_source, micros, price_text, read_prices
from rbee_cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("0.25", 250_000), ("1.000001", 1_000_001), ("12", 12_000_000)]
)
def test_price_is_exact(text: str, expected: int) -> None:
    assert micros(text) == expected


@pytest.mark.parametrize("text", ["", "x", "-1", "0.0000001", "NaN", "Infinity", "1e12"])
def test_price_that_cannot_be_said_exactly_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no price"):
        micros(text)


def test_prices_go_together() -> None:
    assert read_prices("", "", free=True) is None
    assert read_prices("0.2", "0", free=False) == {"prompt_tokens": 200_000, "completion_tokens": 0}
    with pytest.raises(UsageError, match="go together"):
        read_prices("0.2", "", free=False)
    with pytest.raises(UsageError, match="contradict"):
        read_prices("0.2", "0.2", free=True)


def test_price_is_shown_as_it_was_said() -> None:
    assert price_text({"is_free": None, "prices": None, "currency": None}) == "-"
    assert price_text({"is_free": True, "prices": {}, "currency": "EUR"}) == "free"
    prices = {"prompt_tokens": 200_000, "completion_tokens": 1_234_567}
    assert price_text({"is_free": False, "prices": prices, "currency": "EUR"}) == "0.20 / 1.234567 EUR"


def test_file_that_lies_here_gets_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.gguf").touch()
    assert full_source("my.gguf") == str(tmp_path / "my.gguf")
    assert full_source("Qwen/Qwen3-0.6B-GGUF") == "Qwen/Qwen3-0.6B-GGUF"
    assert full_source("/models/elsewhere.gguf") == "/models/elsewhere.gguf"
