"""Lint never tells of a script that works: of thousands, generated, that run from their first word to their last."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from rhai_py import Engine, Record, RhaiError, Workers

TESTS = Path(__file__).parent
ENTRY_POINTS = {
    "should_admit": ("task", "customer"),
    "route_task": ("task", "workers"),
    "f": ("task", "workers"),
}
KINDS: dict[str, dict[str, str | None]] = {
    "task": {"type": None, "model": None, "customer_tier": None, "geo": "geo", "extra": "?"},
    "customer": {"tier": None, "tokens_used_today": None, "daily_limit": None},
    "worker": {"hive": None, "gpu_type": None, "capability": None, "model": None, "load": None, "id": None}
    | {
        "online": None,
        "available": None,
        "in_flight": None,
        "vram_free_mb": None,
        "geo": "geo",
        "labels": "?",
    },
    "geo": {"region": None},
}
LISTS = {"workers": "worker"}
GEO = {"region": "EU"}
TASK = Record("task", {"type": "a", "model": "m", "customer_tier": "pro", "geo": GEO, "extra": {"load": 1}})
FLAGS = {"online": True, "available": True, "in_flight": 0, "vram_free_mb": 9, "labels": {"modle": 1}}
FLEET = [
    Record(
        "worker",
        {
            "hive": f"h{n}",
            "gpu_type": "A",
            "capability": "c",
            "model": "m",
            "load": n,
            "id": f"{n}",
            "geo": GEO,
        }
        | FLAGS,
    )
    for n in range(3)
]
FIELDS = ["type", "model", "geo", "extra", "load", "hive", "id", "labels", "region", "modle", "lod", "len"]


class Straight:
    """Writes scripts without branches, so that one which ends well has been run as a whole.

    Right and wrong fields, methods and functions are equally welcome: what works is for the engine to say.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.names: list[str] = []

    def script(self) -> str:
        self.names = ["task", "workers"]
        source = " ".join(self.statement() for _ in range(self.random.randint(1, 5)))
        source = f"fn f(task, workers) {{ {source} }}"
        for name in ("p", "q"):
            self.names = ["x"]
            if re.search(rf"\b{name}\(", source):
                source += f" fn {name}(x) {{ {self.expression(2)} }}"
        return source

    def statement(self) -> str:
        pick = self.random.choice
        value = self.expression(2)
        name = pick(["a", "b", "task", "workers"])
        form = self.random.randrange(6)
        if form == 0 and name in self.names:
            return f"{name} = {value};"
        if form == 1:
            self.names.append("w")
            inner = self.expression(1)
            self.names.remove("w")
            return f"for w in {pick(['workers', *self.names])} {{ {inner}; }}"
        if form == 2:
            return f"{value};"
        self.names.append(name)
        return f"let {name} = {value};"

    def expression(self, depth: int) -> str:
        pick = self.random.choice
        subject = pick(self.names) if depth <= 0 or self.random.random() < 0.6 else self.expression(depth - 1)
        if depth <= 0:
            return pick([subject, "none", "1", '"m"', "#{modle: 1}"])
        self.names.append("v")
        closure = f"|v| {self.expression(depth - 1)}"
        self.names.remove("v")
        return pick([
            subject,
            f"{subject}.{pick(FIELDS)}",
            f'{subject}["{pick(FIELDS)}"]',
            f"{subject}.first()",
            f"{subject}[0]",
            f"{subject}.online()",
            f"{subject}.filter(|v| true)",
            f"{subject}.filter({closure} != 77)",
            f"{subject}.min_by({closure})",
            f'{subject}.sort_by("{pick(FIELDS)}")',
            f'{subject}.get("{pick(FIELDS)}")',
            f"{pick('pq')}({subject})",
            f"[{subject}].map({closure})",
            f"[{subject}][0]",
            f"{subject}.{pick(['len()', 'nope()', 'nope', 'p()', 'to_string()', 'exclude(none)'])}",
            f"() ?? {subject}",
            f"{pick(['len', 'first', 'nope'])}({subject})",
        ])  # fmt: skip


def test_script_that_works_has_no_findings() -> None:
    engine, works, told = Engine(), 0, 0
    for seed in range(12_000):
        source = Straight(seed).script()
        try:
            script = engine.compile(source)
        except RhaiError:
            continue
        found = script.lint(ENTRY_POINTS, KINDS, LISTS)
        told += bool(found)
        try:
            script.call("f", TASK, Workers(FLEET), timeout_ms=5000)
        except RhaiError:
            continue
        works += 1
        assert found == [], source
    assert works > 1200
    assert told > 1500


#: Those of the business case, and where they are in a checkout of rbee, the ones that its acceptance suite runs.
SCRIPTS = [
    *(TESTS / "policies").glob("*.rhai"),
    *(TESTS.parents[2] / "tests" / "acceptance").glob("*/scripts/*.rhai"),
]


@pytest.mark.parametrize("path", sorted(SCRIPTS), ids=lambda path: path.stem)
def test_business_case_is_clean(path: Path) -> None:
    script = Engine().compile(path.read_text())
    assert script.lint(ENTRY_POINTS, KINDS, LISTS) == []
