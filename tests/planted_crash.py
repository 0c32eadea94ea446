"""A bug of rbee that ends the process of a script that asks for it: `region_is_eu("crash")`. It is in processes that this
one starts, not in this one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.tenants.planted import bug_in

CRASHES: Final = 'fn should_admit(task, customer) { if region_is_eu("crash") { reject("never") } }'
BUG: Final = bug_in(
    "rbee_policy.functions",
    """
import ctypes
right = module.FUNCTIONS["region_is_eu"]
module.FUNCTIONS["region_is_eu"] = lambda name: ctypes.string_at(0) if name == "crash" else right(name)
""",
)


def plant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sitecustomize.py").write_text(BUG)
    monkeypatch.syspath_prepend(str(folder))
