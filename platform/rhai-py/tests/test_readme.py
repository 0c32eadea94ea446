from __future__ import annotations

import re
from pathlib import Path

from rhai_py import Limits

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_examples_run() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)


def test_limits_are_documented() -> None:
    names = re.findall(r"(\w+)=", repr(Limits()))
    assert [name for name in names if f"`{name}`" not in README] == []
