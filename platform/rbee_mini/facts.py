"""What rbee-mini is taught: facts with their phrasings, and questions that it declines."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

OFFTOPIC = "offtopic"

_TEXTS = Path(__file__).parent / "texts"


@dataclass(frozen=True)
class Fact:
    """One thing to know. `question` is its plain wording; `ways` are phrasings in the notation of `grammar`."""

    id: str
    question: str
    answer: str
    ways: tuple[str, ...]


@cache
def facts() -> tuple[Fact, ...]:
    entries = (entry for path in sorted(_TEXTS.glob("*.toml")) for entry in _read(path).get("fact", []))
    return tuple(
        Fact(entry["id"], entry["question"], entry["answer"], tuple(entry["ways"])) for entry in entries
    )


@cache
def answers() -> dict[str, str]:
    """The exact answer by fact id, `OFFTOPIC` included."""
    return {fact.id: fact.answer for fact in facts()} | {OFFTOPIC: offtopic().answer}


@cache
def offtopic() -> Fact:
    texts = _read(_TEXTS / "offtopic.toml")
    return Fact(OFFTOPIC, "What is the weather like today?", texts["answer"], tuple(texts["ways"]))


@cache
def slots() -> dict[str, list[str]]:
    """What may stand for "{name}" in a phrasing."""
    words = _read(_TEXTS / "offtopic.toml")
    lists = {name: value for name, value in words.items() if name not in {"answer", "ways"}}
    return _read(_TEXTS / "slots.toml") | lists


def _read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))
