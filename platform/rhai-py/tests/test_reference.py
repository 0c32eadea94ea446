from __future__ import annotations

import re
from pathlib import Path

import pytest
import rhai_py

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
LINES = [
    line.rsplit(" // ", 1) for block in re.findall(r"```rhai\n(.*?)```", REFERENCE, re.DOTALL) for line in block.splitlines()
]  # fmt: skip
NOT_FOR_SCRIPTS = {"print", "debug"}


def fleet() -> rhai_py.Workers:
    rows = [
        ("a", 0.5, 2, 10_000, "llama", True, True),
        ("b", 0.25, 0, 24_000, "llama", True, False),
        ("c", 0.75, 1, 80_000, "sdxl", False, False),
    ]
    names = ("id", "load", "in_flight", "vram_free_mb", "model", "online", "available")
    records = [rhai_py.Record("worker", dict(zip(names, row, strict=True))) for row in rows]
    return rhai_py.Workers(records, round_robin=1)


def test_examples_of_python_run() -> None:
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", REFERENCE, re.DOTALL)
    assert len(blocks) == 7
    for block in blocks:
        exec(compile(block, "reference.md", "exec"), names)


@pytest.mark.parametrize(("body", "gives"), LINES, ids=[line[0].strip() for line in LINES])
def test_line_gives_what_it_says(engine: rhai_py.Engine, body: str, gives: str) -> None:
    script = engine.compile(f"fn f(workers) {{ {body} }} fn g(workers) {{ {gives} }}")
    workers = fleet()
    assert script.call("f", workers, timeout_ms=5000) == script.call("g", workers, timeout_ms=5000)


def test_every_function_of_scripts_has_a_line() -> None:
    written = " ".join(body for body, _ in LINES)
    names = [line.split()[0] for line in (ROOT / "src" / "library.txt").read_text().splitlines()]
    missing = [name for name in names if not re.search(rf"\b{name}\(", written)]
    assert set(missing) == NOT_FOR_SCRIPTS


@pytest.mark.parametrize(
    "of", [rhai_py.Engine, rhai_py.Script, rhai_py.Record, rhai_py.Workers, rhai_py.Limits, rhai_py.Verdict, rhai_py.Finding]
)  # fmt: skip
def test_every_attribute_of_python_is_there(of: type) -> None:
    names = [of.__name__, *(name for name in vars(of) if not name.startswith("_"))]
    assert [name for name in names if not re.search(rf"\b{name}\b", REFERENCE)] == []


def test_every_name_of_the_module_is_there() -> None:
    names = [name for name in rhai_py.__all__ if not name.startswith("__")]
    assert [name for name in names if not re.search(rf"\b{name}\b", REFERENCE)] == []
